package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/relay"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// dial opens a websocket with the library's client; headers come in pairs, a token "" is none.
func (e *edge) dial(query, token string, headers ...string) *websocket.Conn {
	e.t.Helper()
	ws, res, err := e.tryDial(query, token, headers...)
	if err != nil {
		text := ""
		if res != nil {
			body, _ := io.ReadAll(res.Body)
			text = fmt.Sprintf("%d %s", res.StatusCode, body)
		}
		e.t.Fatalf("dial %s: %v: %s", query, err, text)
	}
	return ws
}

func (e *edge) tryDial(query, token string, headers ...string) (*websocket.Conn, *http.Response, error) {
	e.t.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	d := websocket.Dialer{HandshakeTimeout: 20 * time.Second}
	ws, res, err := d.DialContext(e.t.Context(), "ws://"+e.addr+"/ws?"+query, h)
	if ws != nil {
		e.t.Cleanup(func() { ws.Close() })
		e.must(ws.SetReadDeadline(time.Now().Add(20 * time.Second)))
	}
	return ws, res, err
}

// text reads one message and insists on a text frame.
func text(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	kind, data, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	if kind != websocket.TextMessage {
		t.Fatalf("a message of kind %d", kind)
	}
	return string(data)
}

// closing reads until the socket is closed and gives the code.
func closing(t *testing.T, ws *websocket.Conn) int {
	t.Helper()
	for {
		_, _, err := ws.ReadMessage()
		var end *websocket.CloseError
		if errors.As(err, &end) {
			return end.Code
		}
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
	}
}

func TestSocket(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 5)

	// What was there, what comes, and where to go on.
	ws := e.dial("from=EARLIEST&envelope=offset&asJson=true", st.token, "Origin", "https://elsewhere.example")
	e.bulk(st, 5, 5)
	var third string
	for n := 1; n <= 10; n++ {
		line := text(t, ws)
		if marker(t, line) != n || strings.HasSuffix(line, "\n") {
			t.Fatalf("%q instead of click %d", line, n)
		}
		if n == 3 {
			var v struct{ Offset string }
			e.must(json.Unmarshal([]byte(line), &v))
			third = v.Offset
		}
	}
	resumed := e.dial("from="+third, st.token)
	for n := 4; n <= 10; n++ {
		if line := text(t, resumed); marker(t, line) != n {
			t.Fatalf("%q instead of click %d", line, n)
		}
	}
	// LATEST is fixed before the 101: what is stored after it comes, nothing before it does.
	latest := e.dial("stream=web&access_token="+url.QueryEscape(adminToken), "")
	e.bulk(st, 10, 1)
	for _, ws := range []*websocket.Conn{latest, resumed, ws} {
		if line := text(t, ws); marker(t, line) != 11 {
			t.Fatalf("%q instead of click 11", line)
		}
	}
	// The client says goodbye and is answered.
	e.must(ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "enough"), time.Now().Add(time.Second)))
	if code := closing(t, ws); code != websocket.CloseNormalClosure {
		t.Errorf("closed with %d", code)
	}
	// A limit ends a socket in order.
	if code := closing(t, e.dial("from=EARLIEST&limit=2", st.token)); code != websocket.CloseNormalClosure {
		t.Errorf("a limit closes with %d", code)
	}
}

