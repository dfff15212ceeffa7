package load

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"sluice/relay/registry"
)

// tables is the database of one project, open for one run; others read it meanwhile. One goroutine.
type tables struct{ db *sql.DB }

// openTables opens a project's database, which is made where there is none.
func openTables(ctx context.Context, dir, project string) (*tables, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the tables: %w", err)
	}
	at := filepath.Join(dir, url.PathEscape(project)+".sqlite")
	// FULL: what a run says it has loaded is on the disk. WAL: readers do not wait for it, nor it for them.
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: at}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("tables of project %s: %w", project, err)
	}
	db.SetMaxOpenConns(1)
	t := &tables{db: db}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS _sluice_loaded (
		run TEXT NOT NULL, feed TEXT NOT NULL, file TEXT NOT NULL, rows INTEGER NOT NULL, failed INTEGER NOT NULL, PRIMARY KEY (run, feed, file)
	) WITHOUT ROWID`); err != nil {
		return nil, errors.Join(fmt.Errorf("tables of project %s: %w", project, err), db.Close())
	}
	if err := os.Chmod(at, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("tables of project %s: %w", project, err), db.Close())
	}
	return t, nil
}

func (t *tables) close() error { return t.db.Close() }

const (
	failedSuffix = "_failed"
	freshPrefix  = "_sluice_new_" // of the tables that a run with truncate fills
)

// target is a feed's table in one run: itself, or with truncate the fresh one that takes its place.
type target struct {
	feed  *registry.Feed
	table string
	fresh bool
}

func targetOf(f *registry.Feed, truncate bool) target {
	if truncate {
		return target{feed: f, table: freshPrefix + f.Table, fresh: true}
	}
	return target{feed: f, table: f.Table}
}

// noted is under which name a run notes what it has loaded into a target. What is in a fresh table is not in the other: a courier that is changed
// while it runs, from the one to the other, begins again.
func (to target) noted() string {
	if to.fresh {
		return to.table
	}
	return to.feed.ID
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quotedAll(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = quoted(n)
	}
	return strings.Join(all, ", ")
}

func columnNames(f *registry.Feed) []string {
	var all []string
	for _, c := range f.Columns {
		all = append(all, c.Name)
	}
	return append(all, "_received_at", "_request_id")
}

// prepare makes a feed's tables, or adds the columns that they lack. *Unready: the table that is there has another primary key.
func prepare(ctx context.Context, tx *sql.Tx, f *registry.Feed, table string) error {
	have, keys, err := columnsOf(ctx, tx, table)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		var defs []string
		for _, name := range columnNames(f) {
			def := quoted(name)
			if slices.Contains(f.PrimaryKey, name) {
				def += " NOT NULL"
			}
			defs = append(defs, def)
		}
		defs = append(defs, "PRIMARY KEY ("+quotedAll(f.PrimaryKey)+")")
		if _, err := tx.ExecContext(ctx, "CREATE TABLE "+quoted(table)+" ("+strings.Join(defs, ", ")+")"); err != nil {
			return err
		}
	} else {
		if !slices.Equal(keys, f.PrimaryKey) {
			return &Unready{fmt.Sprintf("Table %s of feed %s has the primary key %s, not %s. Drop the table, or make a feed with another",
				f.Table, f.ID, strings.Join(keys, ", "), strings.Join(f.PrimaryKey, ", "))}
		}
		for _, name := range columnNames(f) {
			if slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, name) }) {
				continue
			}
			if _, err := tx.ExecContext(ctx, "ALTER TABLE "+quoted(table)+" ADD COLUMN "+quoted(name)); err != nil {
				return err
			}
		}
	}
	_, err = tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+quoted(table+failedSuffix)+` (
		"reason" TEXT NOT NULL, "record" TEXT NOT NULL, "_received_at", "_request_id", "_file" TEXT NOT NULL, "_row" INTEGER NOT NULL,
		PRIMARY KEY ("_file", "_row"))`)
	return err
}

// columnsOf gives a table's columns and those of its primary key, in the key's order; none where there is no table.
func columnsOf(ctx context.Context, tx *sql.Tx, table string) (all, keys []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name, pk FROM pragma_table_info(?) ORDER BY pk`, table)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var pk int
		if err := rows.Scan(&name, &pk); err != nil {
			return nil, nil, err
		}
		all = append(all, name)
		if pk > 0 {
			keys = append(keys, name)
		}
	}
	return all, keys, rows.Err()
}

