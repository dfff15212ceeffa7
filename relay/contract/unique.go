package contract

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
)

// fewNames is up to how many members of an object are compared each with each.
const fewNames = 16

// names are those of the objects that are open at one place of a text.
type names struct {
	seen  []seenName
	opens []int // for each open container where its names begin in seen, or -1 for an array
	text  []byte
}

// seenName is the name of a member, unescaped: in text where it was escaped.
type seenName struct {
	hash uint64
	at   int // where it stands in the body
	name []byte
}

var (
	nameTables = sync.Pool{New: func() any { return new(names) }}
	nameSeed   = maphash.MakeSeed()
)

// UniqueNames holds a JSON text to having no name twice in an object, escapes looked through, and no string with an unpaired surrogate: what
// such a text means depends on who reads it. body must be valid JSON in UTF-8. The error is a *Violation. It allocates nothing of its own
// once it has run, and takes time in proportion to the text, but for sorting.
func UniqueNames(body []byte) error {
	n := nameTables.Get().(*names)
	reason, at := n.twice(body)
	n.release()
	if at >= 0 {
		return invalid(reason, at)
	}
	return nil
}

func (n *names) release() {
	const keep = 4096 // a huge object's table is not kept
	if cap(n.seen) > keep || cap(n.text) > 16*keep {
		return
	}
	clear(n.seen[:cap(n.seen)]) // they point into the body
	nameTables.Put(n)
}

// twice is where a name stands for the second time, or a string that cannot be read; -1 where none does.
func (n *names) twice(s []byte) (reason string, at int) {
	n.seen, n.opens, n.text = n.seen[:0], n.opens[:0], n.text[:0]
	name := false // a string here is a member's name
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			end, escaped := scanString(s, i+1)
			if end < 0 {
				return stringFault(s, i+1)
			}
			if name {
				n.add(s[i+1:end], i, escaped)
				name = false
			}
			i = end
		case '{':
			n.opens, name = append(n.opens, len(n.seen)), true
		case '[':
			n.opens, name = append(n.opens, -1), false
		case ',':
			name = len(n.opens) > 0 && n.opens[len(n.opens)-1] >= 0
		case '}', ']':
			if len(n.opens) == 0 {
				return "", -1
			}
			from := n.opens[len(n.opens)-1]
			n.opens, name = n.opens[:len(n.opens)-1], false
			if from < 0 {
				continue
			}
			if at := doubled(n.seen[from:]); at >= 0 {
				return "a name stands twice in an object", at
			}
			n.seen = n.seen[:from]
		}
	}
	return "", -1
}

func (n *names) add(name []byte, at int, escaped bool) {
	if escaped {
		from := len(n.text)
		n.text = appendUnescaped(n.text, name)
		name = n.text[from:len(n.text):len(n.text)]
	}
	n.seen = append(n.seen, seenName{hash: maphash.Bytes(nameSeed, name), at: at, name: name})
}

// doubled is where the first name stands that stands before already. It may change the order.
func doubled(seen []seenName) int {
	same := func(a, b *seenName) bool { return a.hash == b.hash && bytes.Equal(a.name, b.name) }
	if len(seen) <= fewNames {
		for i := range seen {
			for k := range i {
				if same(&seen[i], &seen[k]) {
					return seen[i].at
				}
			}
		}
		return -1
	}
	slices.SortFunc(seen, func(a, b seenName) int {
		switch {
		case a.hash != b.hash && a.hash < b.hash:
			return -1
		case a.hash != b.hash:
			return 1
		}
		return bytes.Compare(a.name, b.name)
	})
	for i := 1; i < len(seen); i++ {
		if same(&seen[i-1], &seen[i]) {
			return max(seen[i-1].at, seen[i].at)
		}
	}
	return -1
}
