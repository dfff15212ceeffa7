package load

import (
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/relay/registry"
)

// maxRows bounds the rows of one record.
const maxRows = 100_000

// rooted is what a column's path begins with that is looked for in the whole record, not in the row.
const rooted = "$."

// rowsOf cuts a record, one JSON object, into the rows that a feed's rowPath names and calls fn with the values of the feed's columns for each, which it may keep
// until the next call, or with a *misfit. A record without rows gives one misfit.
func rowsOf(f *registry.Feed, record string, values []any, fn func(values []any, row string, err error) error) error {
	if !gjson.Valid(record) {
		return fn(nil, record, misfitf("it is not valid JSON"))
	}
	whole := gjson.Parse(record)
	if f.RowPath == "" {
		return one(f, whole, whole, values, fn)
	}
	at := whole.Get(f.RowPath)
	switch {
	case !at.Exists() || at.Type == gjson.Null:
		return fn(nil, record, misfitf("there is nothing at the row path %s", f.RowPath))
	case at.IsObject():
		return one(f, whole, at, values, fn)
	case !at.IsArray():
		return fn(nil, record, misfitf("at the row path %s is neither an object nor a list", f.RowPath))
	}
	var err error
	n := 0
	at.ForEach(func(_, row gjson.Result) bool {
		if n++; n > maxRows {
			err = fn(nil, record, misfitf("it has more than %d rows, and those behind are left out", maxRows))
			return false
		}
		err = one(f, whole, row, values, fn)
		return err == nil
	})
	return err
}

func one(f *registry.Feed, whole, row gjson.Result, values []any, fn func([]any, string, error) error) error {
	if !row.IsObject() {
		return fn(nil, row.Raw, misfitf("it is not an object"))
	}
	for i, c := range f.Columns {
		at := row
		path := c.Path
		if rest, ok := strings.CutPrefix(path, rooted); ok {
			at, path = whole, rest
		}
		values[i] = sqlValue(at.Get(path))
	}
	for _, key := range f.PrimaryKey {
		for i, c := range f.Columns {
			if c.Name == key && values[i] == nil {
				return fn(nil, row.Raw, misfitf("the primary key's column %s has no value at %s", key, c.Path))
			}
		}
	}
	return fn(values, row.Raw, nil)
}

// sqlValue is what a table holds of a JSON value.
func sqlValue(v gjson.Result) any {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.True:
		return int64(1)
	case gjson.False:
		return int64(0)
	case gjson.Number:
		if n, err := strconv.ParseInt(v.Raw, 10, 64); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(v.Raw, 64)
		if err != nil || !strings.ContainsAny(v.Raw, ".eE") || math.IsInf(f, 0) {
			return v.Raw // a float would lose digits of it
		}
		return f
	case gjson.JSON:
		return v.Raw
	default:
		return nil
	}
}
