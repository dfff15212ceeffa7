package registry

import (
	"fmt"
	"slices"

	"sluice/relay/engine"
)

// SinkByID gives the sink of that uuid, nil if there is none.
func (s *Snapshot) SinkByID(id string) *Sink { return s.sinks.get(id) }

// PayloadStreams gives the streams of all projects that take payloads, in no order.
func (s *Snapshot) PayloadStreams() []*Stream {
	var all []*Stream
	for _, st := range s.payloads.all() {
		all = append(all, st)
	}
	return all
}

// checkLanding holds what a spec says of where payloads land to there being payloads.
func checkLanding(spec StreamSpec) error {
	switch {
	case spec.Payload != "":
	case spec.Sink != "":
		return &Invalid{"sink", "only the payloads of a stream with a payload land; an exporter writes the events of any other"}
	case spec.Gzip:
		return &Invalid{"gzip", "only the payloads of a stream with a payload land"}
	}
	return nil
}

// landIn notes the sink of a stream to be made, by name; empty: none. The sink is written again as it is, for the reason that planStream gives.
func (r *streamRecord) landIn(s *Snapshot, at revisions, p *Project, name string, writes []engine.Write) ([]engine.Write, error) {
	if name == "" {
		return writes, nil
	}
	sink := s.Sink(p, name)
	if sink == nil {
		return nil, &Invalid{"sink", fmt.Sprintf("there is no sink %s", name)}
	}
	r.Sink, r.SinkName = sink.ID, sink.Name
	key := sinkKey(sink.ID)
	return append(writes, engine.Write{Key: key, Value: encode(sink.record), Revision: at[key]}), nil
}

// landingIn refuses the delete of a sink that payloads land in: they would have nowhere to go.
func landingIn(s *Snapshot, sink *Sink) error {
	var names []string
	for _, st := range s.PayloadStreams() {
		if st.SinkID == sink.ID {
			names = append(names, st.Name)
		}
	}
	switch {
	case len(names) == 0:
		return nil
	case len(names) > 1:
		slices.Sort(names)
		return &InUse{fmt.Sprintf("Cannot delete sink %s: the payloads of the streams %s land in it. Delete them first", sink.Name, listed(names))}
	}
	return &InUse{fmt.Sprintf("Cannot delete sink %s: the payloads of stream %s land in it. Delete it first", sink.Name, names[0])}
}
