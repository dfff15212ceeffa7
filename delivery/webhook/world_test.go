package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/delivery"
	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func quiet() *slog.Logger {
	if os.Getenv("WEBHOOK_TEST_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

// world is a real log with everything above it but the nodes that deliver.
type world struct {
	t        testing.TB
	engine   *engine.Engine
	registry *registry.Registry
	relay    *relay.Relay
	stop     func()
}

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	w := &world{t: t}
	ctx := t.Context()
	var err error
	if w.engine, err = engine.Open(ctx, engine.Config{Dir: dir + "/log", Durability: "os", MinFree: 1 << 20, Log: quiet()}); err != nil {
		t.Fatal(err)
	}
	vault, err := consent.Open(ctx, w.engine.Cells(), consent.Config{Dir: dir + "/keys", Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if w.registry, err = registry.Open(ctx, w.engine, vault, registry.Config{Log: quiet()}); err != nil {
		t.Fatal(err)
	}
	w.relay = relay.New(w.engine, vault, w.registry, relay.Config{Log: quiet()})
	stop := running(t, w.engine.Run, vault.Run, w.registry.Run, w.relay.Run)
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			stop()
			if err := w.engine.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

// running runs parts until the function it gives is called, which waits for their end.
func running(t testing.TB, parts ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range parts {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var once sync.Once
	return func() { once.Do(func() { cancel(); wg.Wait() }) }
}

// node is one node that delivers.
type node struct {
	*webhook.Service
	runner  *delivery.Runner
	metrics *prometheus.Registry
	stop    func()
}

func (w *world) node(cfg webhook.Config, ownership delivery.Config) *node {
	w.t.Helper()
	n := &node{metrics: prometheus.NewRegistry()}
	ownership.Log = quiet()
	n.runner = delivery.New(w.engine.Cells(), ownership)
	cfg.Relay, cfg.Engine, cfg.Registry, cfg.Runner, cfg.Log, cfg.Metrics = w.relay, w.engine, w.registry, n.runner, quiet(), n.metrics
	if cfg.AllowCIDRs == nil {
		cfg.AllowCIDRs = []string{"127.0.0.0/8"}
	}
	var err error
	if n.Service, err = webhook.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	n.stop = running(w.t, n.runner.Run, n.Run)
	w.t.Cleanup(n.stop)
	return n
}

func (w *world) project() *registry.Project { return w.registry.Snapshot().Project("default") }

func (w *world) stream(name string) *registry.Stream {
	w.t.Helper()
	st, _, err := w.registry.CreateStream(w.t.Context(), w.project(), registry.StreamSpec{Name: name, Payload: "json"})
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

// hook makes a webhook with quick retries that begins at the start of the stream.
func (w *world) hook(st *registry.Stream, url string, change func(*registry.WebhookSpec)) *registry.Webhook {
	w.t.Helper()
	spec := registry.WebhookSpec{
		Stream: st.Name, URL: url, BatchSize: 10, Ordering: "fifo", Envelope: "none", Secret: secret, Timeout: 5 * time.Second,
		Retry: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond},
	}
	if change != nil {
		change(&spec)
	}
	h, err := w.registry.CreateWebhook(w.t.Context(), w.project(), spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// send stores events {"n":from} … {"n":to-1}.
func (w *world) send(st *registry.Stream, from, to int) {
	w.t.Helper()
	var body bytes.Buffer
	for n := from; n < to; n++ {
		fmt.Fprintf(&body, `{"n":%d,"strmMeta":{"keyLink":"k%d"},"pad":"%s"}`+"\n", n, n%97, strings.Repeat("x", n%200))
	}
	res, err := w.relay.AcceptBulk(w.t.Context(), st, relay.Bulk{Body: body.Bytes()})
	if err != nil || res.Rejected > 0 {
		w.t.Fatalf("bulk: %+v %v", res, err)
	}
}

// delivered is one request as a receiver saw it.
type delivered struct {
	id      string
	header  http.Header
	body    []byte
	numbers []int
	status  int
}

// receiver takes deliveries, holds every one to its signature, and answers what it is told.
type receiver struct {
	t      *testing.T
	server *httptest.Server
	answer func(d *delivered, w http.ResponseWriter) int // the status; 0: answered already

	mu  sync.Mutex
	all []*delivered
}

func newReceiver(t *testing.T, answer func(*delivered, http.ResponseWriter) int) *receiver {
	r := &receiver{t: t, answer: answer}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if err := webhook.Verify(secret, req.Header, body, time.Now()); err != nil {
		r.t.Errorf("delivery %s: %v", req.Header.Get("webhook-id"), err)
	}
	d := &delivered{id: req.Header.Get("webhook-id"), header: req.Header, body: body, status: http.StatusNoContent}
	if !json.Valid(body) {
		r.t.Errorf("not JSON: %.100s", body)
	}
	each := func(_, v gjson.Result) bool {
		n := v.Get("n")
		if !n.Exists() {
			n = v.Get("body.n")
		}
		d.numbers = append(d.numbers, int(n.Int()))
		return true
	}
	if v := gjson.ParseBytes(body); v.IsArray() {
		v.ForEach(each)
	} else {
		each(gjson.Result{}, v)
	}
	if r.answer != nil {
		d.status = r.answer(d, w)
	}
	r.mu.Lock()
	r.all = append(r.all, d)
	r.mu.Unlock()
	if d.status != 0 {
		w.WriteHeader(d.status)
	}
}

// taken are the requests that were answered by 2xx, in the order of their answers.
func (r *receiver) taken() []*delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ok []*delivered
	for _, d := range r.all {
		if d.status >= 200 && d.status < 300 {
			ok = append(ok, d)
		}
	}
	return ok
}

// numbers are those of all that was taken.
func (r *receiver) numbers() []int {
	var all []int
	for _, d := range r.taken() {
		all = append(all, d.numbers...)
	}
	return all
}

// counts tells how often each number was taken.
func counts(numbers []int) map[int]int {
	m := map[int]int{}
	for _, n := range numbers {
		m[n]++
	}
	return m
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

// exactly holds that the numbers from 0 to n-1 were taken, each once.
func exactly(t *testing.T, r *receiver, n int) {
	t.Helper()
	c := counts(r.numbers())
	for i := range n {
		if c[i] != 1 {
			t.Errorf("event %d was taken %d times", i, c[i])
		}
		delete(c, i)
	}
	for i := range c {
		t.Errorf("event %d was never sent", i)
	}
}

func (n *node) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := n.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			fits := true
			for i := 0; i+1 < len(labels); i += 2 {
				fits = fits && have[labels[i]] == labels[i+1]
			}
			if fits {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

var alone = delivery.Config{Alone: true, Grace: 2 * time.Second}

func listenLoopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func itoa(n int) string { return strconv.Itoa(n) }
