package registry

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
)

// Courier loads the landed files of a payload stream into feeds. Immutable.
type Courier struct {
	ID                string // co-…
	Project           *Project
	Name              string // unique in the project
	Stream            *Stream
	FileFormat        string // NDJSON, JSON or XML
	FileTag           string // what load operations call its files
	FilePatternPrefix string // the hour, 00 to 24, that its files' names begin with; empty: all of the day
	LoadOperations    map[string][]LoadOperation
	Asked             []CourierRun // not done yet, in order; shared: read only
	Created           time.Time
	Version           string // another one whenever anything that a run depends on changed

	record *courierRecord
}

// LoadOperation is one step of loading a feed.
type LoadOperation struct {
	Type string `json:"type"`           // truncate, which goes first, or load
	File string `json:"file,omitempty"` // of a load the courier's file tag
}

// Load operations and file formats.
const (
	OperationLoad     = "load"
	OperationTruncate = "truncate"
	FormatNDJSON      = "NDJSON"
	FormatJSON        = "JSON"
	FormatXML         = "XML"
)

// CourierRun is one run that was asked for: the files of one day, UTC.
type CourierRun struct {
	ID    string `json:"id"`
	Date  string `json:"date"`  // 2006-01-02
	Asked int64  `json:"asked"` // Unix milliseconds
}

// CourierSpec says what courier to make.
type CourierSpec struct {
	Name              string
	Stream            string // the is-… id or the name of a payload stream
	FileFormat        string
	FileTag           string
	FilePatternPrefix string
	LoadOperations    map[string][]LoadOperation
}

// CourierPatch says what to change; nil leaves a member as it is.
type CourierPatch struct {
	FileFormat        *string
	FileTag           *string
	FilePatternPrefix *string
	LoadOperations    *map[string][]LoadOperation
}

const (
	kindCourier = "courier" // .<id>: courierRecord

	maxCouriers     = 500 // of a project
	maxOperations   = 200 // feeds that one courier loads
	maxAsked        = 50
	courierIDLength = 8
)

func courierKey(id string) string { return cellKey(kindCourier, id) }

type courierRecord struct {
	Version           int                        `json:"v"`
	ID                string                     `json:"id"`
	Project           string                     `json:"project"`
	Name              string                     `json:"name"`
	Stream            string                     `json:"stream"` // uuid
	FileFormat        string                     `json:"fileFormat"`
	FileTag           string                     `json:"fileTag"`
	FilePatternPrefix string                     `json:"filePatternPrefix,omitempty"`
	LoadOperations    map[string][]LoadOperation `json:"loadOperations"`
	Asked             []CourierRun               `json:"asked,omitempty"`
	Created           int64                      `json:"created"`
}

func courierOf(r *courierRecord, p *Project, st *Stream) *Courier {
	without := *r
	without.Asked = nil
	return &Courier{
		ID: r.ID, Project: p, Name: r.Name, Stream: st, FileFormat: r.FileFormat, FileTag: r.FileTag,
		FilePatternPrefix: r.FilePatternPrefix, LoadOperations: r.LoadOperations, Asked: r.Asked, Created: time.UnixMilli(r.Created),
		Version: string(encode(&without)), record: r,
	}
}

// Courier gives the courier of that id or name, nil if the project is nil or has none.
func (s *Snapshot) Courier(p *Project, nameOrID string) *Courier {
	for _, c := range s.Couriers(p) {
		if c.Name == nameOrID || c.ID == nameOrID {
			return c
		}
	}
	return nil
}

// Couriers gives a project's couriers by name; the slice is shared, do not change it.
func (s *Snapshot) Couriers(p *Project) []*Courier {
	if p == nil {
		return nil
	}
	return s.loads.couriers[p.ID]
}

// AllCouriers gives those of all projects, in no order.
func (s *Snapshot) AllCouriers() []*Courier {
	var all []*Courier
	for _, of := range s.loads.couriers {
		all = append(all, of...)
	}
	return all
}

