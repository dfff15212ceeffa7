package export

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// MaxPrefix bounds a path prefix, in bytes: together with the rest of a name it stays below the 1,024 of S3.
const MaxPrefix = 900

// CheckPrefix holds a path prefix to its rule; an empty one is fine. The error wraps ErrPrefix.
func CheckPrefix(prefix string) error {
	bad := func(why string) error { return fmt.Errorf("%w: it %s", ErrPrefix, why) }
	switch {
	case prefix == "":
		return nil
	case len(prefix) > MaxPrefix:
		return bad(fmt.Sprintf("has %d bytes, at most %d are allowed", len(prefix), MaxPrefix))
	case !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, func(c rune) bool { return !unicode.IsPrint(c) }):
		return bad("has a character that cannot be printed")
	case strings.HasSuffix(prefix, "/"):
		return bad("ends with a '/'")
	case strings.Contains(prefix, `\`):
		return bad(`has a '\'`)
	}
	for segment := range strings.SplitSeq(prefix, "/") {
		switch segment {
		case "":
			return bad("has an empty segment: it must not begin with '/' nor hold '//'")
		case ".", "..":
			return bad("has the segment '" + segment + "'")
		}
	}
	if strings.HasPrefix(prefix, ".well-known/acme-challenge") {
		return bad("names the place of certificate challenges")
	}
	return nil
}

// objectName names the object of the window that ends at t: its n-th, from 0.
func objectName(prefix string, t time.Time, stream string, n int) string {
	return join(prefix, t.UTC().Format("2006-01-02T15:04:05")+"-stream-"+stream+"{"+strconv.Itoa(n)+"}.jsonl")
}

// keysName is objectName for keys.
func keysName(prefix string, t time.Time, stream string, n int) string {
	return join(prefix, t.UTC().Format("2006-01-02T15:04:05")+"-keys-"+stream+"{"+strconv.Itoa(n)+"}.csv")
}

// contentType is what an object is declared to be.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".csv":
		return "text/csv; charset=utf-8"
	case ".cbor":
		return "application/cbor-seq"
	}
	return "application/x-ndjson"
}

// probeName names the object that tells whether a place can be written to.
func probeName(prefix string) string {
	return join(prefix, ".strm_test_"+uuid.NewString()+".jsonl")
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// windowEnd is the end of the window of interval seconds that holds a moment, both in Unix time: windows are aligned to the epoch, in UTC,
// and hold their beginning.
func windowEnd(ms int64, interval int64) int64 {
	s := ms / 1000
	return s - s%interval + interval
}
