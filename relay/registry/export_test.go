package registry

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// AddDerived makes n derived streams <source>-out-<number> by few batches, as creating them one by one would
// leave them, and returns when the Snapshot has them.
func (r *Registry) AddDerived(ctx context.Context, source *Stream, n int) error {
	for from := 0; from < n; from += 300 {
		err := r.change(ctx, func(*Snapshot, revisions) ([]engine.Write, error) {
			var writes []engine.Write
			for i := from; i < min(n, from+300); i++ {
				id := uuid.NewString()
				record := &streamRecord{
					Version: recordVersion, ID: id, Project: source.Project.ID, Name: fmt.Sprintf("%s-out-%03d", source.Name, i),
					ClientID: "stream-" + id, Source: source.UUID, LevelType: "CUMULATIVE", Levels: 2,
				}
				to := encode(&pointer{Version: recordVersion, ID: id})
				writes = append(writes, engine.Write{Key: streamKey(id), Value: encode(record)},
					engine.Write{Key: nameKey(record.Project, record.Name), Value: to},
					engine.Write{Key: clientKey(record.ClientID), Value: to})
			}
			return writes, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// TrimAudit trims the audit log as Run does now and then.
func (r *Registry) TrimAudit(ctx context.Context, most int) error { return r.trimAuditOnce(ctx, most) }
