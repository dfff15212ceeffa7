package payload

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

const (
	// maxDepth is how many elements may be open at once; what is made of them is deeper by an array each at most.
	maxDepth = 100
	// manyNames is from how many names of an element on they are looked up in a table.
	manyNames = 8

	valueName = "_VALUE"
)

// Document is a parsed document, and the memory to parse another. The zero Document is ready to Parse. One goroutine.
type Document struct {
	nodes []node
	text  []byte
	rows  []int32 // the root's child elements, in their order
	table map[memberKey]int32
	open  []int32 // the elements that are open
	seen  []string

	decoder *xml.Decoder
	piece   int // where the text that is being collected begins
}

// node is an element, an attribute or a piece of text: a member of the element it stands in.
type node struct {
	name     string
	from, to int32 // its text
	first    int32 // the first of its members with different names; 0: it has none
	last     int32 // the last of them
	next     int32 // the next member of its element with another name
	peer     int32 // the next with this one's name
	lastPeer int32 // the last with this one's name
	names    int32 // how many different names its members have
	kids     bool  // an element is among its members
}

type memberKey struct {
	of   int32
	name string
}

// keep is the memory that a Document holds on to between documents.
const keep = 1 << 20

func (d *Document) reset() {
	if cap(d.text) > keep || cap(d.nodes) > keep/64 {
		*d = Document{}
	}
	clear(d.table)
	d.nodes, d.text, d.rows, d.open, d.piece = append(d.nodes[:0], node{}), d.text[:0], d.rows[:0], d.open[:0], 0
}

// Parse reads a document, which it does not keep. The error is a *Fault.
func (d *Document) Parse(text []byte) error {
	d.reset()
	src, err := open(text)
	if err != nil {
		return faultOf(err, 0)
	}
	if refersToSurrogate(src.text) {
		return &Fault{Reason: "it has a character that XML does not allow"}
	}
	d.decoder = xml.NewDecoder(bytes.NewReader(src.text))
	d.decoder.CharsetReader = src.decode
	defer func() { d.decoder = nil }()
	for first := true; ; first = false {
		token, err := d.decoder.RawToken()
		if errors.Is(err, io.EOF) && len(d.open) == 0 && len(d.nodes) > 1 {
			return nil
		}
		if err == nil {
			err = d.take(token, first)
		}
		if err != nil {
			return faultOf(err, d.line())
		}
	}
}

func (d *Document) line() int {
	line, _ := d.decoder.InputPos()
	return line
}

func (d *Document) fault(reason string) error { return &Fault{reason, d.line()} }

func (d *Document) take(token xml.Token, first bool) error {
	switch t := token.(type) {
	case xml.StartElement:
		return d.start(t)
	case xml.EndElement:
		return d.end(spelled(t.Name))
	case xml.CharData:
		if len(d.open) == 0 {
			if len(bytes.Trim(t, space)) > 0 {
				return d.fault("there is text outside of the root element")
			}
			return nil
		}
		d.text = append(d.text, t...)
	case xml.ProcInst:
		if strings.EqualFold(t.Target, "xml") && (!first || t.Target != "xml") {
			return d.fault("the declaration does not stand at the beginning")
		}
	case xml.Directive:
		return d.fault("it has a document type declaration, which is not read")
	}
	return nil
}

// space is what XML calls white space.
const space = " \t\r\n"

func spelled(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func (d *Document) start(t xml.StartElement) error {
	switch {
	case len(d.open) == 0 && len(d.nodes) > 1:
		return d.fault("it has more than one root element")
	case len(d.open) == maxDepth:
		return d.fault("its elements are nested deeper than 100 levels")
	}
	id := d.add(node{name: spelled(t.Name)})
	if len(d.open) > 0 {
		parent := d.open[len(d.open)-1]
		d.endPiece(parent, true)
		d.nodes[parent].kids = true
		d.join(parent, id)
		if len(d.open) == 1 {
			d.rows = append(d.rows, id)
		}
	}
	d.open = append(d.open, id)
	d.seen = d.seen[:0]
	for _, a := range t.Attr {
		d.seen = append(d.seen, spelled(a.Name))
		from := int32(len(d.text))
		d.text = append(d.text, a.Value...)
		d.join(id, d.add(node{name: "_" + d.seen[len(d.seen)-1], from: from, to: int32(len(d.text))}))
	}
	slices.Sort(d.seen)
	for i := range d.seen {
		if i > 0 && d.seen[i] == d.seen[i-1] {
			return d.fault("an element has an attribute twice")
		}
	}
	d.piece = len(d.text)
	return nil
}

func (d *Document) end(name string) error {
	if len(d.open) == 0 || d.nodes[d.open[len(d.open)-1]].name != name {
		return d.fault("an element is closed that is not open")
	}
	id := d.open[len(d.open)-1]
	d.open = d.open[:len(d.open)-1]
	n := &d.nodes[id]
	if n.first == 0 {
		n.from, n.to = int32(d.piece), int32(len(d.text))
	} else {
		d.endPiece(id, n.kids)
	}
	d.piece = len(d.text)
	return nil
}

// endPiece makes a member of the text that was collected since the last tag, where it is more than white space. Text between elements
// loses the white space around it: that is how documents are laid out.
func (d *Document) endPiece(of int32, mixed bool) {
	from, to := d.piece, len(d.text)
	text := bytes.TrimLeft(d.text[from:to], space)
	if len(text) == 0 {
		return
	}
	if mixed {
		from = to - len(text)
		to = from + len(bytes.TrimRight(text, space))
	}
	d.join(of, d.add(node{name: valueName, from: int32(from), to: int32(to)}))
}

func (d *Document) add(n node) int32 {
	d.nodes = append(d.nodes, n)
	return int32(len(d.nodes) - 1)
}

// join makes a node a member of an element: another name, or one more of a name that is there.
func (d *Document) join(of, id int32) {
	name := d.nodes[id].name
	if at := d.member(of, name); at != 0 {
		head := &d.nodes[at]
		if head.lastPeer == 0 {
			head.peer = id
		} else {
			d.nodes[head.lastPeer].peer = id
		}
		head.lastPeer = id
		return
	}
	parent := &d.nodes[of]
	if parent.first == 0 {
		parent.first = id
	} else {
		d.nodes[parent.last].next = id
	}
	parent.last = id
	if parent.names++; parent.names < manyNames {
		return
	}
	if d.table == nil {
		d.table = map[memberKey]int32{}
	}
	if parent.names > manyNames {
		d.table[memberKey{of, name}] = id
		return
	}
	for at := parent.first; at != 0; at = d.nodes[at].next {
		d.table[memberKey{of, d.nodes[at].name}] = at
	}
}

// member finds the first member of that name, 0 where there is none.
func (d *Document) member(of int32, name string) int32 {
	if d.nodes[of].names >= manyNames {
		return d.table[memberKey{of, name}]
	}
	for at := d.nodes[of].first; at != 0; at = d.nodes[at].next {
		if d.nodes[at].name == name {
			return at
		}
	}
	return 0
}

// Rows is how many maps AppendCBOR appends: one for each child element of the root.
func (d *Document) Rows() int { return len(d.rows) }
