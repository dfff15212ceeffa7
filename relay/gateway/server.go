package gateway

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// headerBytes bounds request line and header together: a token of some kilobytes and a proxy's additions fit.
	headerBytes = 16 << 10
	idleTime    = 2 * time.Minute
	writeTime   = 30 * time.Second
	// prefetch is how much of a body fasthttp reads before it calls the handler.
	prefetch = 8 << 10
	// manageBody is the largest body that reaches the management API.
	manageBody = 4 << 20
)

// exchange is a request and its answer. Pooled.
type exchange struct {
	rq request
	rs response
}

// newServer makes the HTTP/1 transport. Bodies are streamed: the handler runs when the header is there, so that a
// token is checked before a body is read, and the buffers are ours.
func (g *Gateway) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      g.serve,
		ErrorHandler:                 g.serveBroken,
		HeaderReceived:               g.headerReceived,
		ExpectHandler:                g.expect,
		ConnState:                    connState,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		StreamRequestBody:            true,
		MaxRequestBodySize:           prefetch,
		ReadBufferSize:               headerBytes,
		ReadTimeout:                  g.cfg.HeaderTime,
		WriteTimeout:                 writeTime,
		IdleTimeout:                  idleTime,
		SecureErrorLogMessage:        true,
		// What fasthttp would log is about single clients; ServeConn's errors are not logged at all.
		Logger: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}

// headerReceived runs before the address is parsed: a Host with a scheme, which a known producer sends, is refused by
// fasthttp as by net/http. It also sees to what fasthttp does not of when a connection has to end.
// A body that is announced larger than its route takes is not waited for: fasthttp would read its first part before it calls the handler, and
// a client that sends no more than a little of it would hear of its slowness instead of its size. To one that waits to be asked the handler
// speaks first, so it is made to look like that.
func (g *Gateway) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if host, ok := bareHost(string(h.Host())); ok {
		h.SetHost(host)
	}
	if wantsClose(h.Peek(fasthttp.HeaderConnection)) || doublyFramed(h) {
		h.SetConnectionClose()
	}
	if n := int64(h.ContentLength()); n > 0 && n > g.mostOf(h) {
		h.Set(fasthttp.HeaderExpect, "100-continue")
	}
	return fasthttp.RequestConfig{}
}

// mostOf is the largest body that a request's route may take. A guess is enough, from an address that is not cleaned yet: where it is too small
// the client is asked for its body without having waited to be.
func (g *Gateway) mostOf(h *fasthttp.RequestHeader) int64 {
	path, query, _ := bytes.Cut(h.RequestURI(), []byte("?"))
	if string(path) == "/event" {
		return int64(g.cfg.MaxEventBytes)
	}
	if _, ok := payloadOf(path); ok {
		return int64(g.cfg.MaxPayloadBytes)
	}
	if streamOf(path) == "" {
		return manageBody
	}
	if bytes.Contains(query, []byte("atomic=true")) {
		return bulkMaxAtomic
	}
	return bulkMaxBytes
}

// wantsClose finds the option close in a Connection field, in any case and among others (RFC 9110 §7.6.1): a client that
// reads until the end of the connection would wait for nothing.
func wantsClose(options []byte) bool {
	for len(options) > 0 {
		var one []byte
		one, options, _ = bytes.Cut(options, []byte(","))
		if bytes.EqualFold(bytes.TrimSpace(one), []byte("close")) {
			return true
		}
	}
	return false
}

// doublyFramed tells whether a chunked request has a length as well. It is taken by its chunks, and nothing may follow it
// (RFC 9112 §6.1): a proxy in front that went by the length would see another request begin here.
func doublyFramed(h *fasthttp.RequestHeader) bool {
	if h.ContentLength() != -1 {
		return false
	}
	for line := range bytes.Lines(h.RawHeaders()) {
		if name, _, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte(fasthttp.HeaderContentLength)) {
			return true
		}
	}
	return false
}

// bareHost is the host in one that has a scheme; ok tells whether it has.
func bareHost(s string) (host string, ok bool) {
	if _, host, ok = strings.Cut(s, "://"); ok {
		host, _, _ = strings.Cut(host, "/")
	}
	return host, ok
}