func TestSocketRefuses(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.stream("default", registry.StreamSpec{Name: "other"})
	e.bulk(st, 0, 1)
	a := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=1&envelope=offset", st.token, "")
	var v struct{ Offset string }
	e.must(json.Unmarshal([]byte(strings.SplitN(a.body, "\n", 2)[0]), &v))
	_, err := e.reg.DeleteStream(t.Context(), st.Project, "web", false)
	e.must(err)
	st = e.stream("default", registry.StreamSpec{Name: "web"})

	upgrade := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="}
	without := func(name, value string) []string {
		out := append([]string(nil), upgrade...)
		for i := 0; i < len(out); i += 2 {
			if out[i] == name {
				out[i+1] = value
			}
		}
		return out
	}
	for _, row := range []struct {
		name, query, token string
		status             int
		headers            []string
		text               string
	}{
		{"no token", "", "", 401, upgrade, "Jwt is missing"},
		{"no token, no upgrade", "", "", 401, nil, "Jwt is missing"},
		{"unknown token", "access_token=abc", "", 401, upgrade, "Jwt verification fails"},
		{"admin names no stream", "", adminToken, 400, upgrade, ""},
		{"admin names none there is", "stream=nobody", adminToken, 404, upgrade, ""},
		{"another stream", "stream=other", st.token, 403, upgrade, ""},
		{"position", "from=yesterday", st.token, 400, upgrade, ""},
		{"envelope", "envelope=xml", st.token, 400, upgrade, ""},
		{"former stream", "from=" + v.Offset, st.token, 410, upgrade, ""},
		{"ahead", "from=9007199254740991", st.token, 400, upgrade, ""},
		{"not a websocket", "", st.token, 426, nil, ""},
		{"another protocol", "", st.token, 426, without("Upgrade", "h2c"), ""},
		{"another version", "", st.token, 426, without("Sec-WebSocket-Version", "8"), ""},
		{"key", "", st.token, 400, without("Sec-WebSocket-Key", "short"), ""},
	} {
		// The library's own transport hides what an upgrade says: ask as any client would.
		a := e.talk("GET", "GET /ws?"+row.query+" HTTP/1.1\r\nHost: x\r\n"+bearerLine(row.token)+lines(row.headers)+"\r\n")
		if a.status != row.status || row.text != "" && a.body != row.text {
			t.Errorf("%s: %d %q, not %d %q", row.name, a.status, a.body, row.status, row.text)
		}
		if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
			t.Errorf("%s: %s", row.name, got)
		}
		if row.status == 426 && (a.header.Get("Upgrade") != "websocket" || a.header.Get("Sec-Websocket-Version") != "13") {
			t.Errorf("%s: %v", row.name, a.header)
		}
	}
	for _, method := range []string{"POST", "HEAD", "PUT"} {
		if a := e.want(405, method, "/ws", st.token, ""); a.header.Get("Allow") != "GET" {
			t.Errorf("%s: Allow %s", method, a.header.Get("Allow"))
		}
	}
}

func bearerLine(token string) string {
	if token == "" {
		return ""
	}
	return "Authorization: Bearer " + token + "\r\n"
}

func lines(headers []string) (out string) {
	for i := 0; i+1 < len(headers); i += 2 {
		out += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	return out
}

// rawSocket speaks the protocol by hand.
type rawSocket struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

// rawDial upgrades by hand; with is sent right behind the request, before any answer.
func (e *edge) rawDial(query, token string, with ...byte) *rawSocket {
	e.t.Helper()
	c := e.raw()
	// The key and the answer to it are RFC 6455's own example.
	request := "GET /ws?" + query + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
		"\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	_, err := c.Write(append([]byte(request), with...))
	e.must(err)
	s := &rawSocket{e.t, c, bufio.NewReader(c)}
	res, err := http.ReadResponse(s.r, &http.Request{Method: "GET"})
	e.must(err)
	if res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		e.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	return s
}

// masked is a client's frame.
func masked(first byte, payload []byte) []byte {
	out := []byte{first}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	default:
		out = append(out, 0x80|126)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	}
	key := [4]byte{1, 2, 3, 4}
	out = append(out, key[:]...)
	for i, b := range payload {
		out = append(out, b^key[i%4])
	}
	return out
}

func (s *rawSocket) send(first byte, payload []byte) {
	s.t.Helper()
	if _, err := s.Write(masked(first, payload)); err != nil {
		s.t.Fatal(err)
	}
}

