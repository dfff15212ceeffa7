package gateway

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// getAlive says that the process answers, and nothing else: who restarts it on a no must not do so because of a full
// disk or a stop in progress.
func (g *Gateway) getAlive(_ *request, rs *response) {
	rs.set("Cache-Control", "no-store")
	rs.send(http.StatusOK, typeText, []byte("alive\n"))
}

// getReady says whether work is welcome: 503 with the reason when it is not.
func (g *Gateway) getReady(_ *request, rs *response) {
	rs.set("Cache-Control", "no-store")
	if err := g.notReady(); err != nil {
		rs.send(http.StatusServiceUnavailable, typeText, []byte(err.Error()+"\n"))
		return
	}
	rs.send(http.StatusOK, typeText, []byte("ready\n"))
}

func (g *Gateway) notReady() error {
	if g.draining.Load() {
		return errDraining
	}
	if err := g.registry.Ready(); err != nil {
		return err
	}
	if g.cfg.Ready != nil {
		return g.cfg.Ready()
	}
	return nil
}

// metricsHandler shows what the process measures, in Prometheus' text format.
func metricsHandler(from prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(from, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// openMetrics decides where /metrics is.
func (g *Gateway) openMetrics() error {
	if g.cfg.Gatherer == nil {
		return nil
	}
	h := g.pruned(metricsHandler(g.cfg.Gatherer))
	if g.cfg.MetricsListen == "" {
		g.metrics = fasthttpadaptor.NewFastHTTPHandler(h)
		return nil
	}
	ln, err := net.Listen("tcp", g.cfg.MetricsListen)
	if err != nil {
		return fmt.Errorf("listen on %s (setting metrics.listen): %w", g.cfg.MetricsListen, err)
	}
	g.observed = ln
	g.observer = newMetricsServer(h, g.log)
	return nil
}

// pruned drops the series of streams that are not there any more before it lets h show the rest to who asks for it.
func (g *Gateway) pruned(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "This path takes GET, HEAD only", http.StatusMethodNotAllowed)
			return
		}
		snap := g.registry.Snapshot()
		names := map[string]bool{}
		for _, s := range snap.AllStreams() {
			names[s.Name] = true
		}
		g.ingest.keep(snap)
		g.conns.KeepSeries(func(stream string) bool { return names[stream] })
		h.ServeHTTP(w, r)
	})
}

// metricsTime is how long a request for the metrics may take to come in.
const metricsTime = 10 * time.Second

// newMetricsServer serves /metrics alone.
func newMetricsServer(h http.Handler, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/metrics", h)
	return &http.Server{
		Handler: mux, ReadHeaderTimeout: metricsTime, ReadTimeout: metricsTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
