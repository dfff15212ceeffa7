package command

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"sluice/cmd/sluice/client"
)

const (
	// silence is how long a call may take before a person at a terminal is told that it is under way.
	silence = time.Second
	// redraw is how often the line of a work in progress is drawn anew.
	redraw = 200 * time.Millisecond
	// wipe goes back to the start of a terminal's line and empties it.
	wipe = "\r\x1b[K"
)

// call is client.Call; while it takes long, a terminal shows for how long already.
func (m *Main) call(ctx context.Context, c *client.Client, method, path string, query url.Values, body any) ([]byte, error) {
	defer m.waiting("waiting for " + c.Base)()
	return c.Call(ctx, method, path, query, body)
}

// waiting shows what is waited for on a terminal, from a second after now on, until the function it returns is called.
func (m *Main) waiting(what string) (done func()) {
	if !terminal(m.Stderr) {
		return func() {}
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(silence)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				fmt.Fprintf(m.Stderr, "%s%s, %d s", wipe, what, int(time.Since(begun).Seconds()))
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
		if time.Since(begun) >= silence {
			m.clearLine()
		}
	}
}

// counted shows on a terminal how much of a work of several steps is done.
func (m *Main) counted(done, of int, what string) {
	if of > 1 && done > 0 && terminal(m.Stderr) {
		fmt.Fprintf(m.Stderr, "%s%d of %d %s", wipe, done, of, what)
	}
}

// clearLine takes a line of progress away again.
func (m *Main) clearLine() {
	if terminal(m.Stderr) {
		fmt.Fprint(m.Stderr, wipe)
	}
}
