package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// The bounds of a request's predicates, for each is evaluated on every event.
const (
	maxPredicateDepth = 32
	maxPredicates     = 1000
)

type operator uint8

const (
	opAnd operator = iota
	opOr
	opNot
	opMatch
)

var operators = [...]string{opAnd: "and", opOr: "or", opNot: "not"}

// predicate is a compiled JSON predicate.
type predicate struct {
	op   operator
	kids []predicate // and, or, not

	path []string // match: scope and key
	fold bool     // match: strings are equal whatever their case
	test test
	key  string // canonical text
}

// test is what a matcher asks of the value it finds.
type test struct {
	equals   *literal
	least    *number
	most     *number
	present  *bool
	version  *versions
	contains *predicate
	index    int // of contains; -1: any
}

func (p *predicate) holds(s subject) bool {
	switch p.op {
	case opAnd:
		for i := range p.kids {
			if !p.kids[i].holds(s) {
				return false
			}
		}
		return true
	case opOr:
		for i := range p.kids {
			if p.kids[i].holds(s) {
				return true
			}
		}
		return false
	case opNot:
		return !p.kids[0].holds(s)
	default:
		return p.test.passes(s.at(p.path), p.fold)
	}
}

func (t *test) passes(v value, fold bool) bool {
	switch {
	case t.equals != nil:
		return t.equals.equals(v, fold)
	case t.present != nil:
		return *t.present == (v.Type != gjson.Null)
	case t.version != nil:
		return v.Type == gjson.String && t.version.match(v.Str)
	case t.contains != nil:
		return v.IsArray() && t.containedIn(v)
	}
	if v.Type != gjson.Number {
		return false
	}
	n := numberOf(v.Raw)
	return (t.least == nil || n.compare(*t.least) >= 0) && (t.most == nil || n.compare(*t.most) <= 0)
}

func (t *test) containedIn(array value) (found bool) {
	n := 0
	array.ForEach(func(_, item gjson.Result) bool {
		if t.index < 0 || t.index == n {
			found = t.contains.holds(subject{element: value{item}})
		}
		n++
		return !found && (t.index < 0 || n <= t.index)
	})
	return found
}

// predicates compiles an array of predicates, or a single one.
func (c *compiler) predicates(path string, v any) ([]predicate, string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	} else if len(list) == 0 {
		return nil, "", refuse(path, "must not be empty")
	}
	all := make([]predicate, len(list))
	keys := make([]string, len(list))
	for i := range list {
		at := path
		if ok {
			at = path + "/" + strconv.Itoa(i)
		}
		p, err := c.predicate(at, list[i], 0, false)
		if err != nil {
			return nil, "", err
		}
		all[i], keys[i] = p, p.key
	}
	return all, canonical(keys), nil
}

// predicate compiles one. Inside array_contains it is about the element itself, and needs no key.
func (c *compiler) predicate(path string, v any, depth int, inner bool) (predicate, error) {
	if depth > maxPredicateDepth {
		return predicate{}, refuse(path, "is nested deeper than %d", maxPredicateDepth)
	}
	if c.count++; c.count > maxPredicates {
		return predicate{}, refuse(path, "is one too many, there may be %d predicates", maxPredicates)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return predicate{}, refuse(path, "must be an object")
	}
	for op, name := range operators {
		operand, ok := m[name]
		if !ok {
			continue
		}
		if err := only(path, m, name); err != nil {
			return predicate{}, err
		}
		list, isList := operand.([]any)
		switch {
		case isList && operator(op) == opNot && len(list) != 1:
			return predicate{}, refuse(path+"/not", "must hold one predicate")
		case isList && len(list) == 0:
			return predicate{}, refuse(path+"/"+name, "must not be empty")
		case !isList && operator(op) != opNot:
			return predicate{}, refuse(path+"/"+name, "must be an array")
		case !isList:
			list = []any{operand}
		}
		p := predicate{op: operator(op), kids: make([]predicate, len(list))}
		keys := make([]string, len(list))
		for i := range list {
			kid, err := c.predicate(fmt.Sprintf("%s/%s/%d", path, name, i), list[i], depth+1, inner)
			if err != nil {
				return predicate{}, err
			}
			p.kids[i], keys[i] = kid, kid.key
		}
		p.key = name + canonical(keys)
		return p, nil
	}
	return c.matcher(path, m, depth, inner)
}

