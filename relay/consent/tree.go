package consent

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"
)

// The key tree of Goldreich, Goldwasser and Micali ("How to construct random functions", 1986), one
// for each stream and era. The root has 256 children, the shards; below each lie 56 levels of two
// children. A child is the hash of its parent, so a node gives all leaves below it and no other. A
// leaf is one person (in one generation). To erase a leaf, every node above it must go; the siblings
// along its path then stand for all other leaves.
const (
	leafBits  = 64 // the shard's 8 bits, then 56 turns, most significant first
	shardBits = 8
	shards    = 1 << shardBits
)

const treeLabel = "sluice key tree"

// child is SHA-256(node ‖ bit ‖ label). node, bit and label fill less than one block of the hash, so
// a level costs one compression.
func child(n *node, bit byte) node {
	var b [len(n) + 1 + len(treeLabel)]byte
	copy(b[:], n[:])
	b[len(n)] = bit
	copy(b[len(n)+1:], treeLabel)
	return sha256.Sum256(b[:])
}

// shardNode is SHA-256(root ‖ 2 ‖ shard ‖ label): the first level at one stroke.
func shardNode(root *node, shard byte) node {
	var b [len(root) + 2 + len(treeLabel)]byte
	copy(b[:], root[:])
	b[len(root)] = 2
	b[len(root)+1] = shard
	copy(b[len(root)+2:], treeLabel)
	return sha256.Sum256(b[:])
}

// descend is the node of a leaf below a node that lies depth bits below the root and covers it.
func descend(n node, depth uint8, leaf uint64) node {
	for d := depth; d < leafBits; d++ {
		n = child(&n, turn(leaf, d))
	}
	return n
}

// turn is the bit of a leaf that tells a node at that depth which child to take.
func turn(leaf uint64, depth uint8) byte { return byte(leaf >> (leafBits - 1 - depth) & 1) }

// span is how many leaves after its first a node at that depth covers.
func span(depth uint8) uint64 { return ^uint64(0) >> depth }

// cover is what is left of a subtree: the nodes from which every leaf can be derived that was not
// erased, in the order of their leaves. Nodes do not overlap; between them lie the erased leaves.
// Immutable.
type cover struct {
	start  uint64 // the subtree's first leaf
	depth  uint8  // of the subtree's top
	starts []uint64
	depths []uint8
	nodes  []node
}

// coverNodeSize is the memory that one node of a cover takes.
const coverNodeSize = 8 + 1 + len(node{})

func (c *cover) size() int64 { return int64(len(c.nodes)) * int64(coverNodeSize) }

func (c *cover) push(start uint64, depth uint8, n *node) {
	c.starts = append(c.starts, start)
	c.depths = append(c.depths, depth)
	c.nodes = append(c.nodes, *n)
}

// find is the index of the node that covers a leaf, or false when the leaf was erased.
func (c *cover) find(leaf uint64) (int, bool) {
	i := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > leaf }) - 1
	if i < 0 || leaf-c.starts[i] > span(c.depths[i]) {
		return 0, false
	}
	return i, true
}

// puncture is the cover without these leaves, which are ascending. Leaves that were erased before
// change nothing.
func (c *cover) puncture(leaves []uint64) *cover {
	out := &cover{start: c.start, depth: c.depth}
	room := len(c.nodes) + len(leaves)*(leafBits-shardBits)/2
	out.starts = slices.Grow(out.starts, room)
	out.depths = slices.Grow(out.depths, room)
	out.nodes = slices.Grow(out.nodes, room)
	for i, start := range c.starts {
		last := start + span(c.depths[i])
		for len(leaves) > 0 && leaves[0] < start {
			leaves = leaves[1:]
		}
		inside := sort.Search(len(leaves), func(j int) bool { return leaves[j] > last })
		out.split(&c.nodes[i], start, c.depths[i], leaves[:inside])
		leaves = leaves[inside:]
	}
	return out
}

// split pushes the nodes that cover all leaves of a node but these.
func (c *cover) split(n *node, start uint64, depth uint8, without []uint64) {
	if len(without) == 0 {
		c.push(start, depth, n)
		return
	}
	if depth == leafBits {
		return
	}
	middle := start + span(depth+1) + 1
	i := sort.Search(len(without), func(i int) bool { return without[i] >= middle })
	left, right := child(n, 0), child(n, 1)
	c.split(&left, start, depth+1, without[:i])
	c.split(&right, middle, depth+1, without[i:])
}

// halves are the covers of the two subtrees below the top, for a cover that has outgrown its cell. It
// must not be whole.
func (c *cover) halves() (left, right *cover) {
	middle := c.start + span(c.depth+1) + 1
	i := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] >= middle })
	left = &cover{c.start, c.depth + 1, c.starts[:i], c.depths[:i], c.nodes[:i]}
	right = &cover{middle, c.depth + 1, c.starts[i:], c.depths[i:], c.nodes[i:]}
	return left, right
}

// whole tells whether nothing of the subtree was erased: its cover is its top.
func (c *cover) whole() bool { return len(c.nodes) == 1 && c.depths[0] == c.depth }

// erasedLeaf stands for the depth of a node where a leaf was erased.
const erasedLeaf = 0xff

// encode appends the cover: top's first leaf, 8 bytes big-endian; top's depth, 1 byte; then the
// subtree from left to right, each node as its depth, 1 byte, and its 32 bytes, each erased leaf as
// the byte 0xff. A node begins where the one before it ended, so its place needs no bytes.
func (c *cover) encode(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, c.start)
	dst = append(dst, c.depth)
	at, last := c.start, c.start+span(c.depth)
	done := false
	for i, start := range c.starts {
		for ; at < start; at++ {
			dst = append(dst, erasedLeaf)
		}
		dst = append(dst, c.depths[i])
		dst = append(dst, c.nodes[i][:]...)
		end := start + span(c.depths[i])
		at, done = end+1, end == last
	}
	for ; !done; at++ {
		dst = append(dst, erasedLeaf)
		done = at == last
	}
	return dst
}

// encodedSize bounds what encode appends to a cover with these many erased leaves.
func (c *cover) encodedSize() int {
	n := 9 + len(c.nodes)*(1+len(node{}))
	for i := 1; i < len(c.starts); i++ {
		n += int(c.starts[i] - c.starts[i-1] - span(c.depths[i-1]) - 1)
	}
	return n
}

// decodeCover reads what encode wrote and nothing else: every leaf of the subtree is covered once or
// erased. ErrDamaged.
func decodeCover(b []byte) (*cover, error) {
	if len(b) < 9 {
		return nil, ErrDamaged
	}
	c := &cover{start: binary.BigEndian.Uint64(b), depth: b[8]}
	b = b[9:]
	if c.depth > leafBits || c.start&span(c.depth) != 0 {
		return nil, ErrDamaged
	}
	room := len(b) / (1 + len(node{}))
	c.starts, c.depths, c.nodes = make([]uint64, 0, room), make([]uint8, 0, room), make([]node, 0, room)
	at, last := c.start, c.start+span(c.depth)
	for done := false; !done; {
		if len(b) == 0 {
			return nil, ErrDamaged
		}
		d := b[0]
		b = b[1:]
		if d == erasedLeaf {
			done = at == last
			at++
			continue
		}
		if d < c.depth || d > leafBits || len(b) < len(node{}) || at&span(d) != 0 || at+span(d) > last {
			return nil, ErrDamaged
		}
		c.push(at, d, (*node)(b))
		b = b[len(node{}):]
		end := at + span(d)
		at, done = end+1, end == last
	}
	if len(b) > 0 {
		return nil, ErrDamaged
	}
	return c, nil
}
