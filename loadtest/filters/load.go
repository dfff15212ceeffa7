package filters

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
)

const (
	// lines are the events of one body, which is stored and shown as a whole.
	lines = 50
	// A connection of an integration's token is one of 100 at most, and a token one of 25.
	perToken, perIntegration = 100, 25
	// openAtOnce is how many connect at the same time: below the backlog of a listening socket.
	openAtOnce = 64
	// quiet is how long nothing more may come before a run is over, and patience for how long something may be missing.
	quiet    = 500 * time.Millisecond
	patience = 60 * time.Second
)

// Load is a run: what is sent, and who reads.
type Load struct {
	Server *server.Process
	Stream server.Stream
	// Filters are read by Readers connections, the i-th by those whose number is i modulo their number. None: everybody
	// reads everything.
	Filters []string
	Readers int // at most 2,500, with one integration
	Rate    int // events a second
	For     time.Duration
	// Checked are the first connections, of which every event is kept; Counted those behind them, which unpack and count
	// events. The rest only drain what comes: to unpack costs a client several times what to serve costs the server.
	Checked, Counted int
}

// Result is what a run came to. What is per reader is in their order.
type Result struct {
	Sent    []time.Time   // when each event was sent: the index is its number
	Took    time.Duration // of the sending
	CPU     time.Duration // of the server, from the first event to the last that came
	Opened  server.Memory // of the server, before the first event
	Memory  server.Memory // at the end
	Readers []Received
}

// Received is what a connection got.
type Received struct {
	Events int           // 0 where they were only drained
	Bytes  uint64        // of the connection
	Behind time.Duration // the longest that an event took from being sent until it was unpacked
	Kept   []Kept        // Checked ones' events in their order
}

// Kept is an event as a consumer got it: its number, and what lies behind the envelope's own members.
type Kept struct {
	Number int
	Rest   string
}

// integration makes credentials for n connections, as request headers of each.
func integration(ctx context.Context, a server.Admin, stream string, n int) ([][]string, error) {
	var one struct{ ID, AppKey, AccessToken string }
	if err := a.Make(ctx, "/v1/integrations", map[string]string{"name": "filters of " + stream, "stream": stream}, &one); err != nil {
		return nil, err
	}
	token := one.AccessToken
	var headers [][]string
	for len(headers) < n {
		if len(headers) > 0 {
			var next struct{ AccessToken string }
			if err := a.Make(ctx, "/v1/integrations/"+one.ID+"/tokens", map[string]string{"name": fmt.Sprint(len(headers))}, &next); err != nil {
				return nil, err
			}
			token = next.AccessToken
		}
		for range min(perToken, n-len(headers)) {
			headers = append(headers, []string{"Authorization: Bearer " + token, "X-UA-Appkey: " + one.AppKey,
				"Accept: application/vnd.urbanairship+x-ndjson; version=3;", "Content-Type: application/json"})
		}
	}
	return headers, nil
}

// Run opens the connections, sends, and waits until every checked and counted connection has got the events that its
// filter passes, of which expect tells the number once all are sent, and nobody gets any more. A connection that gets
// fewer is an error.
func (l Load) Run(ctx context.Context, expect func(reader int, sent []time.Time) int) (Result, error) {
	if l.Readers > perToken*perIntegration {
		return Result{}, fmt.Errorf("%d readers are more than an integration may have", l.Readers)
	}
	r := Result{Sent: make([]time.Time, 0, l.Rate*int(l.For/time.Second+2))}
	readers, err := l.open(ctx)
	if err != nil {
		return r, err
	}
	sent := &clock{}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() {
		for _, one := range readers {
			one.stream.Close()
		}
	}()
	for _, one := range readers {
		wg.Go(func() { one.run(sent) })
	}
	if r.Opened, err = l.Server.Memory(); err != nil {
		return r, err
	}
	if err := l.Server.ResetPeak(); err != nil {
		return r, err
	}
	before, err := server.CPU(l.Server.PID())
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := l.send(ctx, sent); err != nil {
		return r, err
	}
	r.Took = time.Since(began)
	r.Sent = sent.all()
	if err := settle(ctx, readers); err != nil {
		return r, err
	}
	after, err := server.CPU(l.Server.PID())
	if err != nil {
		return r, err
	}
	r.CPU = after - before
	// Who has not got everything by now may still get it: the machine may be busy.
	var missing error
	for end := time.Now().Add(patience); ; time.Sleep(quiet) {
		if missing = short(readers[:l.Checked+l.Counted], r.Sent, expect); missing == nil || time.Now().After(end) {
			break
		}
	}
	if r.Memory, err = l.Server.Memory(); err != nil {
		return r, err
	}
	for _, one := range readers {
		one.stream.Close()
	}
	wg.Wait()
	for _, one := range readers {
		r.Readers = append(r.Readers, one.result())
		missing = errors.Join(missing, one.err)
	}
	return r, missing
}