func (c *compiler) matcher(path string, m map[string]any, depth int, inner bool) (predicate, error) {
	p := predicate{op: opMatch}
	for _, name := range sorted(m) {
		switch name {
		case "key", "scope", "value", "ignore_case":
		default:
			return p, refuse(path+"/"+name, "is not an attribute of a predicate")
		}
	}
	if scope, ok := m["scope"]; ok {
		list, isList := scope.([]any)
		if !isList {
			list = []any{scope}
		}
		if len(list) == 0 {
			return p, refuse(path+"/scope", "must not be empty")
		}
		for _, item := range list {
			name, ok := item.(string)
			if !ok {
				return p, refuse(path+"/scope", "must be a string or an array of strings")
			}
			p.path = append(p.path, name)
		}
	}
	if key, ok := m["key"]; ok {
		name, ok := key.(string)
		if !ok {
			return p, refuse(path+"/key", "must be a string")
		}
		p.path = append(p.path, name)
	} else if !inner && len(p.path) == 0 {
		return p, refuse(path+"/key", "is missing")
	}
	if fold, ok := m["ignore_case"]; ok {
		if p.fold, ok = fold.(bool); !ok {
			return p, refuse(path+"/ignore_case", "must be true or false")
		}
	}
	v, ok := m["value"].(map[string]any)
	if !ok {
		return p, refuse(path+"/value", "must be an object")
	}
	what, err := c.test(path+"/value", v, depth, &p.test)
	if err != nil {
		return p, err
	}
	var names []string
	for _, name := range p.path {
		names = append(names, strconv.Quote(name))
	}
	p.key = fmt.Sprintf("(%s %s %t)", strings.Join(names, "."), what, p.fold)
	return p, nil
}

// test compiles a value matcher and gives its canonical text.
func (c *compiler) test(path string, m map[string]any, depth int, t *test) (string, error) {
	t.index = -1
	switch {
	case len(m) == 0:
		return "", refuse(path, "must not be empty")
	case has(m, "equals"):
		l := literalOf(m["equals"])
		t.equals = &l
		return "=" + l.key(), only(path, m, "equals")
	case has(m, "at_least"), has(m, "at_most"):
		key := ""
		for i, to := range []**number{&t.least, &t.most} {
			name := [...]string{"at_least", "at_most"}[i]
			v, ok := m[name]
			if !ok {
				continue
			}
			s, ok := v.(json.Number)
			if !ok {
				return "", refuse(path+"/"+name, "must be a number")
			}
			n := numberOf(string(s))
			*to = &n
		}
		for _, n := range []*number{t.least, t.most} {
			if key += " "; n != nil {
				l := literal{kind: gjson.Number, number: *n}
				key += l.key()
			}
		}
		return "between" + key, only(path, m, "at_least", "at_most")
	case has(m, "is_present"):
		present, ok := m["is_present"].(bool)
		if !ok {
			return "", refuse(path+"/is_present", "must be true or false")
		}
		t.present = &present
		return fmt.Sprintf("present %t", present), only(path, m, "is_present")
	case has(m, "version_matches"):
		s, ok := m["version_matches"].(string)
		if !ok {
			return "", refuse(path+"/version_matches", "must be a string")
		}
		v, err := parseVersions(s)
		if err != nil {
			return "", refuse(path+"/version_matches", "%v", err)
		}
		t.version = &v
		return "version " + strconv.Quote(v.text), only(path, m, "version_matches")
	case has(m, "array_contains"):
		p, err := c.predicate(path+"/array_contains", m["array_contains"], depth+1, true)
		if err != nil {
			return "", err
		}
		t.contains = &p
		if v, ok := m["index"]; ok {
			n, err := wholeNumber(v)
			if err != nil || n < 0 || n > 1<<31 {
				return "", refuse(path+"/index", "must be a whole number from 0")
			}
			t.index = int(n)
		}
		return fmt.Sprintf("contains %d %s", t.index, p.key), only(path, m, "array_contains", "index")
	}
	return "", refuse(path+"/"+sorted(m)[0], "is not a value matcher")
}

// only refuses what stands beside names.
func only(path string, m map[string]any, names ...string) error {
	for _, name := range sorted(m) {
		if !slices.Contains(names, name) {
			return refuse(path+"/"+name, "must not stand beside %s", names[0])
		}
	}
	return nil
}

func has(m map[string]any, name string) bool {
	_, ok := m[name]
	return ok
}
