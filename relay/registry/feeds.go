package registry

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/auth"
	"sluice/relay/engine"
)

// Feed is a table that couriers load landed files into. Immutable.
type Feed struct {
	ID         string // df-…, in its project and in all others
	Project    *Project
	Name       string   // unique in the project
	Table      string   // unique in the project, in any case of its letters
	PrimaryKey []string // names of columns
	Columns    []FeedColumn
	RowPath    string // gjson path to the rows in a record; empty: the record is the row
	Created    time.Time

	record *feedRecord
}

// FeedColumn is a column and where its values are: a gjson path in the row, or one in the whole record after "$.".
type FeedColumn struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// FeedSpec says what feed to make. Table is made of Name where it is empty.
type FeedSpec struct {
	Name       string
	Table      string
	PrimaryKey []string
	Columns    []FeedColumn
	RowPath    string
}

// FeedPatch says what to change; nil leaves a member as it is. The table and its primary key stay.
type FeedPatch struct {
	Columns *[]FeedColumn
	RowPath *string
}

const kindFeed = "feed" // .<id>: feedRecord

func feedKey(id string) string { return cellKey(kindFeed, id) }

type feedRecord struct {
	Version    int          `json:"v"`
	ID         string       `json:"id"`
	Project    string       `json:"project"`
	Name       string       `json:"name"`
	Table      string       `json:"table"`
	PrimaryKey []string     `json:"primaryKey"`
	Columns    []FeedColumn `json:"columns"`
	RowPath    string       `json:"rowPath,omitempty"`
	Created    int64        `json:"created"`
}

func feedOf(r *feedRecord, p *Project) *Feed {
	return &Feed{
		ID: r.ID, Project: p, Name: r.Name, Table: r.Table, PrimaryKey: r.PrimaryKey, Columns: r.Columns, RowPath: r.RowPath,
		Created: time.UnixMilli(r.Created), record: r,
	}
}

const (
	maxFeeds     = 1000 // of a project
	maxColumns   = 500
	maxFeedPath  = 1000 // bytes of a gjson path
	feedIDLength = 8
	failedSuffix = "_failed" // of the table beside a feed's, for what does not fit
)

// identifier is what a table or a column may be called, so that it needs no quotes in any SQL.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// Feed gives the feed of that id or name, nil if the project is nil or has none.
func (s *Snapshot) Feed(p *Project, nameOrID string) *Feed {
	for _, f := range s.Feeds(p) {
		if f.Name == nameOrID || f.ID == nameOrID {
			return f
		}
	}
	return nil
}

// Feeds gives a project's feeds by name; the slice is shared, do not change it.
func (s *Snapshot) Feeds(p *Project) []*Feed {
	if p == nil {
		return nil
	}
	return s.loads.feeds[p.ID]
}

// CreateFeed makes a feed; its table is made by the first run that loads into it. Errors: *Invalid, ErrExists where the name is taken,
// ErrNotFound where the project is gone.
func (r *Registry) CreateFeed(ctx context.Context, p *Project, spec FeedSpec) (*Feed, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	if spec.Table == "" {
		spec.Table = tableOf(spec.Name)
	}
	record := &feedRecord{
		Version: recordVersion, ID: "df-" + auth.NewSecret(feedIDLength), Project: p.ID, Name: spec.Name, Table: spec.Table,
		PrimaryKey: spec.PrimaryKey, Columns: spec.Columns, RowPath: spec.RowPath, Created: r.now().UnixMilli(),
	}
	if err := record.check(); err != nil {
		return nil, err
	}
	err := r.changeLoads(ctx, p, func(s *Snapshot, _ revisions) ([]engine.Write, error) {
		switch {
		case s.Feed(p, spec.Name) != nil:
			return nil, ErrExists
		case len(s.Feeds(p)) >= maxFeeds:
			return nil, &Invalid{"name", fmt.Sprintf("a project has at most %d feeds", maxFeeds)}
		}
		for _, f := range s.Feeds(p) {
			// The one with the suffix is the other's second table.
			if a, b := strings.ToLower(f.Table), strings.ToLower(spec.Table); a == b || a == b+failedSuffix || b == a+failedSuffix {
				return nil, &Invalid{"table", fmt.Sprintf("feed %s has it; choose another", f.Name)}
			}
		}
		return []engine.Write{{Key: feedKey(record.ID), Value: encode(record)}}, nil
	})
	return made(err, func() *Feed { return r.Snapshot().Feed(p, record.ID) })
}

