package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// Exporter writes the events of a stream to a sink, window by window. Immutable.
type Exporter struct {
	ID         string // uuid
	Name       string // unique among the stream's
	Stream     *Stream
	Sink       *Sink
	Interval   time.Duration // whole seconds
	PathPrefix string
	Existing   bool          // it began with the events that were there
	Keys       bool          // it writes the keys of the events, not the events
	Start      engine.Offset // it began behind this one
	Created    time.Time

	record *exporterRecord
}

// ExporterSpec says what exporter to make. The path prefix is for the caller to check.
type ExporterSpec struct {
	Name       string        // 1 to 100 characters; empty: <sink>-<stream>, or <sink>-<stream>-keys
	Sink       string        // empty: the project's only one
	SinkType   string        // empty, or the sink's
	Interval   time.Duration // 0: DefaultInterval
	PathPrefix string
	Existing   bool // begin with the events that are there, not with the next
	Keys       bool // of a source stream: write the keys of the events, not the events
}

// ExporterPatch says what to change of an exporter; nil leaves a member as it is. The path prefix is for the caller to check.
type ExporterPatch struct {
	Interval   *time.Duration
	PathPrefix *string
}

const (
	// DefaultInterval is how long the windows of an exporter are that says nothing else.
	DefaultInterval = time.Minute
	// MinInterval and MaxInterval bound it.
	MinInterval = 30 * time.Second
	MaxInterval = time.Hour

	// maxExporters bounds those of one stream and those of one sink, so that a delete fits a batch.
	maxExporters = 200
)

const (
	kindExporter     = "exporter"     // .<uuid>: exporterRecord
	kindExporterName = "exportername" // .<stream uuid>.<name>: pointer
)

func exporterKey(id string) string { return cellKey(kindExporter, id) }
func exporterNameKey(stream, name string) string {
	return cellKey(kindExporterName, stream+"."+escaped(name))
}

func (e *Exporter) keys() []string {
	return []string{exporterKey(e.ID), exporterNameKey(e.Stream.UUID, e.Name)}
}

type exporterRecord struct {
	Version    int           `json:"v"`
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Stream     string        `json:"stream"`   // uuid
	Sink       string        `json:"sink"`     // uuid
	Interval   int64         `json:"interval"` // seconds
	PathPrefix string        `json:"pathPrefix,omitempty"`
	Existing   bool          `json:"existing,omitempty"`
	Keys       bool          `json:"keys,omitempty"`
	Start      engine.Offset `json:"start,string"`
	Created    int64         `json:"created"`
}

// Exporters gives a stream's exporters by name; the slice is shared, do not change it.
func (s *Snapshot) Exporters(st *Stream) []*Exporter {
	if st == nil {
		return nil
	}
	return s.exporters.get(st.UUID)
}

