package load

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
)

// record is one record of a landed file, JSON text, and where it came from.
type record struct {
	text      string
	requestID string    // empty: not known
	received  time.Time // zero: not known
}

// timeForm has one width, so that times compare as texts.
const timeForm = "2006-01-02T15:04:05.000Z"

// load puts the records of one file into a feed's table, all or nothing, and notes that the run has done so. next gives the records, false
// behind the last.
func (t *tables) load(ctx context.Context, run, file string, to target, next func() (record, bool, error)) (rows, failed int64, err error) {
	err = t.within(ctx, func(tx *sql.Tx) error {
		f, err := newFiller(ctx, tx, file, to)
		if err != nil {
			return err
		}
		defer f.close()
		for {
			r, more, err := next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if err := f.add(ctx, r); err != nil {
				return err
			}
		}
		rows, failed = f.rows, f.failed
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO _sluice_loaded (run, feed, file, rows, failed) VALUES (?, ?, ?, ?, ?)`,
			run, to.noted(), file, rows, failed)
		return err
	})
	return rows, failed, err
}

// filler is one file on its way into one feed, in one transaction.
type filler struct {
	to           target
	file         string
	put, setAway *sql.Stmt
	values       []any
	row          int64 // counts the rows of the file
	rows, failed int64
}

func newFiller(ctx context.Context, tx *sql.Tx, file string, to target) (*filler, error) {
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+quoted(to.table+failedSuffix)+` WHERE "_file" = ?`, file); err != nil {
		return nil, err
	}
	f := &filler{to: to, file: file, values: make([]any, len(to.feed.Columns)+2)}
	var err error
	if f.put, err = tx.PrepareContext(ctx, upsert(to)); err != nil {
		return nil, err
	}
	f.setAway, err = tx.PrepareContext(ctx, "INSERT OR REPLACE INTO "+quoted(to.table+failedSuffix)+
		` ("reason", "record", "_received_at", "_request_id", "_file", "_row") VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return nil, errors.Join(err, f.put.Close())
	}
	return f, nil
}

func (f *filler) close() {
	_ = f.put.Close() // the transaction is over or about to be
	_ = f.setAway.Close()
}

// upsert writes a row by its primary key unless what is there came later.
func upsert(to target) string {
	names := columnNames(to.feed)
	var sets []string
	for _, name := range names {
		sets = append(sets, quoted(name)+" = excluded."+quoted(name))
	}
	places := strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")
	return "INSERT INTO " + quoted(to.table) + " (" + quotedAll(names) + ") VALUES (" + places + ") ON CONFLICT (" + quotedAll(to.feed.PrimaryKey) +
		") DO UPDATE SET " + strings.Join(sets, ", ") +
		` WHERE coalesce(excluded."_received_at", '') >= coalesce(` + quoted(to.table) + `."_received_at", '')`
}

func (f *filler) add(ctx context.Context, r record) error {
	var received, request any
	if !r.received.IsZero() {
		received = r.received.UTC().Format(timeForm)
	}
	if r.requestID != "" {
		request = r.requestID
	}
	columns := len(f.to.feed.Columns)
	return rowsOf(f.to.feed, r.text, f.values[:columns], func(_ []any, row string, why error) error {
		f.row++
		if why != nil {
			f.failed++
			_, err := f.setAway.ExecContext(ctx, why.Error(), row, received, request, f.file, f.row)
			return err
		}
		f.rows++
		f.values[columns], f.values[columns+1] = received, request
		_, err := f.put.ExecContext(ctx, f.values...)
		return err
	})
}
