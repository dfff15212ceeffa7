package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
)

// The audit log lies in cells, beside what it tells of and not in a stream of the log: so the entry of a change is in the same atomic batch
// as the change, and neither is ever there without the other. The cells are below a root of their own that nobody watches, one for each
// project and day, so that the newest are found without reading the rest.

// AuditEntry is one call that changed something, or tried to.
type AuditEntry struct {
	ID     string // ascending with time
	At     time.Time
	Event  string // like api-key/created
	Entity string // id or name of what it was done to
	Kind   auth.Kind
	By     string // user id or key id; empty for the admin
	Status int    // of the answer, as HTTP has it
	System bool   // of no project: projects made and deleted
}

// AuditFilter says which entries to give; zero members ask for nothing.
type AuditFilter struct {
	From, To time.Time // From inclusive, To exclusive
	Entity   string
	Event    string
	Before   string // an id: the older ones, for the next page
	Limit    int    // 1 to MaxAuditPage
}

const (
	// MaxAuditPage is how many entries one question gives at most.
	MaxAuditPage = 1000
	// AuditAge is how long entries are kept, and AuditEntries how many of each project.
	AuditAge     = 90 * 24 * time.Hour
	AuditEntries = 10_000

	auditRoot   = "audit"
	auditSystem = "system" // in the place of a project's uuid
	auditDay    = "20060102"

	// auditTrimEvery is how often it is looked whether there are too many, auditTrimAfter after how many of this node's own it is looked sooner.
	auditTrimEvery = time.Hour
	auditTrimAfter = 1000
	// auditRefusals is how many refused calls of each second a node takes down: who hammers must not drive out what others did.
	auditRefusals = 10
	maxAuditName  = 200 // bytes of an entity
)

type auditRecord struct {
	Version int    `json:"v"`
	At      int64  `json:"at"`
	Event   string `json:"event"`
	Entity  string `json:"entity,omitempty"`
	Kind    string `json:"kind"`
	By      string `json:"by,omitempty"`
	Status  int    `json:"status"`
}

// Audit is what a call leaves in the audit log. Put into a context by WithAudit, it is written with the change that the call makes. One call,
// one goroutine at a time.
type Audit struct {
	By      auth.Principal
	Event   string
	Entity  string
	Project string // uuid; empty: of no project
	Status  int    // what success will be answered with

	made    string // the id of what a call creates; one that is refused has created nothing
	written bool
}

type auditKey struct{}

// WithAudit gives a context whose change writes a.
func WithAudit(ctx context.Context, a *Audit) context.Context {
	return context.WithValue(ctx, auditKey{}, a)
}

// AuditOf gives what WithAudit put there, nil for none.
func AuditOf(ctx context.Context) *Audit {
	a, _ := ctx.Value(auditKey{}).(*Audit)
	return a
}

// noteEntity says what the call of ctx is done to, once that has an id.
func noteEntity(ctx context.Context, id string) {
	if a := AuditOf(ctx); a != nil {
		a.Entity = id
	}
}

// noteMade is noteEntity for what the call of ctx creates.
func noteMade(ctx context.Context, id string) {
	if a := AuditOf(ctx); a != nil {
		a.made = id
	}
}

func (a *Audit) write(now time.Time, status int) engine.Write {
	project := a.Project
	if project == "" {
		project = auditSystem
	}
	by := a.By.Subject
	if a.By.Kind == auth.Admin {
		by = ""
	}
	entity := a.Entity
	if a.made != "" && status < 400 {
		entity = a.made
	}
	if len(entity) > maxAuditName {
		entity = strings.ToValidUTF8(entity[:maxAuditName], "")
	}
	now = now.UTC()
	// What one caller does after another is listed in that order, though several calls fit into a millisecond.
	id := fmt.Sprintf("%013d-%06d%s", now.UnixMilli(), now.Nanosecond()%1e6, auth.NewRandom(4, lowerAlnum))
	return engine.Write{
		Key: auditRoot + "." + project + "." + now.Format(auditDay) + "." + id,
		Value: encode(&auditRecord{
			Version: recordVersion, At: now.UnixMilli(), Event: a.Event, Entity: entity, Kind: a.By.Kind.String(), By: by, Status: status,
		}),
	}
}

