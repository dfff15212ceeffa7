package gateway

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

// serveHTTP2By answers a request of HTTP/2 by a handler of fasthttp's: the management API and the metrics. The body was
// read, within its limit, and belongs to the handler. Costs some microseconds and kilobytes, which neither of them is
// asked for often enough to notice.
func (g *Gateway) serveHTTP2By(handle fasthttp.RequestHandler, w http.ResponseWriter, r *http.Request, c *conn, host string, body []byte) {
	ctx := new(fasthttp.RequestCtx)
	ctx.Init2(c, slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), true)
	h := &ctx.Request.Header
	for name, values := range r.Header {
		for _, v := range values {
			h.Add(name, v)
		}
	}
	h.SetMethod(r.Method)
	h.SetHost(host)
	ctx.Request.SetRequestURI(r.RequestURI)
	if len(body) > 0 {
		ctx.Request.SetBodyRaw(body)
	}
	ctx.Response.Header.SetNoDefaultContentType(true)
	handle(ctx)

	head := w.Header()
	head["Content-Type"] = nil // not guessed
	for name, value := range ctx.Response.Header.All() {
		switch string(name) {
		case "Connection", "Transfer-Encoding", "Content-Length", "Date":
		case "Content-Type":
			head.Set("Content-Type", string(value))
		default:
			head.Add(string(name), string(value))
		}
	}
	if long := ctx.Response.BodyStream(); long != nil {
		defer ctx.Response.CloseBodyStream()
		streamHTTP2(w, ctx.Response.StatusCode(), long)
		return
	}
	sendHTTP2(w, ctx.Response.StatusCode(), ctx.Response.Body())
}

// streamHTTP2 sends an answer as long as it is, piece by piece. One that ends with an error, or whose client does not make room for a
// piece in time, is broken off, or the client would take it for whole.
func streamHTTP2(w http.ResponseWriter, status int, long io.Reader) {
	control := http.NewResponseController(w)
	w.WriteHeader(status)
	for piece := make([]byte, backupBuffer); ; {
		n, err := long.Read(piece)
		if n > 0 {
			if control.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
				panic(http.ErrAbortHandler)
			}
			if _, err := w.Write(piece[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
