package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// Sink is where exporters write to: a bucket or a folder. Immutable.
type Sink struct {
	ID        string // uuid
	Project   *Project
	Name      string
	Type      string // as the exporting side names it: S3, FOLDER
	Bucket    string // of a folder the directory
	Endpoint  string
	Region    string
	PathStyle bool
	Created   time.Time

	record *sinkRecord
}

// Version is another one whenever anything changed that writing to the sink depends on.
func (s *Sink) Version() string { return s.ID + "." + strconv.Itoa(s.record.Changes) }

// SinkPatch says what to change of a sink; nil leaves a member as it is. What it is of stays: objects that are on their way go
// where they were meant to go.
type SinkPatch struct {
	Endpoint    *string
	Region      *string
	PathStyle   *bool
	Credentials []byte
}

// SinkSpec says what sink to make. What the members mean to its type is for the caller to check.
type SinkSpec struct {
	Name        string // as a stream's
	Type        string
	Bucket      string
	Endpoint    string
	Region      string
	PathStyle   bool
	Credentials []byte // sealed before it is stored; nil: it needs none
}

// DeletedSink is what the delete of a sink took along.
type DeletedSink struct {
	Sink      *Sink
	Exporters []*Exporter
}

const (
	kindSink     = "sink"     // .<uuid>: sinkRecord
	kindSinkName = "sinkname" // .<project uuid>.<name>: pointer
)

func sinkKey(id string) string { return cellKey(kindSink, id) }
func sinkNameKey(project, name string) string {
	return cellKey(kindSinkName, project+"."+escaped(name))
}

