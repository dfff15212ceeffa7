package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"sluice/relay/backup"
	"sluice/relay/consent"
)

// Restore is what a restore is told beside the configuration that the node will be started with.
type Restore struct {
	Dir     string   // the backup
	Masters []string // files that may hold the master key; see backup.Into
	Lists   []string // lists of the forgotten to be replayed
	// Old is the data folder of the node that the backup was taken of, as far as it is there: its master key and its list of the
	// forgotten are used. Empty: none.
	Old string
	// Progress, if set, is told how far it is.
	Progress func(what string, done, of int64)
}

// RestoreStore makes the store of a node that is stopped, and has none, of a backup.
func RestoreStore(ctx context.Context, o Options, r Restore) (backup.Restored, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	from, err := backup.Open(r.Dir)
	if err != nil {
		return backup.Restored{}, fmt.Errorf("backup %s: %w", r.Dir, err)
	}
	if r.Old != "" {
		old := filepath.Join(r.Old, "keys")
		r.Masters = append(r.Masters, existing(filepath.Join(old, "master.key"))...)
		r.Lists = append(r.Lists, existing(filepath.Join(old, consent.ForgottenFile))...)
	}
	return from.Restore(ctx, backup.Into{
		Data: o.Config.Data, Engine: logSettings(o), Keys: keySettings(o),
		Masters: r.Masters, Lists: r.Lists, Progress: r.Progress, Log: o.Log,
	})
}

// existing is the file, where it is there.
func existing(name string) []string {
	if _, err := os.Stat(name); err != nil {
		return nil
	}
	return []string{name}
}
