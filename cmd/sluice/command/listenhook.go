package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
	"sluice/delivery/webhook"
)

const (
	// maxDelivery bounds what listen webhook takes of one request: a batch of the largest events.
	maxDelivery = 64 << 20
	// partingTime is how long the webhook's deletion may take at the end.
	partingTime = 5 * time.Second
	// temporaryName begins the name of a listener's webhook.
	temporaryName = "listen-"
)

func (m *Main) listenWebhook() *cobra.Command {
	var l hookListener
	cmd := &cobra.Command{
		Use: "webhook STREAM", Short: "Receive a stream's webhook deliveries here and print the events", Args: cobra.ExactArgs(1),
		Long: "Make a temporary webhook on a stream, receive its deliveries on this machine, check their signatures and print the events, one a line,\n" +
			"until interrupted or --limit is reached; then the webhook is deleted. One that a listener left behind because it was\n" +
			"killed is deleted by the next. With --forward every delivery is passed on as it came, with its headers, and answered as the other\n" +
			"one answers.\n\n" +
			"The server must run on this machine and allow loopback addresses: `sluice serve --webhooks-allow-cidrs 127.0.0.1`.",
		Example: "  sluice listen webhook web --forward http://127.0.0.1:3000/events",
		RunE: func(cmd *cobra.Command, args []string) error {
			if l.forward != "" {
				if u, err := url.Parse(l.forward); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
					return usagef("--forward takes an http:// or https:// address, not %q", l.forward)
				}
			}
			if l.limit < 0 {
				return usagef("--limit must not be negative")
			}
			l.main, l.stream = m, args[0]
			return l.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.forward, "forward", "", "address that every delivery is passed on to")
	f.StringVar(&l.from, "from", "", "where to begin: LATEST (default), EARLIEST, an offset (exclusive), a time, or -N")
	f.StringVar(&l.envelope, "envelope", "none", "none: the event itself; airship: id, type, offset and times around it")
	f.IntVar(&l.batch, "batch", 10, "events of a delivery: 1, 5, 10, 15, 20, 30, 50 or 100")
	f.IntVar(&l.limit, "limit", 0, "end after so many events (0: never)")
	return cmd
}

// hookListener is a receiver of one webhook's deliveries.
type hookListener struct {
	main                            *Main
	stream, forward, from, envelope string
	batch, limit                    int

	secret    string
	transport http.Transport // for --forward
	done      context.CancelFunc

	mu   sync.Mutex // deliveries may come at once
	seen int
	err  error // the output does not take more
}

func (l *hookListener) run(ctx context.Context) (err error) {
	c, err := l.main.authorized()
	if err != nil {
		return err
	}
	defer c.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for deliveries: %w", err)
	}
	interrupted := ctx
	ctx, l.done = context.WithCancel(ctx)
	defer l.done()
	l.secret = webhook.NewSecret()
	server := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer l.transport.CloseIdleConnections()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		_ = server.Close() // what is in hand is sent again, or the webhook is gone
		<-served
	}()
	l.sweep(ctx, c)
	name := temporaryName + uuid.NewString()[:8]
	body := map[string]any{
		"name": name, "stream": l.stream, "url": "http://" + listener.Addr().String() + "/", "secret": l.secret, "envelope": l.envelope,
		"batchSize": l.batch, "retry": []string{"1s", "1s", "5s", "5s"}, "description": temporaryDescription(),
	}
	if l.from != "" {
		body["from"] = l.from
	}
	// Deliveries begin before this is answered, and the last that was asked for must not cut it off.
	answer, err := c.Call(interrupted, http.MethodPost, "/v1/webhooks", c.Scope(), body)
	if err != nil {
		var no *client.Refusal
		if errors.As(err, &no) && strings.Contains(err.Error(), "webhooks.allow_cidrs") {
			return fmt.Errorf("%w\nDeliveries to this machine must be allowed: start the server on this machine with --webhooks-allow-cidrs 127.0.0.1", err)
		}
		return err
	}
	id := gjson.GetBytes(answer, "id").Str
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTime)
		defer cancel()
		if _, e := c.Call(last, http.MethodDelete, webhookPath(id), c.Scope(), nil); e != nil && err == nil {
			err = fmt.Errorf("the temporary webhook %s is left behind; delete it by `sluice delete webhook %s`: %w", name, name, e)
		}
	}()
	fmt.Fprintf(l.main.Stderr, "receiving deliveries of webhook %s on %s; interrupt to end\n", name, listener.Addr())
	select {
	case <-ctx.Done():
	case err := <-served:
		served <- err
		return fmt.Errorf("receive deliveries: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// temporaryDescription is what a listener's webhook is known by on the machine it runs on.
func temporaryDescription() string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed machine"
	}
	return "of `sluice listen webhook` on " + host
}

// sweep deletes the webhooks of listeners on this machine that were killed before they could do it themselves. A listener takes connections
// before it has a webhook, so one whose port refuses them is over. What goes wrong leaves them to the next one.
func (l *hookListener) sweep(ctx context.Context, c *client.Client) {
	all, err := c.Call(ctx, http.MethodGet, "/v1/webhooks", c.Scope(), nil)
	if err != nil {
		return
	}
	for _, hook := range gjson.ParseBytes(all).Array() {
		name := hook.Get("name").Str
		if !strings.HasPrefix(name, temporaryName) || hook.Get("description").Str != temporaryDescription() || !over(hook.Get("url").Str) {
			continue
		}
		if _, err := c.Call(ctx, http.MethodDelete, webhookPath(hook.Get("id").Str), c.Scope(), nil); err == nil {
			fmt.Fprintf(l.main.Stderr, "deleted webhook %s, which a `sluice listen webhook` that was killed had left behind\n", name)
		}
	}
}

// over tells that nobody takes the deliveries of a listener any more.
func over(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() != "127.0.0.1" {
		return false
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// ServeHTTP takes one delivery.
func (l *hookListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		http.Error(w, "the delivery cannot be read", http.StatusBadRequest)
		return
	}
	if err := webhook.Verify(l.secret, r.Header, body, time.Now()); err != nil {
		// Anybody on this machine can send here.
		fmt.Fprintf(l.main.Stderr, "sluice: a request that is not of the webhook: %v\n", err)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	status := http.StatusNoContent
	if l.forward != "" {
		if status, err = l.pass(r, body); err != nil {
			fmt.Fprintf(l.main.Stderr, "sluice: forward: %v\n", err)
			http.Error(w, "the delivery was not taken", http.StatusBadGateway)
			return
		}
	}
	if status >= 200 && status < 300 {
		l.print(body)
	} else {
		fmt.Fprintf(l.main.Stderr, "sluice: forward: %s answered %d\n", l.forward, status)
	}
	w.WriteHeader(status)
}

// pass sends a delivery on, and gives the status of the answer. Redirects are not followed.
func (l *hookListener) pass(r *http.Request, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, l.forward, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = r.Header.Clone()
	res, err := l.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, err
}

func (l *hookListener) print(body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := []gjson.Result{gjson.ParseBytes(body)}
	if events[0].IsArray() {
		events = events[0].Array()
	}
	for _, e := range events {
		if l.err != nil || l.limit > 0 && l.seen >= l.limit {
			break
		}
		if _, err := fmt.Fprintln(l.main.Stdout, e.Raw); err != nil {
			l.err = fmt.Errorf("%w: %w", errOutput, err)
		}
		l.seen++
	}
	if l.err != nil || l.limit > 0 && l.seen >= l.limit {
		l.done()
	}
}
