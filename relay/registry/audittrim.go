package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/relay/engine"
)

// auditing keeps the audit log within its bounds. Safe for concurrent use.
type auditing struct {
	full chan struct{} // one place: this node has written many

	mu       sync.Mutex
	written  int
	second   int64
	refusals int // in that second
}

func newAuditing() *auditing { return &auditing{full: make(chan struct{}, 1)} }

// count counts an entry of this node.
func (a *auditing) count() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.written++; a.written >= auditTrimAfter {
		a.written = 0
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
}

// refusal takes one of this second's places for calls that were refused.
func (a *auditing) refusal(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if second := now.Unix(); second != a.second {
		a.second, a.refusals = second, 0
	}
	a.refusals++
	return a.refusals <= auditRefusals
}

// trimAudit takes away what is too old or too much, every now and then until ctx ends. Nodes that do it at once do no harm.
func (r *Registry) trimAudit(ctx context.Context) error {
	ticker := time.NewTicker(auditTrimEvery)
	defer ticker.Stop()
	for {
		if err := r.trimAuditOnce(ctx, AuditEntries); err != nil && ctx.Err() == nil {
			r.log.Warn("old entries of the audit log are not erased yet; it is tried again", "error", err)
		}
		select {
		case <-ticker.C:
		case <-r.auditing.full:
		case <-ctx.Done():
			return nil
		}
	}
}

// trimAuditOnce leaves the newest entries of each project, at most so many and none beyond its age.
func (r *Registry) trimAuditOnce(ctx context.Context, most int) error {
	cells, err := r.cells.List(ctx, auditRoot)
	if err != nil {
		return err
	}
	of := map[string][]engine.Cell{}
	for _, c := range cells {
		owner, _, _ := strings.Cut(strings.TrimPrefix(c.Key, auditRoot+"."), ".")
		of[owner] = append(of[owner], c)
	}
	old := r.now().UTC().Add(-AuditAge).Format(auditDay)
	for owner, list := range of {
		slices.SortFunc(list, func(a, b engine.Cell) int { return strings.Compare(b.Key, a.Key) })
		for n, c := range list {
			day, _, _ := strings.Cut(strings.TrimPrefix(c.Key, auditRoot+"."+owner+"."), ".")
			if n < most && day >= old {
				continue
			}
			if err := r.cells.Erase(ctx, c.Key, c.Revision); err != nil && !errors.Is(err, engine.ErrConflict) {
				return err
			}
		}
	}
	return nil
}