// CouriersOf gives the couriers of a stream by name.
func (s *Snapshot) CouriersOf(st *Stream) []*Courier {
	if st == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Couriers(st.Project)), func(c *Courier) bool { return c.Stream.UUID != st.UUID })
}

// CreateCourier makes a courier. Feeds that it names need not exist; it does not run before they do. Errors: *Invalid, ErrExists where the
// name is taken, ErrNotFound where the project is gone.
func (r *Registry) CreateCourier(ctx context.Context, p *Project, spec CourierSpec) (*Courier, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	record := &courierRecord{
		Version: recordVersion, ID: "co-" + auth.NewSecret(courierIDLength), Project: p.ID, Name: spec.Name, FileFormat: spec.FileFormat,
		FileTag: spec.FileTag, FilePatternPrefix: spec.FilePatternPrefix, LoadOperations: spec.LoadOperations, Created: r.now().UnixMilli(),
	}
	err := r.changeLoads(ctx, p, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		st := s.Stream(p, spec.Stream)
		if other := s.StreamByPublicID(spec.Stream); other != nil && other.Project.ID == p.ID {
			st = other
		}
		if st == nil {
			return nil, &Invalid{"stream", fmt.Sprintf("there is no stream %s", shownName(spec.Stream))}
		}
		record.Stream = st.UUID
		if err := record.check(st); err != nil {
			return nil, err
		}
		switch {
		case s.Courier(p, spec.Name) != nil:
			return nil, ErrExists
		case len(s.Couriers(p)) >= maxCouriers:
			return nil, &Invalid{"name", fmt.Sprintf("a project has at most %d couriers", maxCouriers)}
		}
		return []engine.Write{
			{Key: courierKey(record.ID), Value: encode(record)},
			{Key: streamKey(st.UUID), Value: encode(st.record), Revision: at[streamKey(st.UUID)]}, // a fence against its deletion
		}, nil
	})
	return made(err, func() *Courier { return r.Snapshot().Courier(p, record.ID) })
}

// UpdateCourier changes a courier; a run in progress begins again. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateCourier(ctx context.Context, p *Project, nameOrID string, patch CourierPatch) (*Courier, error) {
	return r.changeCourier(ctx, p, nameOrID, func(c *Courier, record *courierRecord) error {
		assign(&record.FileFormat, patch.FileFormat)
		assign(&record.FileTag, patch.FileTag)
		assign(&record.FilePatternPrefix, patch.FilePatternPrefix)
		assign(&record.LoadOperations, patch.LoadOperations)
		return record.check(c.Stream)
	})
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// AskRun asks for a run; whoever owns the courier does it and then says so by FinishRun. One that is asked for already is not asked for
// twice. Errors: *Invalid where the date is none, *InUse where too many wait, ErrNotFound.
func (r *Registry) AskRun(ctx context.Context, p *Project, nameOrID string, run CourierRun) (*Courier, error) {
	if _, err := time.Parse(time.DateOnly, run.Date); err != nil {
		return nil, &Invalid{"date", "must be a day like 2026-11-20"}
	}
	run.Asked = r.now().UnixMilli()
	return r.changeCourier(ctx, p, nameOrID, func(c *Courier, record *courierRecord) error {
		switch {
		case slices.ContainsFunc(record.Asked, func(a CourierRun) bool { return a.ID == run.ID }):
		case len(record.Asked) >= maxAsked:
			return &InUse{fmt.Sprintf("Courier %s has %d runs to do already; wait for one to end", c.Name, maxAsked)}
		default:
			record.Asked = append(slices.Clone(record.Asked), run)
		}
		return nil
	})
}

// FinishRun takes away what AskRun added. It may be repeated. Errors: ErrNotFound.
func (r *Registry) FinishRun(ctx context.Context, p *Project, courier, run string) error {
	_, err := r.changeCourier(ctx, p, courier, func(_ *Courier, record *courierRecord) error {
		record.Asked = without(record.Asked, func(a CourierRun) bool { return a.ID == run })
		return nil
	})
	return err
}

