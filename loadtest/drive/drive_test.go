package drive_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"sluice/loadtest/drive"
	"sluice/loadtest/verify"
)

// What a producer is answered decides what the ledger holds the relay to.
func TestProducerWritesDownItsAnswers(t *testing.T) {
	const stored, refused, unknown = 0, 1, 2
	for name, c := range map[string]struct {
		lines, status int
		text          string
		want          int // -1: an answer that no relay may give
	}{
		"stored":                {0, 204, "", stored},
		"full":                  {0, 503, "busy", refused},
		"too many":              {0, 429, "slow down", refused},
		"not confirmed":         {0, 504, "late", unknown},
		"a page":                {0, 200, "welcome", -1},
		"its own fault":         {0, 400, "no", -1},
		"all lines stored":      {3, 200, `{"accepted":3,"rejected":0}`, stored},
		"one line not accepted": {3, 200, `{"accepted":2,"rejected":1}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.text)
			}))
			defer srv.Close()
			l := verify.NewLedger()
			p := &drive.Producer{Door: drive.Door{Name: "s", Token: "t"}, Ledger: l, ID: 1, Addrs: []string{srv.Listener.Addr().String()}, Lines: c.lines}
			defer p.Close()
			if err := p.Send(); (err != nil) != (c.want < 0) {
				t.Fatal(err)
			}
			if c.want < 0 {
				return
			}
			var got [3]int
			got[stored], got[refused], got[unknown] = l.Tally()
			if events := max(c.lines, 1); got[c.want] != events || p.Sent() != uint64(events) || len(p.Markers(1, p.Sent())) != events {
				t.Errorf("%v, %d sent", got, p.Sent())
			}
		})
	}
}

// Who cannot be reached has stored nothing, and the next event goes to the next node. A cut without an answer claims nothing.
func TestProducerGoesToTheNextNode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := l.Addr().String()
	l.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	ledger := verify.NewLedger()
	p := &drive.Producer{Ledger: ledger, ID: 1, Addrs: []string{away, srv.Listener.Addr().String()}}
	for range 2 {
		if err := p.Send(); err != nil || !p.Cut() {
			t.Fatal(err, p.Cut())
		}
	}
	if stored, refused, unknown := ledger.Tally(); stored != 0 || refused != 1 || unknown != 1 {
		t.Errorf("%d stored, %d refused, %d unknown", stored, refused, unknown)
	}
}