// begin makes fresh tables for a run that truncates, unless this run has begun to fill them already.
func (t *tables) begin(ctx context.Context, run string, to target) error {
	return t.within(ctx, func(tx *sql.Tx) error {
		if to.fresh {
			var n int
			if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM _sluice_loaded WHERE run = ? AND feed = ? AND file = ''`, run, to.noted()).Scan(&n); err != nil {
				return err
			}
			if n == 0 {
				// Another run that broke off while it filled the same table begins again.
				if err := drop(ctx, tx, to.table); err != nil {
					return err
				}
				if _, err := tx.ExecContext(ctx, `INSERT INTO _sluice_loaded (run, feed, file, rows, failed) VALUES (?, ?, '', 0, 0)`, run, to.noted()); err != nil {
					return err
				}
			}
			// Found out before hours of work, not behind them.
			if err := prepare(ctx, tx, to.feed, to.feed.Table); err != nil {
				return err
			}
		}
		return prepare(ctx, tx, to.feed, to.table)
	})
}

// drop drops a fresh table and what is noted of it.
func drop(ctx context.Context, tx *sql.Tx, fresh string) error {
	for _, table := range []string{fresh, fresh + failedSuffix} {
		if _, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+quoted(table)); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM _sluice_loaded WHERE feed = ?`, fresh)
	return err
}

// sweep takes away what runs have left that are not asked for any more: they failed, or their courier was deleted. Should it be wrong about
// one, that run begins again.
func (t *tables) sweep(ctx context.Context, asked func(run string) bool) error {
	return t.within(ctx, func(tx *sql.Tx) error {
		left, err := pairs(ctx, tx, `SELECT DISTINCT run, feed FROM _sluice_loaded`)
		if err != nil {
			return err
		}
		for _, of := range left {
			run, noted := of[0], of[1]
			if asked(run) {
				continue
			}
			if strings.HasPrefix(noted, freshPrefix) {
				if err := drop(ctx, tx, noted); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM _sluice_loaded WHERE run = ? AND feed = ?`, run, noted); err != nil {
				return err
			}
		}
		return nil
	})
}

// pairs gives the rows of a query for two texts.
func pairs(ctx context.Context, tx *sql.Tx, query string, args ...any) (all [][2]string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p [2]string
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// loaded says which files a run has loaded into a target, and how many rows came of them.
func (t *tables) loaded(ctx context.Context, run string, to target) (files map[string]bool, rows, failed int64, err error) {
	files = map[string]bool{}
	err = t.within(ctx, func(tx *sql.Tx) error {
		found, err := tx.QueryContext(ctx, `SELECT file, rows, failed FROM _sluice_loaded WHERE run = ? AND feed = ? AND file != ''`, run, to.noted())
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var file string
			var good, bad int64
			if err := found.Scan(&file, &good, &bad); err != nil {
				return err
			}
			files[file] = true
			rows, failed = rows+good, failed+bad
		}
		return found.Err()
	})
	return files, rows, failed, err
}

// finish puts the rows of fresh tables in the place of the old ones, and forgets the run's notes: all or nothing.
func (t *tables) finish(ctx context.Context, run string, targets []target) error {
	return t.within(ctx, func(tx *sql.Tx) error {
		for _, to := range targets {
			if !to.fresh {
				continue
			}
			if err := replace(ctx, tx, to.feed.Table, to.table, columnNames(to.feed)); err != nil {
				return err
			}
			failed := []string{"reason", "record", "_received_at", "_request_id", "_file", "_row"}
			if err := replace(ctx, tx, to.feed.Table+failedSuffix, to.table+failedSuffix, failed); err != nil {
				return err
			}
		}
		noted, err := pairs(ctx, tx, `SELECT DISTINCT run, feed FROM _sluice_loaded WHERE run = ?`, run)
		if err != nil {
			return err
		}
		for _, of := range noted {
			// One is still there where the courier was changed meanwhile.
			if fresh := of[1]; strings.HasPrefix(fresh, freshPrefix) {
				if err := drop(ctx, tx, fresh); err != nil {
					return err
				}
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM _sluice_loaded WHERE run = ?`, run)
		return err
	})
}

// replace moves rows rather than renaming the table, so that whatever its users hung on it, indexes and views, stays.
func replace(ctx context.Context, tx *sql.Tx, table, by string, columns []string) error {
	list := quotedAll(columns)
	for _, statement := range []string{
		"DELETE FROM " + quoted(table),
		"INSERT INTO " + quoted(table) + " (" + list + ") SELECT " + list + " FROM " + quoted(by),
		"DROP TABLE " + quoted(by),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// within runs fn in one transaction.
func (t *tables) within(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback() // what went wrong first is the error
		return fmt.Errorf("tables: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	return nil
}