type sinkRecord struct {
	Version   int    `json:"v"`
	ID        string `json:"id"`
	Project   string `json:"project"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Bucket    string `json:"bucket"`
	Endpoint  string `json:"endpoint,omitempty"`
	Region    string `json:"region,omitempty"`
	PathStyle bool   `json:"pathStyle,omitempty"`
	Sealed    []byte `json:"sealed,omitempty"` // the credentials under the master key
	Created   int64  `json:"created"`
	Changes   int    `json:"changes,omitempty"`
}

// Sink gives the sink of that name, nil if the project is nil or has none.
func (s *Snapshot) Sink(p *Project, name string) *Sink {
	if p == nil {
		return nil
	}
	return s.sinkNames.get(scoped{p.ID, name})
}

// Sinks gives a project's sinks by name.
func (s *Snapshot) Sinks(p *Project) []*Sink {
	if p == nil {
		return nil
	}
	var all []*Sink
	for key, sink := range s.sinkNames.all() {
		if key.project == p.ID {
			all = append(all, sink)
		}
	}
	slices.SortFunc(all, func(a, b *Sink) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// CreateSink makes a sink. Errors: *Invalid, ErrExists where the name is taken, ErrNotFound where the project is gone.
func (r *Registry) CreateSink(ctx context.Context, p *Project, spec SinkSpec) (*Sink, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	if err := checkNamed("sinkName", spec.Name); err != nil {
		return nil, err
	}
	record := &sinkRecord{
		Version: recordVersion, ID: uuid.NewString(), Project: p.ID, Name: spec.Name, Type: spec.Type, Bucket: spec.Bucket,
		Endpoint: spec.Endpoint, Region: spec.Region, PathStyle: spec.PathStyle, Created: r.now().UnixMilli(),
	}
	if spec.Credentials != nil {
		sealed, err := r.vault.SealSecret(sinkSecret(record.ID), spec.Credentials)
		if err != nil {
			return nil, err
		}
		record.Sealed = sealed
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		project := s.ProjectByID(p.ID)
		if project == nil {
			return nil, ErrNotFound
		}
		name := sinkNameKey(p.ID, spec.Name)
		if at[name] != 0 {
			return nil, ErrExists
		}
		return []engine.Write{
			{Key: sinkKey(record.ID), Value: encode(record)},
			// A fence: who deletes the project at this moment finds another revision, or this batch does.
			{Key: projectKey(p.ID), Value: encode(project.record), Revision: at[projectKey(p.ID)]},
			{Key: name, Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	if made := r.Snapshot().sinks.get(record.ID); made != nil {
		return made, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

func sinkSecret(id string) string { return "sink " + id }

// SinkCredentials opens the credentials of a sink, nil where it has none. Keep them no longer than they are used.
func (r *Registry) SinkCredentials(s *Sink) ([]byte, error) {
	if s.record.Sealed == nil {
		return nil, nil
	}
	secret, err := r.vault.OpenSecret(sinkSecret(s.ID), s.record.Sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the credentials of sink %s: %w", s.Name, err)
	}
	return secret, nil
}

// UpdateSink changes a sink and gives the whole. Errors: ErrNotFound.
func (r *Registry) UpdateSink(ctx context.Context, id string, patch SinkPatch) (*Sink, error) {
	var sealed []byte
	if patch.Credentials != nil {
		var err error
		if sealed, err = r.vault.SealSecret(sinkSecret(id), patch.Credentials); err != nil {
			return nil, err
		}
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		sink := s.sinks.get(id)
		if sink == nil {
			return nil, ErrNotFound
		}
		record := *sink.record
		assign(&record.Endpoint, patch.Endpoint)
		assign(&record.Region, patch.Region)
		assign(&record.PathStyle, patch.PathStyle)
		if sealed != nil {
			record.Sealed = sealed
		}
		record.Changes++
		return []engine.Write{{Key: sinkKey(id), Value: encode(&record), Revision: at[sinkKey(id)]}}, nil
	})
	if err != nil {
		return nil, err
	}
	if s := r.Snapshot().sinks.get(id); s != nil {
		return s, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// DeleteSink deletes a sink, and with recursive the exporters that write to it. What they wrote stays. Errors: ErrNotFound, *InUse.
func (r *Registry) DeleteSink(ctx context.Context, p *Project, name string, recursive bool) (DeletedSink, error) {
	var gone DeletedSink
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		sink := s.Sink(p, name)
		if sink == nil {
			return nil, ErrNotFound
		}
		if err := landingIn(s, sink); err != nil {
			return nil, err
		}
		gone = DeletedSink{Sink: sink, Exporters: s.sinkExporters(sink)}
		if len(gone.Exporters) > 0 && !recursive {
			names := make([]string, len(gone.Exporters))
			for i, e := range gone.Exporters {
				names[i] = e.Name + " of stream " + e.Stream.Name
			}
			what, them := "exporter", "it"
			if len(names) > 1 {
				what, them = "exporters", "them"
			}
			return nil, &InUse{fmt.Sprintf("Cannot delete sink %s: it still has %s %s. Delete %s first, or use --recursive", name, what, listed(names), them)}
		}
		writes := erasing(at, sinkKey(sink.ID), sinkNameKey(p.ID, name))
		for _, e := range gone.Exporters {
			writes = append(writes, erasing(at, e.keys()...)...)
		}
		return writes, nil
	})
	if err != nil {
		return DeletedSink{}, err
	}
	return gone, nil
}

// erasing erases cells. One that is not there need not be erased, and to expect it would refuse the batch for ever.
func erasing(at revisions, keys ...string) []engine.Write {
	var writes []engine.Write
	for _, key := range keys {
		if at[key] != 0 {
			writes = append(writes, engine.Write{Key: key, Revision: at[key]})
		}
	}
	return writes
}

// checkNamed is checkName for a sink or an exporter, whose name may have one character, and which is called otherwise.
func checkNamed(field, name string) error {
	err := checkNameFrom(1, name)
	if invalid, ok := err.(*Invalid); ok { //nolint:errorlint // checkName wraps nothing
		return &Invalid{field, invalid.Reason}
	}
	return err
}
