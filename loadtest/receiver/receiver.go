// Package receiver hides the other end of a webhook in load and durability tests: an HTTP server on loopback that keeps a ledger of what
// it answered, so that afterwards it can be told what came once, what came again, and when. It shares no code with the sender: the
// signature is checked by what Standard Webhooks says of it, the Airship envelope by its documentation.
package receiver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxBody bounds a delivery in bytes.
	maxBody = 16 << 20
	// mostFaults is how many faults are kept in full.
	mostFaults = 10
	tolerance  = 5 * time.Minute // of the timestamp, as Standard Webhooks has it
)

// Config says how a receiver behaves. The zero value takes everything at once and checks no signature.
type Config struct {
	Secret string        // whsec_…; empty: signatures are not checked
	Delay  time.Duration // before each answer
	// Refuse tells whether the attempt of that number, from 0, is answered with 500; nil: none is. Called under the receiver's lock.
	Refuse func(attempt int) bool
	// Each is called for every event that is answered for the first time, in the order of the answers; may be nil. Under the
	// receiver's lock; the body lives on.
	Each func(offset uint64, body []byte)
}

// Counts are what a receiver has seen.
type Counts struct {
	Attempts int `json:"attempts"`
	Refused  int `json:"refused"`
	Batches  int `json:"batches"` // answered with 200, by id
	Repeats  int `json:"repeats"` // of these, attempts that came again afterwards
	Events   int `json:"events"`  // answered with 200, each once
	Doubled  int `json:"doubled"` // events that came again after they were answered
	Faults   int `json:"faults"`
}

// Receiver is such a server. Safe for concurrent use.
type Receiver struct {
	URL string // http://127.0.0.1:port/hook; /counts beside it shows Counts as JSON

	cfg    Config
	key    []byte
	server *http.Server
	ended  chan struct{}

	mu      sync.Mutex
	counts  Counts
	bodies  map[string][sha256.Size]byte // of every attempt, by webhook-id
	settled map[string]struct{}          // ids answered with 200
	events  map[uint64]answered          // by offset
	again   []Again
	faults  []string
	newest  time.Time // of the last answer with 200
}

type answered struct {
	id string
	at time.Time
}

// Again is an event that came after it had been answered.
type Again struct {
	Offset   uint64
	First    time.Time // when it was answered first
	At       time.Time
	SameID   bool // in the same batch as before
	Attempts int  // of this receiver, until then
}

// Start runs a receiver on a free port of loopback until Close.
func Start(cfg Config) (*Receiver, error) {
	r := &Receiver{
		cfg: cfg, ended: make(chan struct{}),
		bodies: map[string][sha256.Size]byte{}, settled: map[string]struct{}{}, events: map[uint64]answered{},
	}
	if cfg.Secret != "" {
		var err error
		if r.key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(cfg.Secret, "whsec_")); err != nil {
			return nil, fmt.Errorf("the receiver's secret: %w", err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.URL = "http://" + l.Addr().String() + "/hook"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", r.take)
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(r.Counts()) // whoever asked may have left
	})
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(r.ended)
		_ = r.server.Serve(l) // ends with Close, and says so
	}()
	return r, nil
}

// Close ends the server and its connections.
func (r *Receiver) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.server.Shutdown(ctx) // the context has ended: it only closes the listener
	_ = r.server.Close()
	<-r.ended
}

// Counts tells what was seen so far.
func (r *Receiver) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// Newest is when an attempt was last answered with 200; zero: never.
func (r *Receiver) Newest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest
}

// Again lists the events that came after they had been answered.
func (r *Receiver) Again() []Again {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.again)
}

// Err lists the first faults: a wrong signature, another body under an id that was seen before, or a body that is no batch.
func (r *Receiver) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts.Faults == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d, first %s", ErrFaults, r.counts.Faults, strings.Join(r.faults, "; "))
}

// ErrFaults: a delivery was not what it has to be; the text says what.
var ErrFaults = errors.New("the receiver saw faulty deliveries")

func (r *Receiver) fault(format string, args ...any) {
	r.counts.Faults++
	if len(r.faults) < mostFaults {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// event is one in the Airship envelope.
type event struct {
	Offset string          `json:"offset"`
	Body   json.RawMessage `json:"body"`
}

func (r *Receiver) take(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(io.LimitReader(q.Body, maxBody))
	if err != nil {
		return // cut off while it was sent: nothing was answered
	}
	if r.cfg.Delay > 0 {
		select {
		case <-time.After(r.cfg.Delay):
		case <-q.Context().Done():
			return
		}
	}
	w.WriteHeader(r.answer(q.Header, body))
}

// answer puts an attempt into the ledger and gives its status.
func (r *Receiver) answer(h http.Header, body []byte) int {
	id := h.Get("webhook-id")
	wrong := r.verify(h, id, body)
	batch, err := decode(body)
	sum := sha256.Sum256(body)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	attempt := r.counts.Attempts
	r.counts.Attempts++
	if before, ok := r.bodies[id]; ok && before != sum {
		r.fault("%s has another body than before", id)
	}
	r.bodies[id] = sum
	if wrong != "" {
		r.fault("%s: %s", id, wrong)
		return http.StatusUnauthorized
	}
	if err != nil {
		r.fault("%s: %v", id, err)
		return http.StatusBadRequest
	}
	if r.cfg.Refuse != nil && r.cfg.Refuse(attempt) {
		r.counts.Refused++
		return http.StatusInternalServerError
	}
	r.newest = now
	if _, ok := r.settled[id]; ok {
		r.counts.Repeats++
	} else {
		r.settled[id] = struct{}{}
		r.counts.Batches++
	}
	for _, e := range batch {
		o, err := strconv.ParseUint(e.Offset, 10, 53)
		if err != nil {
			r.fault("%s: an event without an offset", id)
			continue
		}
		if first, ok := r.events[o]; ok {
			r.counts.Doubled++
			r.again = append(r.again, Again{Offset: o, First: first.at, At: now, SameID: first.id == id, Attempts: attempt})
			continue
		}
		r.events[o] = answered{id, now}
		r.counts.Events++
		if r.cfg.Each != nil {
			r.cfg.Each(o, e.Body)
		}
	}
	return http.StatusOK
}

// verify checks id, timestamp and signature; empty: they are right.
func (r *Receiver) verify(h http.Header, id string, body []byte) string {
	if id == "" {
		return "there is no webhook-id"
	}
	if r.key == nil {
		return ""
	}
	stamp := h.Get("webhook-timestamp")
	at, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > tolerance {
		return "webhook-timestamp is not the time of the attempt"
	}
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
		return "webhook-signature is wrong"
	}
	return ""
}

// decode reads a batch: an array, or one bare event.
func decode(body []byte) (batch []event, err error) {
	if len(body) > 0 && body[0] == '{' {
		batch = make([]event, 1)
		err = json.Unmarshal(body, &batch[0])
	} else {
		err = json.Unmarshal(body, &batch)
	}
	if err == nil && len(batch) == 0 {
		err = errors.New("the batch is empty")
	}
	return batch, err
}
