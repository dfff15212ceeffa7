package wire_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"

	"sluice/loadtest/wire"
)

// What a websocket library sends arrives as it was sent: short, longer than the buffer, and with control frames in between.
func TestMessagesOfASocket(t *testing.T) {
	lengths := []int{0, 1, 125, 126, 127, 65_535, 65_536, 200_000, 3}
	upgrader := websocket.Upgrader{}
	c, host := dial(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.Close()
		for i, n := range lengths {
			if err := errors.Join(ws.WriteMessage(websocket.PingMessage, []byte("are you there")),
				ws.WriteMessage(websocket.TextMessage, []byte(fmt.Sprint(i)+strings.Repeat("z", n)))); err != nil {
				t.Error(err)
			}
		}
		if err := ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, ws.NetConn())
	})
	s, err := c.Open(wire.SocketRequest("/", host, nil))
	if err != nil || !s.Socket {
		t.Fatal(s, err)
	}
	n := 0
	err = wire.Messages(s, func(message []byte) error {
		if want := fmt.Sprint(n) + strings.Repeat("z", lengths[n]); string(message) != want {
			return fmt.Errorf("%.30q, %d bytes, want %d", message, len(message), len(want))
		}
		n++
		return nil
	})
	if !errors.Is(err, io.EOF) || n != len(lengths) {
		t.Errorf("%d messages, %v", n, err)
	}
	s.Close()
}

func TestMessagesThatAreNone(t *testing.T) {
	for _, frames := range []string{"\x81\x85aaaa", "\x01\x01a", "\x82\x01a", "\x81\x7f\x00\x00\x00\x00\x7f\x00\x00\x00", "\x81\x05abc", "\x81"} {
		err := wire.Messages(strings.NewReader(frames), func([]byte) error { return errors.New("a message") })
		if err == nil || err.Error() == "a message" || errors.Is(err, io.EOF) && len(frames) > 1 && frames[1] != '\x05' {
			t.Errorf("%q: %v", frames, err)
		}
	}
}