// begin makes an exchange of fasthttp's request.
func (g *Gateway) begin(ctx *fasthttp.RequestCtx, c *conn) *exchange {
	c.idle.Store(false)
	x := g.exchanges.Get().(*exchange)
	rq := &x.rq
	rq.begin()
	h := &ctx.Request.Header
	rq.ctx, rq.method, rq.path, rq.query = g.work, methodName(ctx.Method()), ctx.Path(), ctx.URI().QueryString()
	rq.header, rq.peer, rq.http11, rq.close = h, c.peer, h.IsHTTP11(), h.ConnectionClose()
	rq.body.begun = time.Now()
	rq.body.declared = int64(h.ContentLength())
	if r := ctx.RequestBodyStream(); r != nil && rq.body.declared != 0 {
		rq.body.src = r
		if rq.body.declared < 0 || rq.body.declared > prefetch {
			rq.body.at, rq.body.grace = c, g.cfg.BodyTime
		}
	}
	return x
}

func (g *Gateway) end(x *exchange) {
	x.rs.reset()
	x.rq.release()
	b := x.rq.body
	b.reset()
	x.rq = request{body: b}
	g.exchanges.Put(x)
}

// serve answers one request of HTTP/1.
func (g *Gateway) serve(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn().(*conn)
	if c.proxy {
		g.serveForwarded(ctx, c)
		return
	}
	g.answer(ctx, c)
}

// serveForwarded answers a request that a trusted proxy has sent, if its client may have one more in progress.
func (g *Gateway) serveForwarded(ctx *fasthttp.RequestCtx, c *conn) {
	client, ok := g.connections.proxies.client(&ctx.Request.Header)
	if !ok {
		g.answer(ctx, c)
		return
	}
	leave, ok := g.connections.enter(client)
	if !ok {
		x := g.begin(ctx, c)
		g.tooMany(client, x)
		g.write(ctx, x)
		c.finish(ctx, !x.rq.body.discard())
		g.end(x)
		return
	}
	g.answer(ctx, c)
	if c.takeover != nil {
		c.takeover.then(leave)
		return
	}
	leave()
}

// tooMany refuses a request of a client that has as many in progress as it may have.
func (g *Gateway) tooMany(client netip.Addr, x *exchange) {
	g.log.Debug("request turned away", slog.String("address", client.String()))
	r, _ := routeOf(x.rq.path)
	x.rs.refuse(r.shape, http.StatusTooManyRequests, "Too many connections from this address")
	x.rs.set("Retry-After", "1")
}

// answer is serve for whoever may be served.
func (g *Gateway) answer(ctx *fasthttp.RequestCtx, c *conn) {
	x := g.begin(ctx, c)
	x.rq.ready, c.asked = c.asked, false
	defer func() {
		if r := recover(); r != nil {
			// The exchange is left to the collector: nobody knows who still holds what of it.
			g.panicked(ctx, c, x, r)
			return
		}
		g.end(x)
	}()
	r, native := routeOf(x.rq.path)
	switch {
	case native:
		g.handle(r, &x.rq, &x.rs)
	case g.metrics != nil && string(x.rq.path) == "/metrics":
		whole := x.rq.body.discard()
		ctx.Request.ResetBody()
		g.metrics(ctx)
		c.finish(ctx, !whole)
		return
	default:
		g.serveManagement(ctx, c, x)
		return
	}
	if t := x.rs.takeover; t != nil {
		t.keepOpen = x.rq.body.discard() && t.keepOpen
		g.takeOver(ctx, c, t)
		return
	}
	g.write(ctx, x)
	c.finish(ctx, x.rs.close || !x.rq.body.discard())
}

// write hands the answer to fasthttp, which copies it.
func (g *Gateway) write(ctx *fasthttp.RequestCtx, x *exchange) {
	rs, out := &x.rs, &ctx.Response
	out.SetStatusCode(rs.status)
	if rs.contentType != "" {
		out.Header.SetContentType(rs.contentType)
	}
	for _, f := range rs.fields {
		out.Header.Set(f.name, f.value)
	}
	if len(rs.body) > 0 {
		out.SetBody(rs.body)
	}
}

// finish says whether another request may follow on the connection. Where the client may still be sending it is
// lingered for, or a reset would overtake the answer.
func (c *conn) finish(ctx *fasthttp.RequestCtx, end bool) {
	if end {
		ctx.SetConnectionClose()
		c.linger = true
	}
}

