package contract

import (
	"strconv"
	"strings"
)

// A contract with a JSON Schema has a plan of open objects: what the contract says something about has a node, all
// else may be anything that the schema allows. The pass finds, compacts and notes; the schema is asked afterwards.

// open is the part of a node that kindOpen needs.
type open struct {
	takes   kinds    // what a noted value may be, beside null
	lists   bool     // the noted values may stand in lists
	says    []string // what the schema allows of that, in an event's terms
	element *node    // says the same of what stands in such a list
	text    *node    // the node's note for a string
	whole   *node    // and for a whole number
}

// kinds is a set of kinds of JSON values.
type kinds uint8

const (
	takesText kinds = 1 << iota
	takesWhole
	takesObject
)

func newOpen() *node {
	return &node{kind: kindOpen, open: new(open), index: map[string]int{}}
}

// child gives the node of a member, made when there is none.
func (n *node) child(name string) *node {
	if k, ok := n.index[name]; ok {
		return n.fields[k].node
	}
	c := newOpen()
	n.index[name] = len(n.fields)
	n.fields = append(n.fields, field{name: name, node: c})
	return c
}

// anything is the node of members that a contract says nothing about.
var anything = newOpen()

// described says in an event's terms what a noted value must be.
func (p *open) described() string { return strings.Join(p.says, " or ") }

// openValue reads the value at i of an open place. inList: it stands in a list.
func (o *Checked) openValue(n *node, i int, inList bool) int {
	s := o.src
	if i >= len(s) {
		return o.syntax(unexpected(s, i))
	}
	free := n.note == nil
	if inList && !free && !n.open.lists {
		return o.mismatch(n, i)
	}
	switch s[i] {
	case '{':
		if !free && n.open.takes&takesObject == 0 {
			return o.mismatch(n, i)
		}
		return o.openObject(n, i, inList)
	case '[':
		if !free && !n.open.lists {
			return o.mismatch(n, i)
		}
		return o.openList(n, i)
	case '"':
		switch {
		case free:
			return o.string(n, i)
		case n.open.takes&takesText == 0:
			return o.mismatch(n, i)
		}
		return o.string(n.open.text, i)
	case 't', 'f', 'n':
		end := literal(s, i)
		if end < 0 {
			return o.syntax(unexpected(s, i))
		}
		if !free && s[i] != 'n' {
			return o.mismatch(n, i)
		}
		o.out = append(o.out, s[i:end]...)
		return end
	default:
		return o.openNumber(n, i)
	}
}

// The schema is checked with numbers of any precision, of which a few bytes can ask for gigabytes.
const (
	maxFigure   = 1000 // bytes
	maxExponent = 3    // digits
)

func (o *Checked) openNumber(n *node, i int) int {
	end, whole := scanNumber(o.src, i)
	if end < 0 {
		return o.mismatch(n, i)
	}
	text := o.src[i:end:end]
	if !whole {
		for k, c := range text {
			if c|0x20 != 'e' {
				continue
			}
			if digits := strings.TrimLeft(string(text[k+1:]), "+-0"); len(digits) > maxExponent {
				o.broken("must be a number with an exponent of at most 3 digits")
				return -1
			}
		}
	}
	if len(text) > maxFigure {
		o.broken("must be a number of at most 1000 digits")
		return -1
	}
	o.out = append(o.out, text...)
	if n.note == nil {
		return end
	}
	if n.open.takes&takesWhole == 0 || !whole {
		return o.mismatch(n, i)
	}
	if _, ok := integer(text); !ok {
		o.broken("must be a number of at most 64 bits")
		return -1
	}
	if !o.noted(n.open.whole, text, len(o.out)-len(text)) {
		return -1
	}
	return end
}

func (o *Checked) openList(n *node, i int) int {
	s := o.src
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	o.out = append(o.out, '[')
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == ']' {
		i++
	} else {
		for k := 0; ; k++ {
			next := o.openValue(n, i, true)
			if next < 0 {
				if f := &o.fault; f.kind == faultMismatch && f.want == n && len(f.path) == 0 && n.open.element != nil {
					f.want = n.open.element
				}
				return o.at(strconv.Itoa(k))
			}
			if i = skipSpace(s, next); i >= len(s) {
				return o.syntax(unexpected(s, i))
			}
			if s[i] == ']' {
				i++
				break
			}
			if s[i] != ',' {
				return o.syntax(unexpected(s, i))
			}
			o.out = append(o.out, ',')
			i = skipSpace(s, i+1)
		}
	}
	o.out = append(o.out, ']')
	o.depth--
	return i
}

func (o *Checked) openObject(n *node, i int, inList bool) int {
	s := o.src
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	start, first, meta := len(o.out), len(o.names), false
	o.out = append(o.out, '{')
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		i++
	} else {
		for {
			if i >= len(s) || s[i] != '"' {
				return o.syntax(unexpected(s, i))
			}
			end, escaped := scanString(s, i+1)
			if end < 0 {
				return o.syntax(stringFault(s, i+1))
			}
			name := s[i+1 : end : end]
			if escaped {
				name = o.unescape(name)
			}
			o.names = append(o.names, name)
			before := len(o.out)
			if before > start+1 {
				o.out = append(o.out, ',')
			}
			o.out = append(append(o.out, s[i:end+1]...), ':')
			i = skipSpace(s, end+1)
			if i >= len(s) || s[i] != ':' {
				return o.syntax(unexpected(s, i))
			}
			i = skipSpace(s, i+1)
			if k, ok := n.index[string(name)]; !ok {
				i = o.openValue(anything, i, inList)
			} else if f := &n.fields[k]; f.meta {
				meta = true
				i = o.value(f.node, i)
				o.out = o.out[:before]
			} else {
				i = o.openValue(f.node, i, inList)
			}
			if i < 0 {
				return o.at(o.c.json.shown(string(name)))
			}
			if i = skipSpace(s, i); i >= len(s) {
				return o.syntax(unexpected(s, i))
			}
			if s[i] == '}' {
				i++
				break
			}
			if s[i] != ',' {
				return o.syntax(unexpected(s, i))
			}
			i = skipSpace(s, i+1)
		}
	}
	o.out = append(o.out, '}')
	if twice(o.names[first:]) {
		o.fault.kind = faultTwice
		return o.at("*")
	}
	if n == o.c.root && !meta {
		o.fault.kind = faultMissing
		return o.at("strmMeta")
	}
	o.names = o.names[:first]
	o.depth--
	if n.note != nil {
		o.span(n.note.capture, start)
	}
	return i
}
