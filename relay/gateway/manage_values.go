package gateway

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// manageField is one member of a merge patch (RFC 7396): left out, null for "as if never set", or a value. The zero value
// is left out.
type manageField[T any] struct {
	Set, Null bool
	Value     T
}

func (f *manageField[T]) UnmarshalJSON(data []byte) error {
	f.Set = true
	if string(data) == "null" {
		f.Null = true
		return nil
	}
	return json.Unmarshal(data, &f.Value)
}

// Schema is the value's, or null. It is never a reference, for a reference cannot be null; nor can a choice of schemas.
func (f manageField[T]) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = s.Type != ""
	return s
}

// pointer gives what a patch of the registry wants: nil where the member was left out, and what null stands for.
func (f manageField[T]) pointer(null T) *T {
	switch {
	case !f.Set:
		return nil
	case f.Null:
		return &null
	default:
		return &f.Value
	}
}

// manageCount is a whole number that is shown as a string, since JSON readers lose digits above 2^53, and read as either.
type manageCount int64

func (n manageCount) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatInt(int64(n), 10)), nil
}

func (n *manageCount) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil && data[0] != '"' {
		// 1e3 and 1000.0 are whole numbers too; above 2^53 a float no longer says which.
		f, _ := strconv.ParseFloat(text, 64)
		if v = int64(f); float64(v) == f && f < 1<<53 {
			err = nil
		}
	}
	if err != nil || v < 0 {
		return errManageCount
	}
	*n = manageCount(v)
	return nil
}

func (manageCount) Schema(huma.Registry) *huma.Schema {
	zero := 0.0
	return &huma.Schema{AnyOf: []*huma.Schema{
		{Type: huma.TypeString, Pattern: "^[0-9]{1,18}$"},
		{Type: huma.TypeInteger, Minimum: &zero},
	}}
}

const manageDay = 24 * time.Hour

// manageParseSpan reads a duration as Go writes it, with days (24 h) before it: 7d, 1d12h, 36h. Never negative.
func manageParseSpan(s string) (time.Duration, error) {
	var days time.Duration
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 31)
		if err != nil || n > uint64(math.MaxInt64/manageDay) {
			return 0, errManageSpan
		}
		if days = time.Duration(n) * manageDay; after == "" {
			return days, nil
		}
		s = after
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > math.MaxInt64-days {
		return 0, errManageSpan
	}
	return days + d, nil
}

// manageSpanPattern is what manageParseSpan reads, but for numbers that are too large, so that a fault is told with the member it is in.
const (
	manageSpanPattern = `^([0-9]+d|([0-9]+d)?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+|0)$`
	manageSpanWords   = "a duration such as 36h or 7d"
)

// manageSpan writes a duration as short as it can so that manageParseSpan gives it again: 7d, 1h, 1m30s.
func manageSpan(d time.Duration) string {
	if d >= manageDay && d%manageDay == 0 {
		return strconv.FormatInt(int64(d/manageDay), 10) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// manageUnits are the units of a size, the largest first.
var manageUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// manageParseSize reads digits and a unit in upper or lower case; without a unit it counts bytes.
func manageParseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	for _, u := range manageUnits {
		if cut := len(s) - len(u.name); cut > 0 && strings.EqualFold(s[cut:], u.name) {
			number, unit = strings.TrimSpace(s[:cut]), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errManageSize
	}
	return int64(n) * unit, nil
}

// manageSize writes a number of bytes so that manageParseSize gives it again, in the largest unit that divides it.
func manageSize(n int64) string {
	for _, u := range manageUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// manageText is text that may also be sent as the JSON it consists of: an Avro schema as a string or as an object.
type manageText string

func (t *manageText) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	if string(data) == "null" {
		return nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return err
	}
	*t = manageText(b.String())
	return nil
}

func (manageText) Schema(huma.Registry) *huma.Schema {
	one := 1
	return &huma.Schema{AnyOf: []*huma.Schema{
		{Type: huma.TypeString, MinLength: &one},
		{Type: huma.TypeObject, AdditionalProperties: true},
		{Type: huma.TypeArray, Items: &huma.Schema{}},
	}}
}

// manageAny is an answer that has one of several shapes.
type manageAny struct{ shape any }

func (a manageAny) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(a.shape)
	return b.Bytes(), err
}

func manageOneOf(r huma.Registry, shapes ...reflect.Type) *huma.Schema {
	s := &huma.Schema{}
	for _, t := range shapes {
		s.OneOf = append(s.OneOf, r.Schema(t, true, ""))
	}
	return s
}
