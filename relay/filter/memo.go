package filter

import "github.com/tidwall/gjson"

// memo is what was taken apart of an event's JSON so far. Consumers with hundreds of different filters ask for the same
// few members over and over: each object is parsed at most once, at the first question about it, however many ask.
type memo struct {
	nodes []node // the first of them are the parts, once one was asked for
}

// node is a value of the event, and where its members are once it was taken apart.
type node struct {
	name string // of the member
	value
	open        bool
	first, past int32 // its members in memo.nodes
}

// part is an object from which a filter starts.
type part int32

const (
	partDevice part = iota
	partUser
	partBody
	partOwn // the event's own JSON
	parts
)

// Next makes e another event. What the filters need to remember of it takes the memory of the one before, so that
// events in a row cost no allocation. Neither may be in use.
func (e *Event) Next(other Event) {
	nodes := e.memo.nodes[:0]
	*e = other
	e.memo.nodes = nodes
}

// root is the node of a part.
func (e *Event) root(p part) int32 {
	m := &e.memo
	if len(m.nodes) == 0 {
		for _, text := range [parts]string{partDevice: text(e.Device), partUser: text(e.User), partBody: text(e.Body), partOwn: text(e.JSON)} {
			m.nodes = append(m.nodes, node{value: value{gjson.Parse(text)}})
		}
	}
	return int32(p)
}

// member is a member of a part, absent if the part is no object.
func (e *Event) member(p part, name string) value {
	return e.memo.value(e.memo.member(e.root(p), name))
}

// value is that of a node; absent for none, -1.
func (m *memo) value(at int32) value {
	if at < 0 {
		return value{}
	}
	return m.nodes[at].value
}

// member is the node of a member, of several the first; -1 if there is none or the value is no object.
func (m *memo) member(of int32, name string) int32 {
	for i, n := range m.members(of) {
		if n.name == name {
			return m.nodes[of].first + int32(i)
		}
	}
	return -1
}

// members are those of a node; none where it is no object or -1. Valid until the next object is taken apart.
func (m *memo) members(of int32) []node {
	if of < 0 {
		return nil
	}
	if !m.nodes[of].open {
		m.open(of)
	}
	n := &m.nodes[of]
	return m.nodes[n.first:n.past]
}

// open takes an object apart.
func (m *memo) open(of int32) {
	object := m.nodes[of].value
	first := int32(len(m.nodes))
	if object.IsObject() {
		object.ForEach(func(k, v gjson.Result) bool {
			m.nodes = append(m.nodes, node{name: k.Str, value: value{v}})
			return true
		})
	}
	n := &m.nodes[of]
	n.open, n.first, n.past = true, first, int32(len(m.nodes))
}
