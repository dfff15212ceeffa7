package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fasthttp/websocket"
)

const (
	// socketSilence is how long a server may say nothing: it pings every 30 s.
	socketSilence = 75 * time.Second
	dialTimeout   = 30 * time.Second
	goodbyeTime   = time.Second
)

// Messages is a websocket of events in progress, one a message. One goroutine, but for Close.
type Messages struct {
	ws   *websocket.Conn
	stop func() bool // of the watch over the context
}

// Socket opens a stream's events over a websocket, with the parameters of the query; from, limit and envelope are the API's own. When it
// returns, the place of from is fixed. It ends with ctx. Errors as Send.
func (c *Client) Socket(ctx context.Context, stream string, query url.Values) (*Messages, error) {
	query.Set("stream", stream)
	d := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: dialTimeout, TLSClientConfig: c.tls()}
	header := http.Header{"User-Agent": {c.Agent}}
	if c.Token != "" {
		header.Set("Authorization", "Bearer "+c.Token)
	}
	ws, resp, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(c.Base, "http")+"/ws?"+query.Encode(), header)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && resp != nil && resp.StatusCode >= 300:
		return nil, refused(resp)
	case err != nil:
		return nil, c.unreachable(err)
	}
	ws.SetReadLimit(maxLine)
	m := &Messages{ws: ws, stop: context.AfterFunc(ctx, func() { _ = ws.Close() })}
	pong := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		m.heard()
		return pong(data)
	})
	m.heard()
	return m, nil
}

// tls is how the client trusts servers; nil: as the system does.
func (c *Client) tls() *tls.Config {
	if t, ok := c.HTTP.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		return &tls.Config{RootCAs: t.TLSClientConfig.RootCAs}
	}
	return nil
}

func (m *Messages) heard() { _ = m.ws.SetReadDeadline(time.Now().Add(socketSilence)) }

// Next waits for the next message. io.EOF says that the server ended the socket in order: a limit was reached (1000), or it is stopping
// (1001).
func (m *Messages) Next() ([]byte, error) {
	_, text, err := m.ws.ReadMessage()
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
		return nil, io.EOF
	}
	m.heard()
	return text, err
}

// Waiting tells that more has arrived already; of a websocket that is not known.
func (m *Messages) Waiting() bool { return false }

// Close says goodbye and closes the socket.
func (m *Messages) Close() error {
	m.stop()
	_ = m.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(goodbyeTime))
	return m.ws.Close()
}