// takeOver takes the connection away from fasthttp: serveConn goes on with it when fasthttp has let go.
func (g *Gateway) takeOver(ctx *fasthttp.RequestCtx, c *conn, t *takeover) {
	if t.socket == nil {
		t.answer.Header = t.head.append(nil)
	}
	c.take(t)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(from net.Conn) {
		if t.keepOpen || t.socket != nil {
			c.keepEarly(from)
		}
	})
}

// serveManagement gives a request to the management API, with its body read and bounded.
func (g *Gateway) serveManagement(ctx *fasthttp.RequestCtx, c *conn, x *exchange) {
	if g.draining.Load() {
		x.rs.refuse(shapeManage, http.StatusServiceUnavailable, errDraining.Error())
		g.write(ctx, x)
		c.finish(ctx, true)
		return
	}
	data, err := x.rq.body.all(manageBody)
	if err != nil {
		g.fail(&x.rq, &x.rs, shapeManage, err)
		g.write(ctx, x)
		c.finish(ctx, true)
		return
	}
	if x.rq.body.src != nil {
		// The application's answer may point into the body until it is written: the buffer is not used again.
		x.rq.body.buf = nil
		ctx.Request.SetBodyRaw(data)
	}
	g.manage(ctx)
	if long, ok := ctx.Response.BodyStream().(*runningBackup); ok {
		// The time for an answer is what one piece of it may take.
		long.sending = func() { _ = c.SetWriteDeadline(time.Now().Add(writeTime)) }
	}
}

// expect answers a client that waits to be asked for its body (Expect: 100-continue): the handler runs as far as it
// gets without one. What it says then is the answer; if it asks for the body, the client is asked.
func (g *Gateway) expect(ctx *fasthttp.RequestCtx) (status int) {
	c := ctx.Conn().(*conn)
	x := g.begin(ctx, c)
	defer func() {
		if r := recover(); r != nil {
			g.panicked(ctx, c, x, r)
			status = http.StatusInternalServerError
			return
		}
		g.end(x)
	}()
	b := &x.rq.body
	b.declared = int64(ctx.Request.Header.ContentLength())
	if b.declared == 0 {
		return fasthttp.StatusContinue
	}
	b.src, b.probe = bytes.NewReader(nil), true
	if r, native := routeOf(x.rq.path); native {
		g.handle(r, &x.rq, &x.rs)
	} else if _, err := b.all(manageBody); err != nil {
		g.fail(&x.rq, &x.rs, shapeManage, err)
	}
	if x.rs.status == http.StatusContinue {
		c.asked = true
		return fasthttp.StatusContinue
	}
	if t := x.rs.takeover; t != nil {
		// The handler has no use for the body: it is read away when the answer comes round again.
		t.abandon()
		return fasthttp.StatusContinue
	}
	g.write(ctx, x)
	c.linger = true
	return x.rs.status
}

// serveBroken answers a request whose header, or the first part of whose body, could not be read.
func (g *Gateway) serveBroken(ctx *fasthttp.RequestCtx, err error) {
	s := shapePlain
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger = true
		s = c.opening.shape()
	}
	status, text := http.StatusBadRequest, "Request is not valid HTTP/1"
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		status, text = http.StatusRequestHeaderFieldsTooLarge, "Request header is too large"
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, text = http.StatusRequestTimeout, "Request came too slowly"
	}
	ctx.Response.Reset()
	x := g.exchanges.Get().(*exchange)
	defer g.end(x)
	x.rq.begin()
	x.rs.id = x.rq.id
	x.rs.refuse(s, status, text)
	g.write(ctx, x)
}

// panicked keeps one request's panic from ending the process. The log has of the panic only what the runtime says:
// other values may carry parts of the request.
func (g *Gateway) panicked(ctx *fasthttp.RequestCtx, c *conn, x *exchange, r any) {
	text := g.panicText(&x.rq, r)
	if t := x.rs.takeover; t != nil && c.takeover == nil {
		t.abandon()
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(http.StatusInternalServerError)
	ctx.SetContentType(typeText)
	ctx.SetBodyString(text)
	c.finish(ctx, true)
}

// panicText ends what a request that panicked has held, logs it, and is what its client is told.
func (g *Gateway) panicText(rq *request, r any) string {
	what := "a value"
	if re, ok := r.(runtime.Error); ok {
		what = re.Error()
	}
	rq.release()
	id := rq.idText()
	g.log.Error("request panicked", slog.String("request", id), slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	return "The server could not complete the request " + id + "; its log says why"
}
