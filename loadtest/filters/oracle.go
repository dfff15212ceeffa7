package filters

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Oracle evaluates one filter of this package literally. It knows what Filter writes, and panics at anything else, so
// that a filter that it cannot judge is found out at once.
type Oracle struct{ clauses []map[string]any }

// NewOracle reads a filter's text.
func NewOracle(filter string) Oracle {
	var v any
	if err := json.Unmarshal([]byte(filter), &v); err != nil {
		panic(fmt.Sprintf("filter %s: %v", filter, err))
	}
	var o Oracle
	for _, clause := range listed(v) {
		o.clauses = append(o.clauses, clause.(map[string]any))
	}
	return o
}

// Passes tells whether an event, as it was sent and decoded by encoding/json, passes at a time for a consumer that
// is not shown locations.
func (o Oracle) Passes(event map[string]any, now time.Time) bool {
	if event["type"] == "LOCATION" {
		return false
	}
	return slices.ContainsFunc(o.clauses, func(clause map[string]any) bool {
		for name, want := range clause {
			if !attribute(name, want, event, now) {
				return false
			}
		}
		return true
	})
}

// attribute tells whether one attribute of a filter holds.
func attribute(name string, want any, event map[string]any, now time.Time) bool {
	device, _ := event["device"].(map[string]any)
	user, _ := event["user"].(map[string]any)
	body, _ := event["body"].(map[string]any)
	push, _ := body["triggering_push"].(map[string]any)
	among := func(one func(any) bool) bool { return slices.ContainsFunc(listed(want), one) }
	switch name {
	case "types":
		return among(func(t any) bool { return t == event["type"] })
	case "device_types":
		return among(func(t any) bool { return strings.ToUpper(t.(string)) == device["device_type"] })
	case "devices":
		return among(func(d any) bool { return has(d, device) })
	case "users":
		return among(func(u any) bool { return has(u, user) })
	case "notifications":
		return among(func(p any) bool { return has(p, body) || has(p, push) })
	case "latency":
		occurred, err := time.Parse(time.RFC3339, event["occurred"].(string))
		if err != nil {
			panic(err)
		}
		return now.Sub(occurred) <= time.Duration(want.(float64))*time.Millisecond
	case "predicates":
		return among(func(p any) bool { return holds(p.(map[string]any), event) })
	}
	panic("no oracle for " + name)
}

// has tells whether an object has every member of another.
func has(wanted any, object map[string]any) bool {
	for name, value := range wanted.(map[string]any) {
		if object[name] != value {
			return false
		}
	}
	return true
}

// holds evaluates a predicate on an event, or on an element of an array.
func holds(p map[string]any, about any) bool {
	if all, ok := p["and"]; ok {
		return !slices.ContainsFunc(listed(all), func(k any) bool { return !holds(k.(map[string]any), about) })
	}
	if all, ok := p["or"]; ok {
		return slices.ContainsFunc(listed(all), func(k any) bool { return holds(k.(map[string]any), about) })
	}
	if not, ok := p["not"]; ok {
		return !holds(not.(map[string]any), about)
	}
	path := listed(p["scope"])
	if key, ok := p["key"]; ok {
		path = append(slices.Clone(path), key)
	}
	for _, name := range path {
		m, _ := about.(map[string]any)
		about = m[name.(string)]
	}
	return meets(p["value"].(map[string]any), about, p["ignore_case"] == true)
}

// meets tells whether a value is what a matcher wants.
func meets(want map[string]any, v any, fold bool) bool {
	if w, ok := want["equals"]; ok {
		s, isText := v.(string)
		return v == w || fold && isText && strings.EqualFold(s, w.(string))
	}
	if w, ok := want["is_present"]; ok {
		return w == (v != nil)
	}
	if w, ok := want["version_matches"]; ok {
		s, isText := v.(string)
		from, to, _ := strings.Cut(strings.Trim(w.(string), "["), ",")
		return isText && slices.Compare(version(s), version(from)) >= 0 && slices.Compare(version(s), version(to)) < 0
	}
	if w, ok := want["array_contains"]; ok {
		items, _ := v.([]any)
		if i, ok := want["index"].(float64); ok {
			return int(i) < len(items) && holds(w.(map[string]any), items[int(i)])
		}
		return slices.ContainsFunc(items, func(item any) bool { return holds(w.(map[string]any), item) })
	}
	n, isNumber := v.(float64)
	return isNumber && n >= want["at_least"].(float64) && n <= want["at_most"].(float64)
}

// version is the three numbers of one.
func version(s string) []int {
	all := make([]int, 3)
	for i, part := range strings.Split(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			panic(err)
		}
		all[i] = n
	}
	return all
}

// listed is an array's elements, or what stands for an array of one.
func listed(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	if v == nil {
		return nil
	}
	return []any{v}
}