func (r *Registry) changeCourier(ctx context.Context, p *Project, nameOrID string, do func(c *Courier, record *courierRecord) error) (*Courier, error) {
	var id string
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		c := s.Courier(p, nameOrID)
		if c == nil {
			return nil, ErrNotFound
		}
		id = c.ID
		changed := *c.record
		if err := do(c, &changed); err != nil {
			return nil, err
		}
		return []engine.Write{{Key: courierKey(c.ID), Value: encode(&changed), Revision: at[courierKey(c.ID)]}}, nil
	})
	return made(err, func() *Courier { return r.Snapshot().Courier(p, id) })
}

// DeleteCourier deletes a courier and gives what went. What it loaded stays. Errors: ErrNotFound; *InUse while a group has it.
func (r *Registry) DeleteCourier(ctx context.Context, p *Project, nameOrID string) (*Courier, error) {
	var gone *Courier
	err := r.changeLoads(ctx, p, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.Courier(p, nameOrID); gone == nil {
			return nil, ErrNotFound
		}
		for _, g := range s.CourierGroups(p) {
			if slices.Contains(g.record.Couriers, gone.ID) {
				return nil, &InUse{fmt.Sprintf("Cannot delete courier %s: courier group %s has it. Take it out or delete the group first", gone.Name, g.Name)}
			}
		}
		return erasing(at, courierKey(gone.ID)), nil
	})
	return gone, err
}

var hourPrefix = regexp.MustCompile(`^([01][0-9]|2[0-4])$`)

// check holds a courier to its rules.
func (c *courierRecord) check(st *Stream) error {
	if err := checkName(c.Name); err != nil {
		return err
	}
	wants := "json"
	if c.FileFormat == FormatXML {
		wants = "xml"
	}
	switch {
	case !slices.Contains([]string{FormatNDJSON, FormatJSON, FormatXML}, c.FileFormat):
		return &Invalid{"fileFormat", "must be NDJSON, JSON or XML"}
	case st.Payload == "":
		return &Invalid{"stream", fmt.Sprintf("stream %s has no landed files; only a stream made with a payload has", st.Name)}
	case st.Payload != wants:
		return &Invalid{"fileFormat", fmt.Sprintf("stream %s holds %s", st.Name, strings.ToUpper(st.Payload))}
	case c.FileTag == "" || !printable(c.FileTag) || len(c.FileTag) > maxName:
		return &Invalid{"fileTag", fmt.Sprintf("must be 1 to %d printable characters", maxName)}
	case c.FilePatternPrefix != "" && !hourPrefix.MatchString(c.FilePatternPrefix):
		return &Invalid{"filePatternPrefix", "must be an hour, 00 to 24"}
	case len(c.LoadOperations) > maxOperations:
		return &Invalid{"loadOperations", fmt.Sprintf("there are %d feeds, at most %d are taken", len(c.LoadOperations), maxOperations)}
	}
	for _, feed := range slices.Sorted(maps.Keys(c.LoadOperations)) {
		field := "loadOperations." + shownName(feed)
		ops := c.LoadOperations[feed]
		if len(ops) == 0 {
			return &Invalid{field, "has no operation: load, or truncate and load"}
		}
		seen := map[string]bool{}
		for _, op := range ops {
			switch {
			case op.Type != OperationLoad && op.Type != OperationTruncate:
				return &Invalid{field, fmt.Sprintf("%s is not an operation; there are load and truncate", shownName(op.Type))}
			case seen[op.Type]:
				return &Invalid{field, fmt.Sprintf("%s is there twice", op.Type)}
			case op.Type == OperationTruncate && op.File != "":
				return &Invalid{field, "truncate takes no file"}
			case op.Type == OperationTruncate && seen[OperationLoad]:
				return &Invalid{field, "truncate goes before load"}
			case op.Type == OperationLoad && op.File != c.FileTag:
				return &Invalid{field, fmt.Sprintf("the file of a load must be the courier's fileTag, %s", c.FileTag)}
			}
			seen[op.Type] = true
		}
	}
	return nil
}
