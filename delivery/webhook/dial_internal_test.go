package webhook

import (
	"net"
	"testing"
	"time"
)

// What a name leads to is judged when the connection is made: the target here stands for a name that resolved to a refused address, and
// not even a connection is opened.
func TestRefusedAtDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			accepted <- struct{}{}
		}
	}()
	for name, c := range map[string]struct {
		open  []string
		plain bool
		want  string
	}{
		"closed":                  {nil, false, FailAddress},
		"closed, plain":           {nil, true, FailAddress},
		"another is open":         {[]string{"127.0.0.2", "10.0.0.0/8"}, true, FailAddress},
		"open":                    {[]string{"127.0.0.1"}, true, FailBroken},
		"a range of it is open":   {[]string{"127.0.0.0/8"}, true, FailBroken},
		"open for TLS as well":    {[]string{"127.0.0.0/8"}, false, FailBroken},
		"open as an IPv4 in IPv6": {[]string{"::ffff:127.0.0.1"}, true, FailAddress}, // such a range holds no IPv4 address
	} {
		g, err := newGate(c.open)
		if err != nil {
			t.Fatal(err)
		}
		p := &poster{target: target{addr: l.Addr().String()}, limit: time.Second, now: time.Now}
		p.dialer.ControlContext = g.check(c.plain)
		if o := p.post(t.Context(), message{id: "msg_1", body: []byte("{}")}); o.failure != c.want {
			t.Errorf("%s: %q, want %q", name, o.failure, c.want)
		}
		p.close()
		opened := false
		if c.want == FailBroken {
			<-accepted
			opened = true
		}
		select {
		case <-accepted:
			if !opened {
				t.Errorf("%s: a connection was opened", name)
			}
		default:
		}
	}
	l.Close()
	<-done
}