// frame reads one frame of the server's and insists that it is whole and unmasked.
func (s *rawSocket) frame() (op byte, payload []byte) {
	s.t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(s.r, head); err != nil {
		s.t.Fatal(err)
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		s.t.Fatalf("a frame begins with % x", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		io.ReadFull(s.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		io.ReadFull(s.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		s.t.Fatal(err)
	}
	return head[0] & 0xf, payload
}

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

// closed reads a close frame and the end of the connection.
func (s *rawSocket) closed() uint16 {
	s.t.Helper()
	op, payload := s.frame()
	if op != opClose || len(payload) < 2 {
		s.t.Fatalf("a frame of kind %d with %q", op, payload)
	}
	if rest, err := io.ReadAll(s.r); err != nil || len(rest) > 0 {
		s.t.Fatalf("after the close frame: %q, %v", rest, err)
	}
	return binary.BigEndian.Uint16(payload)
}

// What a client may send, in pieces and before it may: pings are answered with their own payload, messages ignored.
func TestSocketFromClient(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	s := e.rawDial("", st.token, masked(0x80|opPing, []byte("too early"))...)
	if op, payload := s.frame(); op != opPong || string(payload) != "too early" {
		t.Fatalf("kind %d %q", op, payload)
	}
	// A message in three fragments with a ping between them, byte by byte.
	var all []byte
	all = append(all, masked(opText, []byte("some"))...)
	all = append(all, masked(0x80|opPing, []byte("between"))...)
	all = append(all, masked(0x0, bytes.Repeat([]byte("x"), 1000))...)
	all = append(all, masked(0x80, []byte("thing"))...)
	all = append(all, masked(0x80|opPing, nil)...)
	for _, b := range all {
		if _, err := s.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"between", ""} {
		if op, payload := s.frame(); op != opPong || string(payload) != want {
			t.Fatalf("kind %d %q", op, payload)
		}
	}
	e.bulk(st, 0, 1)
	if op, payload := s.frame(); op != opText || marker(t, string(payload)) != 1 {
		t.Fatalf("kind %d %q", op, payload)
	}
	s.send(0x80|opClose, []byte{0x0f, 0xa1, 'b', 'y', 'e'}) // 4001
	if code := s.closed(); code != 4001 {
		t.Errorf("closed with %d", code)
	}

	for name, row := range map[string]struct {
		bytes []byte
		code  uint16
	}{
		"too much at once":        {masked(0x80|opText, bytes.Repeat([]byte("x"), 5000)), 1009},
		"too much in fragments":   {append(masked(opText, bytes.Repeat([]byte("x"), 3000)), masked(0x80, bytes.Repeat([]byte("x"), 3000))...), 1009},
		"a negative length":       {append([]byte{0x80 | opText, 0x80 | 127}, bytes.Repeat([]byte{0xff}, 12)...), 1009},
		"not masked":              {[]byte{0x80 | opText, 2, 'h', 'i'}, 1002},
		"unknown kind":            {masked(0x80|0x5, nil), 1002},
		"a ping in two":           {masked(opPing, nil), 1002},
		"a continuation of none":  {masked(0x80, []byte("x")), 1002},
		"a reserved bit":          {masked(0xc0|opText, []byte("x")), 1002},
		"a code that is none":     {masked(0x80|opClose, []byte{0x03, 0xed}), 1002}, // 1005
		"a close without a code":  {masked(0x80|opClose, nil), 0},
		"a close, then something": {append(masked(0x80|opClose, []byte{0x03, 0xe8}), masked(0x80|opPing, nil)...), 1000},
	} {
		t.Run(name, func(t *testing.T) {
			s := e.rawDial("", st.token)
			s.t = t
			if _, err := s.Write(row.bytes); err != nil {
				t.Fatal(err)
			}
			if row.code == 0 {
				if op, payload := s.frame(); op != opClose || len(payload) != 0 {
					t.Errorf("kind %d %q", op, payload)
				}
				return
			}
			if code := s.closed(); code != row.code {
				t.Errorf("closed with %d, not %d", code, row.code)
			}
		})
	}
}

func TestSocketNeedsHTTP11(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	a := e.talk("GET", head("GET /ws HTTP/1.0", "Host: x", st.bearer(), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
	if a.status != 505 || a.body != "A websocket needs HTTP/1.1: send the request by that version" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestSocketPings(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Ping = 30 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	s := e.rawDial("", st.token)
	// Pings come while events do, and never inside of one.
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			e.bulk(st, 100*i, 100)
		}
	})
	pings, events := 0, 0
	for pings < 5 || events < 2000 {
		switch op, payload := s.frame(); op {
		case opPing:
			pings++
			s.send(0x80|opPong, payload)
		case opText:
			if events++; marker(t, string(payload)) != events {
				t.Fatalf("%q is not click %d", payload, events)
			}
		default:
			t.Fatalf("a frame of kind %d", op)
		}
	}
	wg.Wait()
}

// Events of every size and script arrive as they were sent.
func TestSocketTexts(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "free", Payload: "json"})
	ws := e.dial("", st.token)
	var want []string
	for _, s := range []string{"", "x", "Grüße, Ωmega, 日本語, 🦫, \u2028", strings.Repeat("é", 60), strings.Repeat("z", 65500), strings.Repeat("ab🦫", 300<<10/6)} {
		b, err := json.Marshal(map[string]string{"s": s})
		e.must(err)
		want = append(want, string(b))
	}
	e.want(200, "POST", "/v1/streams/free/events", st.token, strings.Join(want, "\n"))
	for _, w := range want {
		var a, b any
		got := text(t, ws)
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(w), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%.100q instead of %.100q", got, w)
		}
	}
}