// audited adds the entry of a call to its first change; done is to be called when the change is stored.
func (r *Registry) audited(ctx context.Context, writes []engine.Write) (_ []engine.Write, done func()) {
	a := AuditOf(ctx)
	if a == nil || a.Event == "" || a.written {
		return writes, func() {}
	}
	return append(writes[:len(writes):len(writes)], a.write(r.now(), a.Status)), func() {
		a.written = true
		r.auditing.count()
	}
}

// TakeDown writes the entry of a call that has made no change of its own: one that was refused, or that did something elsewhere. A call whose
// change is in the log already, with its entry, is passed over.
func (r *Registry) TakeDown(ctx context.Context, a *Audit, status int) error {
	if a == nil || a.Event == "" || a.written {
		return nil
	}
	a.written = true
	if status >= 400 && !r.auditing.refusal(r.now()) {
		return nil
	}
	if err := r.cells.Batch(ctx, []engine.Write{a.write(r.now(), status)}); err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	r.auditing.count()
	return nil
}

// AuditLog gives a project's entries, the newest first; with system those of no project too. It reads the store.
func (r *Registry) AuditLog(ctx context.Context, p *Project, system bool, f AuditFilter) ([]AuditEntry, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	owners := []string{p.ID}
	if system {
		owners = append(owners, auditSystem)
	}
	limit := min(max(f.Limit, 1), MaxAuditPage)
	now := r.now().UTC()
	oldest, newest := now.Add(-AuditAge), now.Add(time.Minute) // another node's clock may be ahead
	if f.From.After(oldest) {
		oldest = f.From.UTC()
	}
	if !f.To.IsZero() && f.To.Before(newest) {
		newest = f.To.UTC()
	}
	var found []AuditEntry
	for day := newest; day.Format(auditDay) >= oldest.Format(auditDay); day = day.AddDate(0, 0, -1) {
		name := day.Format(auditDay)
		if f.Before != "" && name > auditDayOf(f.Before) {
			continue
		}
		var entries []AuditEntry
		for _, owner := range owners {
			cells, err := r.cells.List(ctx, auditRoot+"."+owner+"."+name)
			if err != nil {
				return nil, fmt.Errorf("reading the audit log: %w", err)
			}
			for _, c := range cells {
				if e, ok := auditEntry(c, owner == auditSystem); ok && f.takes(e) {
					entries = append(entries, e)
				}
			}
		}
		slices.SortFunc(entries, func(a, b AuditEntry) int { return strings.Compare(b.ID, a.ID) })
		if found = append(found, entries...); len(found) >= limit {
			return found[:limit], nil
		}
	}
	return found, nil
}

func (f *AuditFilter) takes(e AuditEntry) bool {
	switch {
	case f.Before != "" && e.ID >= f.Before,
		!f.From.IsZero() && e.At.Before(f.From), !f.To.IsZero() && !e.At.Before(f.To),
		f.Entity != "" && e.Entity != f.Entity, f.Event != "" && e.Event != f.Event:
		return false
	}
	return true
}

// auditDayOf is the day that an id is of; a day that never was for what is no id.
func auditDayOf(id string) string {
	ms, _, _ := strings.Cut(id, "-")
	var n int64
	if _, err := fmt.Sscanf(ms, "%013d", &n); err != nil {
		return ""
	}
	return time.UnixMilli(n).UTC().Format(auditDay)
}

// CheckAuditID tells whether a text can be an entry's id.
func CheckAuditID(id string) bool {
	return checkToken(id) && len(id) == 24 && auditDayOf(id) != ""
}

func auditEntry(c engine.Cell, system bool) (AuditEntry, bool) {
	record, err := decode[auditRecord](c.Value)
	if err != nil {
		return AuditEntry{}, false
	}
	return AuditEntry{
		ID: c.Key[strings.LastIndexByte(c.Key, '.')+1:], At: time.UnixMilli(record.At).UTC(), Event: record.Event, Entity: record.Entity,
		Kind: auth.ParseKind(record.Kind), By: record.By, Status: record.Status, System: system,
	}, true
}
