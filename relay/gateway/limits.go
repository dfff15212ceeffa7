package gateway

import (
	"fmt"
	"net/http"
	"time"

	"sluice/relay/registry"
	"sluice/relay/usage"
)

// limits hold a stream to what it may take: its events per second, on this node, and its events per calendar month, on
// all. Safe for concurrent use, without a lock or an allocation.
type limits struct {
	rate  limiter
	month *usage.Counter // nil: months are not counted
}

// limitText is what every surface says of either limit.
const limitText = "event rate limit exceeded"

func limited(wait time.Duration) denial {
	return denial{status: http.StatusTooManyRequests, result: resultRate, text: limitText, wait: wait}
}

// take lets n events of a request in, all or none, and holds them in the month's count until the request has ended. Ingest
// routes of single events call it through Gateway.inlet, with one = 1; those that learn only from the body how many there
// are call inlet with one = 0, which asks for room for one, and then take. More than a second's worth may come at once
// where there is room for one, and is paid back by who comes after; the month's limit is exact.
func (g *Gateway) take(rq *request, it *inlet, st *registry.Stream, n int) denial {
	if no := g.takeMonth(rq, it, st, n); no.status != 0 {
		return no
	}
	if wait := it.limits.rate.take(g.uptime(), st.EventRate, n); wait > 0 {
		rq.release()
		return limited(wait)
	}
	return denial{}
}

// takeSingle is take for a request of one event. One that waits for 100 Continue comes here twice and counts once; the
// month's count lets go in between.
func (g *Gateway) takeSingle(rq *request, it *inlet, st *registry.Stream) denial {
	if rq.ready {
		return g.takeMonth(rq, it, st, 1)
	}
	return g.take(rq, it, st, 1)
}

// takeMonth is take for the month alone.
func (g *Gateway) takeMonth(rq *request, it *inlet, st *registry.Stream, n int) denial {
	month := it.limits.month
	if month == nil {
		return denial{}
	}
	if wait, ok := month.Take(time.Now(), st.EventCount, n); !ok {
		return limited(wait)
	}
	rq.month, rq.held = month, rq.held+n
	return denial{}
}

// room tells whether an event may come in, without letting one in.
func (g *Gateway) room(it *inlet, st *registry.Stream) denial {
	if month := it.limits.month; month != nil {
		wait, ok := month.Take(time.Now(), st.EventCount, 1)
		if !ok {
			return limited(wait)
		}
		month.Done(1)
	}
	if wait := it.limits.rate.room(g.uptime(), st.EventRate); wait > 0 {
		return limited(wait)
	}
	return denial{}
}

// release ends what a request held of a month: by now its events are stored, and counted as such, or never will be.
func (rq *request) release() {
	if rq.held > 0 {
		rq.month.Done(rq.held)
		rq.month, rq.held = nil, 0
	}
}

// limitError is a refusal for a limit on its way through the core.
type limitError struct{ denial }

func (e *limitError) Error() string {
	return fmt.Sprintf("%s; there is room in %s", e.text, e.wait.Round(time.Second))
}