// Many readers of every kind, each given every event once and in order.
func TestSocketFanOut(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	const readers, events = 100, 3000
	var wg sync.WaitGroup
	for i := range readers {
		query := []string{"", "envelope=offset", "envelope=airship"}[i%3]
		ws := e.dial(query, st.token)
		wg.Go(func() {
			for n := 1; n <= events; n++ {
				_, data, err := ws.ReadMessage()
				if err != nil {
					t.Errorf("reader %d at %d: %v", i, n, err)
					return
				}
				if marker(t, string(data)) != n {
					t.Errorf("reader %d: %.200q instead of click %d", i, data, n)
					return
				}
			}
		})
	}
	// Others show the same events in the same envelopes, but not as frames.
	for _, path := range []string{"/sse", "/sse?envelope=offset", "/v1/streams/web/events", "/v1/streams/web/events?envelope=airship"} {
		s := e.open("GET", path, st.token, "", nil)
		defer time.AfterFunc(30*time.Second, s.end).Stop()
		wg.Go(func() {
			n := 1
			for s.lines.Scan() && n <= events {
				line := s.lines.Text()
				shown := marker(t, line)
				if served := strings.HasPrefix(line, "data: "); shown < 0 {
					continue
				} else if shown != n || served != strings.HasPrefix(path, "/sse") {
					t.Errorf("%s: %.200q instead of click %d", path, line, n)
					return
				}
				n++
			}
			if n <= events {
				t.Errorf("%s: only %d clicks came", path, n-1)
			}
		})
	}
	for i := 0; i < events; i += 250 {
		e.bulk(st, i, 250)
	}
	wg.Wait()
}

// Nothing follows a close frame, though events keep coming.
func TestSocketClosesUnderLoad(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 10_000)
	for range 20 {
		s := e.rawDial("from=EARLIEST", st.token)
		s.frame()
		s.send(0x80|opClose, []byte{0x03, 0xe8})
		for {
			op, payload := s.frame()
			if op == opText {
				continue
			}
			if op != opClose || binary.BigEndian.Uint16(payload) != websocket.CloseNormalClosure {
				t.Fatalf("kind %d %q", op, payload)
			}
			break
		}
		if rest, err := io.ReadAll(s.r); err != nil || len(rest) > 0 {
			t.Fatalf("after the close frame: %d bytes, %v", len(rest), err)
		}
	}
}

// A reader that stops falls out of the ring, goes on from the log, and loses nothing.
func TestSocketSlow(t *testing.T) {
	e := newEdge(t, nil, func(c *relay.Config) { c.RingBytes = 256 << 10 })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	slow := e.dial("", st.token)
	const events = 60_000
	for i := 0; i < events; i += 10_000 {
		e.bulk(st, i, 10_000)
	}
	e.must(slow.SetReadDeadline(time.Now().Add(time.Minute)))
	for n := 1; n <= events; n++ {
		if line := text(t, slow); marker(t, line) != n {
			t.Fatalf("%.200q instead of click %d", line, n)
		}
	}
}

// A socket ends within moments when its right is gone, and the client is told so.
func TestSocketEndsWithItsRight(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	deleted := e.stream("default", registry.StreamSpec{Name: "deleted"})
	disabled := e.stream("default", registry.StreamSpec{Name: "disabled"})
	a, b := e.dial("", deleted.token), e.dial("", disabled.token)
	_, err := e.reg.DeleteStream(t.Context(), deleted.Project, "deleted", false)
	e.must(err)
	off := false
	_, err = e.reg.UpdateStream(t.Context(), disabled.Project, "disabled", registry.StreamPatch{Enabled: &off})
	e.must(err)
	for _, ws := range []*websocket.Conn{a, b} {
		if code := closing(t, ws); code != websocket.ClosePolicyViolation {
			t.Errorf("closed with %d", code)
		}
	}
}

func TestSocketDrain(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	polite := e.dial("", st.token)
	silent := e.rawDial("", st.token) // reads the close frame and does not answer it
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- e.stop() }()
	if code := closing(t, polite); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
	if op, payload := silent.frame(); op != opClose || binary.BigEndian.Uint16(payload) != websocket.CloseGoingAway {
		t.Errorf("kind %d %q", op, payload)
	}
	e.must(<-ended)
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("a client that says nothing held the stop up for %v", took)
	}
}

// A client that reads nothing at all holds a stop up for its grace and no longer.
func TestSocketDrainStuck(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Grace = time.Second })
	st := e.stream("default", registry.StreamSpec{Name: "free", Payload: "json"})
	e.rawDial("", st.token)
	large := `{"s":"` + strings.Repeat("x", 1000<<10) + `"}` + "\n"
	for range 2 {
		e.want(200, "POST", "/v1/streams/free/events", st.token, strings.Repeat(large, 10))
	}
	begun := time.Now()
	e.must(e.stop())
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