// UpdateFeed changes a feed; the next run loads by it. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateFeed(ctx context.Context, p *Project, nameOrID string, patch FeedPatch) (*Feed, error) {
	var id string
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		f := s.Feed(p, nameOrID)
		if f == nil {
			return nil, ErrNotFound
		}
		id = f.ID
		changed := *f.record
		if patch.Columns != nil {
			changed.Columns = *patch.Columns
		}
		if patch.RowPath != nil {
			changed.RowPath = *patch.RowPath
		}
		if err := changed.check(); err != nil {
			return nil, err
		}
		return []engine.Write{{Key: feedKey(f.ID), Value: encode(&changed), Revision: at[feedKey(f.ID)]}}, nil
	})
	return made(err, func() *Feed { return r.Snapshot().Feed(p, id) })
}

// DeleteFeed deletes a feed and gives what went. Its table stays, and couriers that name it do not run. Errors: ErrNotFound.
func (r *Registry) DeleteFeed(ctx context.Context, p *Project, nameOrID string) (*Feed, error) {
	var gone *Feed
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.Feed(p, nameOrID); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, feedKey(gone.ID)), nil
	})
	return gone, err
}

// tableOf makes a table's name of a feed's: what no identifier has becomes '_'.
func tableOf(name string) string {
	table := strings.Map(func(c rune) rune {
		if c < utf8.RuneSelf && (c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return c
		}
		return '_'
	}, name)
	if table != "" && table[0] >= '0' && table[0] <= '9' {
		table = "_" + table
	}
	return table[:min(len(table), 50)]
}

// check holds a feed to its rules.
func (f *feedRecord) check() error {
	if err := checkName(f.Name); err != nil {
		return err
	}
	lower := strings.ToLower(f.Table)
	switch {
	case !identifier.MatchString(f.Table) || len(f.Table) > 50:
		return &Invalid{"table", "must be 1 to 50 letters, digits and '_', and not begin with a digit"}
	case strings.HasPrefix(lower, "sqlite_"), strings.HasPrefix(lower, "_sluice_"):
		return &Invalid{"table", "must not begin with sqlite_ or _sluice_"}
	case len(f.Columns) == 0:
		return &Invalid{"columns", "are missing: a name and a path for each"}
	case len(f.Columns) > maxColumns:
		return &Invalid{"columns", fmt.Sprintf("there are %d, at most %d are taken", len(f.Columns), maxColumns)}
	case len(f.PrimaryKey) == 0:
		return &Invalid{"primaryKey", "is missing: the names of the columns that tell one row from another"}
	}
	seen := map[string]bool{"_received_at": true, "_request_id": true}
	for i, c := range f.Columns {
		field := fmt.Sprintf("columns[%d]", i)
		switch {
		case !identifier.MatchString(c.Name):
			return &Invalid{field + ".name", "must be 1 to 63 letters, digits and '_', and not begin with a digit"}
		case seen[strings.ToLower(c.Name)]:
			return &Invalid{field + ".name", fmt.Sprintf("%s is there twice, or is a column that every table has", c.Name)}
		}
		if err := checkPath(field+".path", c.Path); err != nil {
			return err
		}
		seen[strings.ToLower(c.Name)] = true
	}
	for i, key := range f.PrimaryKey {
		switch {
		case !slices.ContainsFunc(f.Columns, func(c FeedColumn) bool { return c.Name == key }):
			return &Invalid{"primaryKey", fmt.Sprintf("%s is not one of the columns", shownName(key))}
		case slices.Contains(f.PrimaryKey[:i], key):
			return &Invalid{"primaryKey", fmt.Sprintf("%s is there twice", key)}
		}
	}
	if f.RowPath == "" {
		return nil
	}
	return checkPath("rowPath", f.RowPath)
}

// checkPath holds a gjson path to what can be told of one without an event: gjson itself takes any text.
func checkPath(field, path string) error {
	switch {
	case path == "":
		return &Invalid{field, "is missing"}
	case len(path) > maxFeedPath:
		return &Invalid{field, fmt.Sprintf("has more than %d bytes", maxFeedPath)}
	case !printable(path):
		return &Invalid{field, "has a character that cannot be printed"}
	}
	return nil
}

// shownName bounds what of a name sent by a stranger stands in an answer.
func shownName(name string) string {
	if utf8.RuneCountInString(name) > maxName {
		return string([]rune(name)[:maxName]) + "…"
	}
	return name
}
