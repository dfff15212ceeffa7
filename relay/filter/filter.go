// Package filter decides which events a consumer asked for. It hides the request language of Airship's real-time
// data streaming API (filters, subsets, JSON predicates) behind two questions: does this event match, and do two
// consumers ask for the same, so that what is rendered for one can be sent to both.
//
// A request is checked strictly: an attribute that is not known, an empty array or a value of the wrong type is an
// [Error] that names its place, for a filter that silently passes too much or nothing is found out too late.
//
// Filters are ORed, the attributes of one filter ANDed, the elements of an attribute ORed. A filter is evaluated on
// what lies beside the event's JSON first: type and time, then the parts it names.
//
// The predicate language is the one of Airship's published API description and of its Android SDK. A predicate sees
// the event in the Airship envelope: id, type, offset, occurred, processed, device, user, body; a member that the
// envelope does not have is looked for in the event's own JSON.
package filter

import (
	"slices"
	"strings"
	"unsafe"
)

// Event is what filters look at. Its slices are borrowed: they may not change while it is in use. One goroutine at a
// time, for it remembers what was looked at; another event takes its memory by Next.
type Event struct {
	Type               []byte
	ID                 []byte
	Occurred, Now      int64  // Unix ms
	Processed          int64  // Unix ms, 0: not given
	Offset             uint64 // 0: not given
	JSON               []byte // the event's own text: valid JSON, an object
	Device, User, Body []byte // parts of the Airship envelope, valid JSON, nil where there is none

	memo memo
}

// Filter passes the events that a consumer asked for. Immutable, safe for concurrent use; a nil filter passes every
// event.
type Filter struct {
	clauses []clause
	types   []string
	key     string

	only, without map[string]bool // Within: the types of its scope; nil only is all
}

// Key is a text that two filters share only if they pass the same events; filters that differ in the order of what
// they list have the same key. Empty for the filter that passes every event.
func (f *Filter) Key() string {
	if f == nil {
		return ""
	}
	return f.key
}

// Types are the event types that the filter can pass, sorted, nil for all: what a consumer must be entitled to.
func (f *Filter) Types() []string {
	if f == nil {
		return nil
	}
	return f.types
}

// Match tells whether the event passes.
func (f *Filter) Match(e *Event) bool {
	if f == nil {
		return true
	}
	if !f.inScope(e.Type) {
		return false
	}
	for i := range f.clauses {
		if f.clauses[i].match(e) {
			return true
		}
	}
	return false
}

// clause is one filter object. What it does not name passes.
type clause struct {
	types       map[string]bool
	latency     int64           // ms, -1: any
	deviceTypes map[string]bool // as events write them, in capitals
	named       [3]*selectors   // devices, users, notifications
	predicates  []predicate

	// rest are the canonical texts of the clause without its devices, its users, its notifications.
	rest [3]string
}

func (c *clause) match(e *Event) bool {
	if c.types != nil && !c.types[string(e.Type)] {
		return false
	}
	if c.latency >= 0 && e.Now-e.Occurred > c.latency {
		return false
	}
	if c.deviceTypes != nil && !c.deviceTypes[e.member(partDevice, "device_type").str()] {
		return false
	}
	return c.named[byDevice].match(e, partDevice) &&
		c.named[byUser].match(e, partUser) &&
		c.named[byPush].matchPush(e) &&
		c.satisfied(e)
}

func (c *clause) satisfied(e *Event) bool {
	for i := range c.predicates {
		if c.predicates[i].holds(subject{event: e}) {
			return true
		}
	}
	return len(c.predicates) == 0
}

// text looks at bytes as a string without copying them: for the time of a call, in which nobody changes them.
func text(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// canonical joins the keys of things whose order does not matter.
func canonical(keys []string) string {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	return "[" + strings.Join(slices.Compact(keys), ",") + "]"
}