// short names the first connection that has got fewer events than it should.
func short(readers []*reader, sent []time.Time, expect func(int, []time.Time) int) error {
	for i, one := range readers {
		if want := expect(i, sent); int(one.events.Load()) < want {
			return fmt.Errorf("connection %d got %d of %d events", i, one.events.Load(), want)
		}
	}
	return nil
}

// settle waits until nobody gets any more. Signs of life come every two seconds, and are longer apart than quiet.
func settle(ctx context.Context, readers []*reader) error {
	for total, since := uint64(0), time.Now(); time.Since(since) < quiet; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quiet / 25):
		}
		sum := uint64(0)
		for _, one := range readers {
			sum += one.events.Load()
		}
		if sum != total {
			total, since = sum, time.Now()
		}
	}
	return nil
}

// open opens the connections; each has its position when this returns.
func (l Load) open(ctx context.Context) ([]*reader, error) {
	headers, err := integration(ctx, l.Server.Admin, l.Stream.Name, l.Readers)
	if err != nil {
		return nil, err
	}
	readers, errs := make([]*reader, l.Readers), make([]error, l.Readers)
	slots := make(chan struct{}, openAtOnce)
	var wg sync.WaitGroup
	for i := range readers {
		body := `{"start":"LATEST"}`
		if len(l.Filters) > 0 {
			body = `{"start":"LATEST","filters":` + l.Filters[i%len(l.Filters)] + `}`
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one := &reader{keep: i < l.Checked, drain: i >= l.Checked+l.Counted}
			conn, err := wire.Dial(l.Server.Addr, l.For+5*time.Minute)
			if err == nil {
				one.stream, err = conn.Open(wire.Request("POST", "/api/events", l.Server.Addr, headers[i], []byte(body)))
			}
			if err == nil && !one.stream.Gzip {
				err = errors.New("is not gzip though nothing else was asked for")
			}
			readers[i], errs[i] = one, err
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			continue
		}
		for _, one := range readers {
			if one.stream != nil {
				one.stream.Close()
			}
		}
		return nil, fmt.Errorf("connection %d: %w", i, err)
	}
	return readers, nil
}

// send posts body after body, each at its time, or at once where the one before took longer than that.
func (l Load) send(ctx context.Context, sent *clock) error {
	token, err := l.Server.AccessToken(ctx, l.Stream.Credentials)
	if err != nil {
		return err
	}
	conn, err := wire.Dial(l.Server.Addr, l.For+5*time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	headers := []string{"Authorization: Bearer " + token, "Strm-Schema-Ref: airship/event/3.0.0"}
	every := time.Second * lines / time.Duration(l.Rate)
	accepted := fmt.Sprintf(`"accepted":%d,`, lines)
	var body []byte
	began := time.Now()
	for n := 0; time.Duration(n/lines)*every < l.For; n += lines {
		at := began.Add(time.Duration(n/lines) * every)
		if wait := time.Until(at); wait > 0 {
			time.Sleep(wait)
		}
		at = time.Now()
		body = body[:0]
		for i := range lines {
			body = append(Event(body, n+i, at), '\n')
		}
		sent.add(at)
		request := wire.Request("POST", "/v1/streams/"+l.Stream.Name+"/events", l.Server.Addr, headers, body)
		status, answer, err := conn.Do(request)
		if err != nil {
			return err
		}
		if status != http.StatusOK || !strings.Contains(string(answer), accepted) {
			return fmt.Errorf("status %d: %.500s", status, answer)
		}
	}
	return ctx.Err()
}

// clock knows when each body was sent. Safe for concurrent use.
type clock struct {
	mu sync.RWMutex
	at []time.Time
}

func (c *clock) add(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, at)
}

// of is when an event was sent; ok is false for one that was not.
func (c *clock) of(n int) (at time.Time, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n < 0 || n/lines >= len(c.at) {
		return time.Time{}, false
	}
	return c.at[n/lines], true
}

// all is when every event was sent.
func (c *clock) all() []time.Time {
	var all []time.Time
	for _, at := range c.at {
		all = append(all, slices.Repeat([]time.Time{at}, lines)...)
	}
	return all
}
