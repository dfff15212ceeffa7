package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"sluice/cmd/sluice/client"
	"sluice/delivery/webhook"
)

const (
	// hookName is the webhook's, for commands to paste.
	hookName = "demo-hook"
	// maxDelivery bounds one delivery, in bytes: a hundred of the largest events.
	maxDelivery = 256 << 20
	// remembered is how many deliveries are known again when they are repeated: more than a webhook that goes in order has in flight.
	remembered = 64
)

// receiver is where a webhook of the demo delivers to: a server on the loopback address that takes what was signed with the webhook's secret
// and nothing else. A delivery that is repeated, because its answer came too late, is taken once, by its id.
type receiver struct {
	url      string
	secret   string
	listener net.Listener

	mu     sync.Mutex // deliveries may overlap when one is given up and sent again
	page   *page
	screen *screen
	known  []string // the last ids
	err    error
	failed context.CancelFunc
}

// openReceiver listens, and makes the webhook that delivers there.
func openReceiver(ctx context.Context, c *client.Client, stream string) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhook deliveries: %w", err)
	}
	r := &receiver{url: "http://" + listener.Addr().String() + "/", secret: webhook.NewSecret(), listener: listener}
	body := map[string]any{
		"name": hookName, "stream": stream, "url": r.url, "secret": r.secret, "retry": []string{"1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"},
		"description": "of the running demo",
	}
	if _, err := c.Call(ctx, http.MethodPost, "/v1/webhooks", c.Scope(), body); err != nil {
		return nil, errors.Join(fmt.Errorf("the webhook cannot be made: %w", err), listener.Close())
	}
	return r, nil
}

// run takes deliveries until ctx ends.
func (r *receiver) run(ctx context.Context, p *page, screen *screen) error {
	ctx, r.failed = context.WithCancel(ctx)
	defer r.failed()
	r.page, r.screen = p, screen
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- server.Serve(r.listener) }()
	var err error
	select {
	case <-ctx.Done():
		_ = server.Close() // all that counts has been taken
		<-served
	case err = <-served:
		err = fmt.Errorf("receive webhook deliveries: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, err)
}

// ServeHTTP takes one delivery.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxDelivery))
	if err != nil {
		http.Error(w, "the delivery cannot be read", http.StatusBadRequest)
		return
	}
	if err := webhook.Verify(r.secret, req.Header, body, time.Now()); err != nil {
		r.page.refused() // anybody on this machine can send here
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	r.take(req.Header.Get("Webhook-Id"), body)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) take(id string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.known, id) {
		return
	}
	if r.known = append(r.known, id); len(r.known) > remembered {
		r.known = slices.Delete(r.known, 0, 1)
	}
	var events []struct {
		Offset uint64 `json:",string"`
		Body   json.RawMessage
	}
	if err := json.Unmarshal(body, &events); err != nil {
		r.err = errors.Join(fmt.Errorf("%s delivered what is no list of events", r.page.label), err)
		r.failed()
		return
	}
	r.page.counted()
	for _, e := range events {
		r.page.received(e.Offset, e.Body)
		r.screen.show(r.page.label, e.Body)
	}
}
