package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

// grant is the right of a caller to one stream, found before anything of the body is read.
type grant struct {
	who    auth.Principal
	snap   *registry.Snapshot
	stream *registry.Stream
}

// denial is why there is no grant: an answer for any API. The zero denial is none.
type denial struct {
	status int
	result result
	text   string
	wait   time.Duration // with 429
}

func (d denial) write(rs *response, s shape) {
	rs.reason = d.result
	rs.refuse(s, d.status, d.text)
	if d.wait > 0 {
		rs.set("Retry-After", strconv.FormatInt(d.seconds(), 10))
	}
}

// seconds is the wait in whole ones, rounded up.
func (d denial) seconds() int64 { return int64((d.wait + time.Second - 1) / time.Second) }

// sendsToDerived refuses an event that is for a derived stream, and says where it belongs.
func sendsToDerived(st *registry.Stream) denial {
	return denied(fmt.Sprintf("Stream '%s' is derived: send to its source '%s'", st.Name, st.Source.Name))
}

// defaultProject is where the admin token acts when the request names no project.
const defaultProject = "default"

// admit finds the stream a request acts on and whether its caller may do that. name is the stream's name in the path;
// empty where the token names the stream and only tokens of a whole project say ?stream=. Another project's stream
// looks exactly like none at all.
func (g *Gateway) admit(rq *request, a auth.Action, name string) (grant, denial, error) {
	who, err := g.registry.Authenticate(rq.bearer())
	if err != nil {
		return grant{}, denial{}, err
	}
	if name == "" {
		if !auth.May(who.Kind, a) {
			if st := g.registry.Snapshot().StreamByUUID(who.Stream); a == auth.Send && st != nil && st.Source != nil {
				return grant{}, sendsToDerived(st), nil
			}
			return grant{}, denied("This token may not be used here"), nil
		}
		name, _ = rq.param("stream")
	}
	var st *registry.Stream
	switch {
	case name != "":
		st = g.find(rq, who, name)
	case who.Stream != "":
		if st = g.registry.Snapshot().StreamByUUID(who.Stream); st == nil {
			return grant{}, denial{}, auth.ErrInvalid
		}
		if project, ok := rq.project(); ok && project != st.Project.Name {
			return grant{}, denial{status: http.StatusNotFound, result: resultUnknown, text: fmt.Sprintf("Project %s does not exist", shownName(project))}, nil
		}
	default:
		return grant{}, denial{status: http.StatusBadRequest, result: resultInvalid,
			text: "Parameter stream is missing: this token is not a stream's own, name the stream with ?stream="}, nil
	}
	snap := g.registry.Snapshot()
	switch snap.Authorize(who, a, st) {
	case registry.Allowed:
		return grant{who: who, snap: snap, stream: st}, denial{}, nil
	case registry.Disabled:
		return grant{}, denied(fmt.Sprintf("Stream '%s' is disabled", st.Name)), nil
	case registry.Forbidden:
		if a == auth.Send && st.Source != nil {
			return grant{}, sendsToDerived(st), nil
		}
		return grant{}, denied(fmt.Sprintf("This token may not use stream '%s'", st.Name)), nil
	default:
		return grant{}, noStream(name), nil
	}
}

// find gives the stream that a request names, in the project that it names, else in the caller's own; nil where the
// caller may not know of it.
func (g *Gateway) find(rq *request, who auth.Principal, name string) *registry.Stream {
	p := g.registry.Snapshot().ProjectByID(who.Project)
	project, ok := rq.project()
	switch {
	case who.Kind == auth.Admin && !ok:
		p = g.registry.Snapshot().Project(defaultProject)
	case who.Kind == auth.Admin:
		p = g.registry.FindProject(rq.ctx, project)
	case ok && (p == nil || p.Name != project):
		return nil
	}
	return g.registry.FindStream(rq.ctx, p, name)
}

// shownName bounds what of a name sent by a stranger stands in an answer.
func shownName(name string) string {
	const most = 100
	if len(name) > most {
		name = name[:most] + "…"
	}
	q := strconv.Quote(name)
	return "'" + q[1:len(q)-1] + "'"
}

func noStream(name string) denial {
	return denial{status: http.StatusNotFound, result: resultUnknown, text: fmt.Sprintf("Stream %s does not exist", shownName(name))}
}

func denied(text string) denial {
	return denial{status: http.StatusForbidden, result: resultForbidden, text: text}
}

// inlet adds to admit what sending needs: the stream takes events itself, and its rate allows one more. one is how
// many events to let in at once; 0 leaves that to later.
func (g *Gateway) inlet(rq *request, a api, name string, one int) (grant, *inlet, denial, error) {
	gr, no, err := g.admit(rq, auth.Send, name)
	if err != nil || no.status != 0 {
		return gr, nil, no, err
	}
	st := gr.stream
	it := g.ingest.of(gr.snap, st)
	if a == apiEvent && st.Payload != "" {
		return gr, it, noStream(st.Name), nil
	}
	if one == 0 {
		return gr, it, g.room(it, st), nil
	}
	return gr, it, g.takeSingle(rq, it, st), nil
}