// Exporter gives the exporter of that name, nil if the stream is nil or has none.
func (s *Snapshot) Exporter(st *Stream, name string) *Exporter {
	for _, e := range s.Exporters(st) {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// AllExporters gives those of all projects, in no order.
func (s *Snapshot) AllExporters() []*Exporter {
	var all []*Exporter
	for _, of := range s.exporters.all() {
		all = append(all, of...)
	}
	return all
}

// sinkExporters gives the exporters of a sink, by stream and name. It looks at every exporter there is.
func (s *Snapshot) sinkExporters(sink *Sink) []*Exporter {
	all := slices.DeleteFunc(s.AllExporters(), func(e *Exporter) bool { return e.Sink.ID != sink.ID })
	slices.SortFunc(all, func(a, b *Exporter) int {
		return cmp.Or(strings.Compare(a.Stream.Name, b.Stream.Name), strings.Compare(a.Name, b.Name))
	})
	return all
}

// CreateExporter makes an exporter. It begins at the stream's end as of now, unless Existing says otherwise. Errors: *Invalid, ErrExists
// where the name is taken, ErrNotFound where the stream is gone.
func (r *Registry) CreateExporter(ctx context.Context, st *Stream, spec ExporterSpec) (*Exporter, error) {
	if spec.Interval == 0 {
		spec.Interval = DefaultInterval
	}
	if err := r.checkInterval(spec.Interval); err != nil {
		return nil, err
	}
	record := &exporterRecord{
		Version: recordVersion, ID: uuid.NewString(), Stream: st.UUID, Interval: int64(spec.Interval / time.Second),
		PathPrefix: spec.PathPrefix, Existing: spec.Existing, Keys: spec.Keys, Created: r.now().UnixMilli(),
	}
	if !spec.Existing {
		_, last, err := r.engine.Bounds(ctx, st.Log)
		if err != nil {
			return nil, fmt.Errorf("looking for the end of stream %s: %w", st.Name, err)
		}
		record.Start = last
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) { return planExporter(s, at, spec, *record) })
	if err != nil {
		return nil, err
	}
	for _, e := range r.Snapshot().exporters.get(st.UUID) {
		if e.ID == record.ID {
			return e, nil
		}
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// planExporter fits an exporter in. Stream and sink are written again as they are, for the reason that planStream gives.
func planExporter(s *Snapshot, at revisions, spec ExporterSpec, record exporterRecord) ([]engine.Write, error) {
	st := s.StreamByUUID(record.Stream)
	if st == nil {
		return nil, ErrNotFound
	}
	if err := checkKeys(st, spec); err != nil {
		return nil, err
	}
	sink, err := sinkFor(s, st.Project, spec)
	if err != nil {
		return nil, err
	}
	record.Sink, record.Name = sink.ID, spec.Name
	if record.Name == "" {
		if record.Name = sink.Name + "-" + st.Name; spec.Keys {
			record.Name += "-keys"
		}
	}
	if err := checkNamed("name", record.Name); err != nil {
		return nil, err
	}
	if len(s.Exporters(st)) >= maxExporters || len(s.sinkExporters(sink)) >= maxExporters {
		return nil, &Invalid{"name", fmt.Sprintf("a stream and a sink have at most %d exporters each", maxExporters)}
	}
	if err := checkPlace(s, st, &record); err != nil {
		return nil, err
	}
	name := exporterNameKey(st.UUID, record.Name)
	if at[name] != 0 {
		return nil, fmt.Errorf("'%s' %w", record.Name, ErrExists)
	}
	return []engine.Write{
		{Key: exporterKey(record.ID), Value: encode(&record)},
		{Key: streamKey(st.UUID), Value: encode(st.record), Revision: at[streamKey(st.UUID)]},
		{Key: sinkKey(sink.ID), Value: encode(sink.record), Revision: at[sinkKey(sink.ID)]},
		{Key: name, Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
	}, nil
}

func (r *Registry) checkInterval(interval time.Duration) error {
	if least := r.minInterval; interval < least || interval > MaxInterval || interval%time.Second != 0 {
		return &Invalid{"intervalSecs", fmt.Sprintf("must be from %d to %d whole seconds", int(least/time.Second), int(MaxInterval/time.Second))}
	}
	return nil
}

// checkPlace: no two exporters of a stream write under the same names.
func checkPlace(s *Snapshot, st *Stream, record *exporterRecord) error {
	for _, e := range s.Exporters(st) {
		if e.ID != record.ID && e.Sink.ID == record.Sink && e.PathPrefix == record.PathPrefix && e.Keys == record.Keys {
			return &Invalid{"pathPrefix", fmt.Sprintf("exporter %s writes to the same place under the same names; choose another", e.Name)}
		}
	}
	return nil
}

// UpdateExporter changes an exporter and gives the whole. It goes on where it is; an object that is being made keeps its window and
// its name. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateExporter(ctx context.Context, st *Stream, id string, patch ExporterPatch) (*Exporter, error) {
	if patch.Interval != nil {
		if err := r.checkInterval(*patch.Interval); err != nil {
			return nil, err
		}
	}
	find := func(s *Snapshot) *Exporter {
		for _, e := range s.exporters.get(st.UUID) {
			if e.ID == id {
				return e
			}
		}
		return nil
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		e := find(s)
		if e == nil {
			return nil, ErrNotFound
		}
		record := *e.record
		if patch.Interval != nil {
			record.Interval = int64(*patch.Interval / time.Second)
		}
		assign(&record.PathPrefix, patch.PathPrefix)
		if err := checkPlace(s, e.Stream, &record); err != nil {
			return nil, err
		}
		return []engine.Write{
			{Key: exporterKey(id), Value: encode(&record), Revision: at[exporterKey(id)]},
			// A fence: of two exporters that are given the same place at once, one is refused.
			{Key: streamKey(st.UUID), Value: encode(e.Stream.record), Revision: at[streamKey(st.UUID)]},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	if e := find(r.Snapshot()); e != nil {
		return e, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// checkKeys: only where keys are made can they be exported.
func checkKeys(st *Stream, spec ExporterSpec) error {
	switch {
	case !spec.Keys:
		return nil
	case st.Source != nil:
		return &Invalid{"exportKeys", fmt.Sprintf("%s is derived; its keys are those of its source %s", st.Name, st.Source.Name)}
	case st.Payload != "":
		return &Invalid{"exportKeys", fmt.Sprintf("stream %s takes payloads, which no key is made for", st.Name)}
	}
	return nil
}

func sinkFor(s *Snapshot, p *Project, spec ExporterSpec) (*Sink, error) {
	sink := s.Sink(p, spec.Sink)
	if spec.Sink == "" {
		all := s.Sinks(p)
		if len(all) != 1 {
			return nil, &Invalid{"sinkName", fmt.Sprintf("is missing; only where a project has one sink it may be, and this one has %d", len(all))}
		}
		sink = all[0]
	}
	switch {
	case sink == nil:
		return nil, &Invalid{"sinkName", fmt.Sprintf("there is no sink %s", spec.Sink)}
	case spec.SinkType != "" && spec.SinkType != sink.Type:
		return nil, &Invalid{"sinkType", fmt.Sprintf("sink %s is of type %s", sink.Name, sink.Type)}
	}
	return sink, nil
}

// SinkFor gives the sink that an exporter of that spec would write to. Errors: *Invalid.
func (s *Snapshot) SinkFor(p *Project, spec ExporterSpec) (*Sink, error) { return sinkFor(s, p, spec) }

// DeleteExporter deletes an exporter. What it wrote stays. Errors: ErrNotFound.
func (r *Registry) DeleteExporter(ctx context.Context, st *Stream, name string) (*Exporter, error) {
	var gone *Exporter
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.Exporter(s.StreamByUUID(st.UUID), name); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, gone.keys()...), nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// exporting is the part of a state that holds sinks and exporters. Guarded as the state is.
type exporting struct {
	sinks     map[string]*sinkRecord
	exporters map[string]*exporterRecord

	sinkOf    map[string]set // sink uuid → the uuids of its exporters
	ofStream  map[string]set // stream uuid → likewise
	ofProject map[string]set // project uuid → the uuids of its sinks

	changedSinks, changedExporters set
}

func newExporting() exporting {
	return exporting{
		sinks: map[string]*sinkRecord{}, exporters: map[string]*exporterRecord{},
		sinkOf: map[string]set{}, ofStream: map[string]set{}, ofProject: map[string]set{},
		changedSinks: set{}, changedExporters: set{},
	}
}

func (st *state) applySink(id string, c engine.Cell) {
	x := &st.exporting
	if old := x.sinks[id]; old != nil {
		drop(x.ofProject, old.Project, id)
	}
	take(st, x.sinks, id, c)
	if record := x.sinks[id]; record != nil {
		put(x.ofProject, record.Project, id)
	}
	x.changedSinks[id] = struct{}{}
}

func (st *state) applyExporter(id string, c engine.Cell) {
	x := &st.exporting
	if old := x.exporters[id]; old != nil {
		drop(x.sinkOf, old.Sink, id)
		drop(x.ofStream, old.Stream, id)
	}
	take(st, x.exporters, id, c)
	if record := x.exporters[id]; record != nil {
		put(x.sinkOf, record.Sink, id)
		put(x.ofStream, record.Stream, id)
	}
	x.changedExporters[id] = struct{}{}
}

// buildExports builds sinks and exporters: those that changed, and those of what they point to. Projects and streams are built.
func (st *state) buildExports(next *Snapshot, projects, streams set) {
	x := &st.exporting
	for id := range projects {
		for sink := range x.ofProject[id] {
			x.changedSinks[sink] = struct{}{}
		}
	}
	for id := range streams {
		for e := range x.ofStream[id] {
			x.changedExporters[e] = struct{}{}
		}
	}
	sinks, names := next.sinks.edit(), next.sinkNames.edit()
	for id := range x.changedSinks {
		for e := range x.sinkOf[id] {
			x.changedExporters[e] = struct{}{}
		}
		if old := sinks.get(id); old != nil {
			sinks.remove(id)
			names.remove(scoped{old.Project.ID, old.Name})
		}
	}
	for id := range x.changedSinks {
		r := x.sinks[id]
		if r == nil {
			continue
		}
		if p := next.projects.get(r.Project); p != nil {
			sink := &Sink{
				ID: r.ID, Project: p, Name: r.Name, Type: r.Type, Bucket: r.Bucket, Endpoint: r.Endpoint, Region: r.Region,
				PathStyle: r.PathStyle, Created: time.UnixMilli(r.Created), record: r,
			}
			sinks.set(id, sink)
			names.set(scoped{p.ID, r.Name}, sink)
		}
	}
	next.sinks, next.sinkNames = sinks.done(), names.done()
	st.buildExporters(next)
	x.changedSinks, x.changedExporters = set{}, set{}
}

func (st *state) buildExporters(next *Snapshot) {
	x := &st.exporting
	places, lists := next.exporterStream.edit(), next.exporters.edit()
	for id := range x.changedExporters {
		stream := places.get(id)
		if stream == "" {
			continue
		}
		places.remove(id)
		if left := without(lists.get(stream), func(e *Exporter) bool { return e.ID == id }); len(left) > 0 {
			lists.set(stream, left)
		} else {
			lists.remove(stream)
		}
	}
	for id := range x.changedExporters {
		r := x.exporters[id]
		if r == nil {
			continue
		}
		stream, sink := next.streams.get(r.Stream), next.sinks.get(r.Sink)
		if stream == nil || sink == nil {
			continue
		}
		list := append(slices.Clone(lists.get(r.Stream)), &Exporter{
			ID: r.ID, Name: r.Name, Stream: stream, Sink: sink, Interval: time.Duration(r.Interval) * time.Second,
			PathPrefix: r.PathPrefix, Existing: r.Existing, Keys: r.Keys, Start: r.Start, Created: time.UnixMilli(r.Created),
			record: r,
		})
		slices.SortFunc(list, func(a, b *Exporter) int { return strings.Compare(a.Name, b.Name) })
		lists.set(r.Stream, list)
		places.set(id, r.Stream)
	}
	next.exporterStream, next.exporters = places.done(), lists.done()
}
