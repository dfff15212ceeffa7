//go:build parts

package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
	"sluice/relay/sample"
)

// gate stands between a node and a log server. While it is shut nothing passes and nobody is told: connections stay, and new ones
// are taken.
type gate struct {
	ln   net.Listener
	to   string
	mu   sync.Mutex
	open *sync.Cond
	shut bool
	all  map[net.Conn]struct{}
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{ln: ln, to: to, all: map[net.Conn]struct{}{}}
	g.open = sync.NewCond(&g.mu)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { g.serve(in) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		g.set(false)
		g.mu.Lock()
		for c := range g.all {
			c.Close()
		}
		g.mu.Unlock()
		wg.Wait()
	})
	return g
}

func (g *gate) serve(in net.Conn) {
	out, err := net.Dial("tcp", g.to)
	if err != nil {
		in.Close()
		return
	}
	g.mu.Lock()
	g.all[in], g.all[out] = struct{}{}, struct{}{}
	g.mu.Unlock()
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(gated{g, to}, from) // whichever end goes, both go
		to.Close()
		from.Close()
	}
	wg.Go(func() { pass(in, out) })
	wg.Go(func() { pass(out, in) })
	wg.Wait()
	g.mu.Lock()
	delete(g.all, in)
	delete(g.all, out)
	g.mu.Unlock()
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.mu.Unlock()
	g.open.Broadcast()
}

// gated writes when the gate is open.
type gated struct {
	g *gate
	net.Conn
}

func (w gated) Write(b []byte) (int, error) {
	w.g.mu.Lock()
	for w.g.shut {
		w.g.open.Wait()
	}
	w.g.mu.Unlock()
	return w.Conn.Write(b)
}

// peek asks a node for a stream from its beginning and counts the lines that show a person, until patience is at its end.
func peek(ctx context.Context, d drive.Door, p *server.Process, person string, patience time.Duration) (lines, n int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Base+"/v1/streams/"+d.Name+"/events?from=EARLIEST&timeout=1s", nil)
	if err != nil {
		return 0, 0
	}
	req.Header.Set("Authorization", "Bearer "+d.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0
	}
	defer resp.Body.Close()
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		if lines++; strings.Contains(in.Text(), person) {
			n++
		}
	}
	return lines, n
}

// cutOff forgets a person at a while b hears nothing of the log but keeps its readers, and what it had opened for them.
func cutOff(t *testing.T, w *world, cut, heal func()) {
	in := source(t, w.a.Admin, "cut")
	out := cumulative(t, w.b.Admin, in, 1)
	l := verify.NewLedger()
	live := follow(t, out, w.b, l)
	send := func(id uint32, person string, lines int) {
		t.Helper()
		p := &drive.Producer{Door: in, Ledger: l, ID: id, Addrs: []string{w.a.Addr}, Lines: lines,
			Next: func(dst []byte, m sample.Marker) []byte { return drive.Click(dst, m, person) }}
		defer p.Close()
		if err := p.Send(); err != nil {
			t.Fatal(err)
		}
	}
	send(0, forgotten, perPerson)
	send(1, kept, perPerson)
	soon(t, visible, "the person is not shown before", func() bool { return shown(t, out, w.b, forgotten, 2*perPerson) == perPerson })

	// Readers come all the while: what they ask is waiting for b when it hears, or wakes.
	ctx, end := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var last time.Time // when b was last asked and showed the person
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if _, n := peek(ctx, out, w.b, forgotten, 4*time.Second); n > 0 {
					mu.Lock()
					if began.After(last) {
						last = began
					}
					mu.Unlock()
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	cut()
	began := time.Now()
	if err := w.a.Forget(t.Context(), forgotten, "cut"); err != nil {
		t.Error(err)
	}
	ended := time.Now()
	t.Logf("forgetting took %s while a node was cut off", ended.Sub(began))
	if took := ended.Sub(began); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("forgetting took %s", took)
	}
	if n := shown(t, out, w.a, forgotten, 2*perPerson); n > 0 {
		t.Errorf("%d events show the person at the node that forgot them", n)
	}
	time.Sleep(2 * time.Second)
	heal()
	// b goes on by itself: it takes events, and shows those who were kept.
	soon(t, 30*time.Second, "b does not become ready again", func() bool {
		resp, err := http.Get(w.b.Base + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	send(2, kept, 10)
	soon(t, 30*time.Second, "b does not show what came later", func() bool {
		lines, n := peek(t.Context(), out, w.b, kept, 4*time.Second)
		return lines == 2*perPerson+10 && n == perPerson+10
	})
	end()
	wg.Wait()
	if late := last.Sub(ended); late > 0 {
		t.Errorf("b was asked %s after a had forgotten the person, and showed them", late)
	}
	if n := shown(t, out, w.b, forgotten, 2*perPerson); n > 0 {
		t.Errorf("%d events show the person", n)
	}
	if _, err := live.tail.End(); err != nil {
		t.Error(err)
	}
}

// A node that is cut off from the log opens and takes nothing more by the time Forget returns, and goes on when it hears again.
func TestForgottenWhileANodeIsCutOff(t *testing.T) {
	logs := logCluster(t, enoughPayload)
	var gates []*gate
	var behind []string
	for _, s := range logs {
		g := newGate(t, s.addr)
		gates = append(gates, g)
		behind = append(behind, "nats://"+g.ln.Addr().String())
	}
	master := t.TempDir() + "/master.key"
	w := &world{logs: logs}
	w.a = serve(t, "a", settings(addresses(logs), master))
	w.b = serve(t, "b", settings(strings.Join(behind, ","), master))
	set := func(shut bool) {
		for _, g := range gates {
			g.set(shut)
		}
	}
	cutOff(t, w, func() { set(true) }, func() {
		resp, err := http.Get(w.b.Base + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a node that is cut off is ready: %d %s", resp.StatusCode, text)
		}
		set(false)
	})
}

// The same for a node that is stopped altogether and wakes with all its caches, and its readers' questions waiting.
func TestForgottenWhileANodeIsStopped(t *testing.T) {
	w := newWorld(t)
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(w.b.PID(), s); err != nil {
			t.Fatal(fmt.Errorf("signal: %w", err))
		}
	}
	cutOff(t, w, func() { signal(syscall.SIGSTOP) }, func() { signal(syscall.SIGCONT) })
}
