package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errNotWhole = errors.New("not a whole number")

// Request is the body of a request to the streaming API.
type Request struct {
	Start               string // EARLIEST, LATEST, or empty where the request does not say
	ResumeOffset        string // decimal digits, or empty; where both are given this one counts
	Filter              *Filter
	Types               []string // that some filter names, sorted
	Subset              *Subset
	EnableOffsetUpdates bool
}

// Parse reads the body of a request; an empty body is an empty request. The error is an *Error.
func Parse(body []byte) (Request, error) {
	return parse(body, &compiler{})
}

// ParseKnowing is Parse where other types of events than Airship's are known too.
func ParseKnowing(body []byte, types func(string) bool) (Request, error) {
	return parse(body, &compiler{types: types})
}

// ParseCompliance reads the body of a request to the compliance endpoint, whose filters know only latency and the
// device types that have compliance events. The filter passes compliance events only. The error is an *Error.
func ParseCompliance(body []byte) (Request, error) {
	r, err := parse(body, &compiler{compliance: true})
	if err == nil && r.Filter == nil {
		r.Filter, err = New([]string{TypeCompliance}, nil)
	}
	return r, err
}

func parse(body []byte, c *compiler) (Request, error) {
	var r Request
	if len(bytes.TrimSpace(body)) == 0 {
		return r, nil
	}
	v, err := decode(body)
	if err != nil {
		return r, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return r, refuse("", "must be a JSON object")
	}
	for _, name := range sorted(m) {
		v := m[name]
		switch name {
		case "start":
			if r.Start, ok = v.(string); !ok || r.Start != "EARLIEST" && r.Start != "LATEST" {
				return r, refuse(name, "must be EARLIEST or LATEST")
			}
		case "resume_offset":
			if r.ResumeOffset, ok = offset(v); !ok {
				return r, refuse(name, "must be an offset that the stream gave")
			}
		case "filters":
			r.Filter, err = c.filter(name, v, nil)
			r.Types = sorted(c.named)
		case "subset":
			r.Subset, err = parseSubset(name, v)
		case "enable_offset_updates":
			if r.EnableOffsetUpdates, ok = v.(bool); !ok {
				return r, refuse(name, "must be true or false")
			}
		default:
			return r, refuse(name, "is not an attribute of a request")
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// offset takes a string or a bare number, for some clients send what the stream gave as a string without quotes.
func offset(v any) (string, bool) {
	s, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		s, ok = string(n), true
	}
	_, err := strconv.ParseUint(s, 10, 64)
	return s, ok && err == nil && s[0] != '+'
}

// New compiles what a subscription names: event types, and filters as JSON (an array, or one object). An event passes
// when its type is among types and a filter passes it; nil or no types, and nil filters, pass every event. Types may
// be those of a contract's own envelope, not only Airship's. The error is an *Error; a nil Filter passes every event.
func New(types []string, filters []byte) (*Filter, error) {
	for _, t := range types {
		if t == "" || len(t) > 255 || !utf8.ValidString(t) {
			return nil, refuse("types", "must hold names of 1 to 255 bytes")
		}
	}
	var v any = map[string]any{}
	if len(filters) > 0 && string(filters) != "null" {
		var err error
		if v, err = decode(filters); err != nil {
			return nil, err
		}
	} else if len(types) == 0 {
		return nil, nil
	}
	c := compiler{own: true}
	return c.filter("filters", v, types)
}

func decode(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, refuse("", "is not UTF-8")
	}
	if path, twice := repeated(body); twice {
		return nil, refuse(path, "is given twice")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse("", "is not valid JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse("", "is not valid JSON: something follows the object")
	}
	return v, nil
}

// compiler compiles one request.
type compiler struct {
	compliance bool              // the compliance endpoint's
	own        bool              // types need not be Airship's
	types      func(string) bool // knows other types than Airship's; nil: there are none
	count      int               // predicates so far
	named      map[string]bool   // types
}

// maxFilters bounds how many filters a request may OR.
const maxFilters = 1000

// filter compiles an array of filters or a single one; only types pass, where there are any.
func (c *compiler) filter(path string, v any, types []string) (*Filter, error) {
	list, isList := v.([]any)
	switch {
	case !isList:
		list = []any{v}
	case len(list) == 0:
		return nil, refuse(path, "must not be empty")
	case len(list) > maxFilters:
		return nil, refuse(path, "must not hold more than %d", maxFilters)
	}
	f := &Filter{}
	var keys []string
	passed := map[string]bool{}
	every, unbound := false, false // some filter passes every type, or every event
	for i := range list {
		at := path
		if isList {
			at = path + "/" + strconv.Itoa(i)
		}
		cl, key, err := c.clause(at, list[i])
		if err != nil {
			return nil, err
		}
		if !c.restrict(&cl, &key, types) {
			continue
		}
		if key == "{}" {
			unbound = true
		}
		if cl.types == nil {
			every = true
		}
		for t := range cl.types {
			passed[t] = true
		}
		f.clauses, keys = append(f.clauses, cl), append(keys, key)
	}
	if unbound {
		return nil, nil
	}
	f.clauses = joined(f.clauses)
	f.key = canonical(keys)
	if !every {
		f.types = sorted(passed)
	}
	return f, nil
}

// restrict narrows a clause to types; false means that it then passes nothing.
func (c *compiler) restrict(cl *clause, key *string, types []string) bool {
	if c.compliance {
		types = []string{TypeCompliance}
	}
	if len(types) == 0 {
		return true
	}
	left := map[string]bool{}
	for _, t := range types {
		if cl.types == nil || cl.types[t] {
			left[t] = true
		}
	}
	cl.types = left
	scope := "types" + canonical(quoted(sorted(left)))
	*key = scope + *key
	for by, s := range cl.named {
		if s != nil {
			cl.rest[by] = scope + cl.rest[by]
		}
	}
	return len(left) > 0
}

// clause compiles one filter object and gives its canonical text.
func (c *compiler) clause(path string, v any) (clause, string, error) {
	cl := clause{latency: -1}
	m, ok := v.(map[string]any)
	if !ok {
		return cl, "", refuse(path, "must be an object")
	}
	var keys []string
	var place [3]int // of each of named in keys
	for _, name := range sorted(m) {
		v, at := m[name], path+"/"+name
		if c.compliance && name != "device_types" && name != "latency" {
			return cl, "", refuse(at, "is not an attribute of a compliance filter")
		}
		var key string
		var err error
		switch name {
		case "types":
			known := func(t string) bool {
				return eventTypes[t] || c.own && t != "" || c.types != nil && t != typeOffsetUpdate && t != "" && c.types(t)
			}
			cl.types, key, err = constants(at, v, known, "an event type", strings.Clone)
			if c.named == nil {
				c.named = map[string]bool{}
			}
			maps.Copy(c.named, cl.types)
		case "device_types":
			known := deviceTypes
			if c.compliance {
				known = complianceDeviceTypes
			}
			cl.deviceTypes, key, err = constants(at, v, func(t string) bool { return known[t] }, "a device type", strings.ToUpper)
		case "devices":
			cl.named[byDevice], key, err = c.selectors(byDevice, at, v)
		case "users":
			cl.named[byUser], key, err = c.selectors(byUser, at, v)
		case "notifications":
			cl.named[byPush], key, err = c.selectors(byPush, at, v)
		case "latency":
			cl.latency, err = wholeNumber(v)
			if err != nil || cl.latency < 0 {
				return cl, "", refuse(at, "must be a whole number of milliseconds from 0")
			}
			key = strconv.FormatInt(cl.latency, 10)
		case "predicates":
			cl.predicates, key, err = c.predicates(at, v)
		default:
			return cl, "", refuse(at, "is not an attribute of a filter")
		}
		if err != nil {
			return cl, "", err
		}
		if by, ok := selectorNames[name]; ok {
			place[by] = len(keys)
		}
		keys = append(keys, name+key)
	}
	for by, s := range cl.named {
		if s != nil {
			cl.rest[by] = "{" + strings.Join(slices.Delete(slices.Clone(keys), place[by], place[by]+1), ",") + "}"
		}
	}
	return cl, "{" + strings.Join(keys, ",") + "}", nil
}

// constants reads an array of names out of a fixed set.
func constants(path string, v any, known func(string) bool, what string, as func(string) string) (map[string]bool, string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, "", refuse(path, "must be an array")
	}
	if len(list) == 0 {
		return nil, "", refuse(path, "must not be empty")
	}
	all := make(map[string]bool, len(list))
	for i := range list {
		s, ok := list[i].(string)
		if !ok {
			return nil, "", refuse(fmt.Sprintf("%s/%d", path, i), "must be a string")
		}
		if !known(s) {
			return nil, "", refuse(fmt.Sprintf("%s/%d", path, i), "is not %s: %s", what, shown(s))
		}
		all[as(s)] = true
	}
	return all, canonical(quoted(sorted(all))), nil
}

func quoted(all []string) []string {
	for i := range all {
		all[i] = strconv.Quote(all[i])
	}
	return all
}

func sorted[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
