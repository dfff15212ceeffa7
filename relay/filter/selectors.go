package filter

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// What a filter can name by its ids: indices into clause.named.
const (
	byDevice = iota
	byUser
	byPush
)

var selectorNames = map[string]int{"devices": byDevice, "users": byUser, "notifications": byPush}

// channels are the names under which events of different ages give the channel of their device.
var channels = []string{"channel", "ios_channel", "android_channel", "amazon_channel"}

// selectorIDs are the ids that things are named by.
var selectorIDs = [...][]string{
	byDevice: {"channel", "named_user_id", "ios_channel", "android_channel", "amazon_channel"},
	byUser:   {"contact_id", "named_user_id"},
	byPush:   {"push_id", "group_id"},
}

// selectors are what one attribute of a filter names, ORed. Customers list users by the thousand, so those that have
// one id, which is most, cost one look however many there are.
type selectors struct {
	one     map[string]map[string]bool // member of the object, and the values that select it
	several []selector                 // with more than one id
}

// selector names members of an object and the strings that they must be, all of them.
type selector []wanted

type wanted struct {
	names []string // of the member: one of these
	value string
}

// match tells whether a part of the event is selected; nil selects everything.
func (s *selectors) match(e *Event, p part) bool {
	return s == nil || s.selects(&e.memo, e.root(p))
}

// matchPush looks for the push in the event's body, or in the push that brought the event about.
func (s *selectors) matchPush(e *Event) bool {
	if s == nil {
		return true
	}
	body := e.root(partBody)
	return s.selects(&e.memo, body) || s.selects(&e.memo, e.memo.member(body, "triggering_push"))
}

// selects tells whether a node is an object that is selected.
func (s *selectors) selects(m *memo, object int32) bool {
	if len(s.one) > 0 {
		for _, member := range m.members(object) {
			if member.Type == gjson.String && s.one[member.name][member.Str] {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.several, func(all selector) bool { return all.selects(m, object) })
}

func (s selector) selects(m *memo, object int32) bool {
	for _, w := range s {
		if !slices.ContainsFunc(w.names, func(name string) bool { return m.value(m.member(object, name)).str() == w.value }) {
			return false
		}
	}
	return true
}

func (s *selectors) add(all selector) {
	if len(all) > 1 {
		s.several = append(s.several, all)
		return
	}
	if s.one == nil {
		s.one = map[string]map[string]bool{}
	}
	for _, name := range all[0].names {
		if s.one[name] == nil {
			s.one[name] = map[string]bool{}
		}
		s.one[name][all[0].value] = true
	}
}

// join adds what others select.
func (s *selectors) join(others *selectors) {
	s.several = append(s.several, others.several...)
	for name, values := range others.one {
		if s.one == nil {
			s.one = map[string]map[string]bool{}
		}
		if s.one[name] == nil {
			s.one[name] = values
			continue
		}
		maps.Copy(s.one[name], values)
	}
}

// joined makes one clause of those that differ in one of their lists of ids only: real clients send a filter for each
// user, and each filter is evaluated on every event.
func joined(all []clause) []clause {
	for by := range selectorIDs {
		all = joinedBy(by, all)
	}
	return all
}

func joinedBy(by int, all []clause) []clause {
	first := map[string]int{}
	kept := all[:0]
	for _, c := range all {
		rest := c.rest[by]
		if rest == "" {
			kept = append(kept, c)
			continue
		}
		i, ok := first[rest]
		if !ok {
			first[rest] = len(kept)
			kept = append(kept, c)
			continue
		}
		kept[i].named[by].join(c.named[by])
		// What the other lists are joined by is not the whole any more.
		for other := range kept[i].rest {
			if other != by {
				kept[i].rest[other] = ""
			}
		}
	}
	return kept
}

// selectors reads an array of objects that name things by one of their ids. Notifications may be one such object, and
// are named by one id alone.
func (c *compiler) selectors(by int, path string, v any) (*selectors, string, error) {
	names := selectorIDs[by]
	list, isList := v.([]any)
	if _, isObject := v.(map[string]any); isObject && by == byPush {
		list = []any{v}
	} else if !isList {
		return nil, "", refuse(path, "must be an array")
	}
	if len(list) == 0 {
		return nil, "", refuse(path, "must not be empty")
	}
	all := &selectors{}
	keys := make([]string, len(list))
	for i := range list {
		at := path
		if isList {
			at = path + "/" + strconv.Itoa(i)
		}
		m, ok := list[i].(map[string]any)
		if !ok {
			return nil, "", refuse(at, "must be an object")
		}
		if len(m) == 0 || by == byPush && len(m) > 1 {
			return nil, "", refuse(at, "must have one of %s", strings.Join(names, ", "))
		}
		if len(m) > 1 {
			// Each of these is looked at on every event, as a predicate is.
			if c.count++; c.count > maxPredicates {
				return nil, "", refuse(at, "is one too many with more than one id, there may be %d", maxPredicates)
			}
		}
		var one selector
		for _, name := range sorted(m) {
			if !slices.Contains(names, name) {
				return nil, "", refuse(at+"/"+name, "is not known here, there are %s", strings.Join(names, ", "))
			}
			s, ok := m[name].(string)
			if !ok || s == "" {
				return nil, "", refuse(at+"/"+name, "must be a string that is not empty")
			}
			w := wanted{[]string{name}, s}
			if name == "channel" {
				w.names = channels
			}
			one = append(one, w)
			keys[i] += name + "=" + strconv.Quote(s) + " "
		}
		all.add(one)
	}
	return all, canonical(keys), nil
}
