package consent

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// literal is the tree as its definition has it: a map from each path to its node, built by hashing
// byte strings. It is small: the leaves of one node at depth 64-literalLevels.
type literal map[string]node

const literalLevels = 8

func grow(t literal, path string, n node) {
	t[path] = n
	if len(path) == literalLevels {
		return
	}
	for _, bit := range []byte{0, 1} {
		child := sha256.Sum256(append(append(append([]byte{}, n[:]...), bit), "sluice key tree"...))
		grow(t, path+string('0'+rune(bit)), child)
	}
}

func pathOf(leaf int) string {
	var b []byte
	for i := literalLevels - 1; i >= 0; i-- {
		b = append(b, '0'+byte(leaf>>i&1))
	}
	return string(b)
}

// small is a cover of literalLevels levels somewhere in the tree, with the literal tree of the same top.
func small(seed uint64) (*cover, literal) {
	var top node
	binary.BigEndian.PutUint64(top[:], seed)
	start := uint64(0xabcdef12345678) << 8
	c := &cover{start: start, depth: leafBits - literalLevels}
	c.push(start, c.depth, &top)
	t := literal{}
	grow(t, "", top)
	return c, t
}

// checkCover holds a cover against the literal tree: every erased leaf has no node above it, every
// other leaf comes out as the definition has it, and no node of the cover is above an erased leaf.
func checkCover(t *testing.T, c *cover, tree literal, erased map[int]bool) {
	t.Helper()
	for leaf := range 1 << literalLevels {
		i, ok := c.find(c.start + uint64(leaf))
		if ok == erased[leaf] {
			t.Fatalf("leaf %d is covered: %v, erased: %v", leaf, ok, erased[leaf])
		}
		if ok && descend(c.nodes[i], c.depths[i], c.start+uint64(leaf)) != tree[pathOf(leaf)] {
			t.Fatalf("leaf %d is not what the definition gives", leaf)
		}
	}
	if _, ok := c.find(c.start - 1); ok {
		t.Fatal("the leaf before the subtree is covered")
	}
	if _, ok := c.find(c.start + 1<<literalLevels); ok {
		t.Fatal("the leaf after the subtree is covered")
	}
	known := map[node]bool{}
	for _, n := range c.nodes {
		known[n] = true
	}
	for leaf := range erased {
		for d := range literalLevels + 1 {
			if known[tree[pathOf(leaf)[:d]]] {
				t.Fatalf("a node above erased leaf %d, %d levels down, is still in the cover", leaf, d)
			}
		}
	}
	back, err := decodeCover(c.encode(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.encode(nil), c.encode(nil)) || !slices.Equal(back.starts, c.starts) || !slices.Equal(back.nodes, c.nodes) {
		t.Fatal("a cover does not come back from its encoding")
	}
}

func FuzzPuncture(f *testing.F) {
	f.Add(uint64(1), []byte{5})
	f.Add(uint64(2), []byte{0, 255, 0, 7, 8, 9, 254})
	f.Add(uint64(3), []byte{1, 2, 3, 4, 0, 200, 201, 200})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f.Add(uint64(4), all)
	// The leaves are erased in runs: a byte equal to its predecessor ends a run.
	f.Fuzz(func(t *testing.T, seed uint64, leaves []byte) {
		c, tree := small(seed)
		erased := map[int]bool{}
		var run []uint64
		flush := func() {
			slices.Sort(run)
			c = c.puncture(slices.Compact(run))
			run = nil
			checkCover(t, c, tree, erased)
			if len(c.nodes) > 0 && !c.whole() {
				left, right := c.halves()
				for leaf := range 1 << literalLevels {
					half := left
					if leaf >= 1<<(literalLevels-1) {
						half = right
					}
					if _, ok := half.find(c.start + uint64(leaf)); ok == erased[leaf] {
						t.Fatalf("after a split leaf %d is covered: %v, erased: %v", leaf, ok, erased[leaf])
					}
				}
				for _, half := range []*cover{left, right} {
					if back, err := decodeCover(half.encode(nil)); err != nil || !slices.Equal(back.nodes, half.nodes) {
						t.Fatalf("a half does not come back from its encoding: %v", err)
					}
				}
			}
		}
		for i, b := range leaves {
			if i > 0 && leaves[i-1] == b {
				flush()
			}
			run = append(run, c.start+uint64(b))
			erased[int(b)] = true
		}
		flush()
	})
}

func FuzzDecodeCover(f *testing.F) {
	c, _ := small(9)
	f.Add(c.encode(nil))
	f.Add(c.puncture([]uint64{c.start + 3, c.start + 200}).encode(nil))
	f.Add([]byte{})
	f.Add(append(make([]byte, 8), 64, erasedLeaf))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCover(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if !bytes.Equal(c.encode(nil), b) {
			t.Fatal("what was decoded does not encode to the same bytes")
		}
	})
}

// In the real tree of 64 bits: other leaves are untouched, the erased one is not reachable, and the
// cost is what the design counts on.
func TestPunctureTheWholeDepth(t *testing.T) {
	root := newNode()
	r := rand.New(rand.NewPCG(1, 2))
	shard := uint64(0x42) << (leafBits - shardBits)
	at := func() uint64 { return shard | r.Uint64()>>shardBits }
	top := shardNode(&root, 0x42)
	whole := &cover{start: shard, depth: shardBits}
	whole.push(shard, shardBits, &top)
	if whole.puncture(nil).nodes[0] != top {
		t.Fatal("erasing nothing changed the cover")
	}

	erased := make([]uint64, 40)
	for i := range erased {
		erased[i] = at()
	}
	slices.Sort(erased)
	c := whole.puncture(erased)
	if got := len(c.encode(nil)) / len(erased); got > 1800 {
		t.Errorf("%d bytes for each forgotten person, want 1.7 KB", got)
	}
	if got, want := len(c.encode(nil)), c.encodedSize(); got > want || want-got > 2 {
		t.Errorf("encoded in %d bytes, announced %d", got, want)
	}
	for _, leaf := range erased {
		if _, ok := c.find(leaf); ok {
			t.Fatalf("leaf %x is still covered", leaf)
		}
		// Nor is any node of the cover one of its ancestors.
		n := top
		for d := uint8(shardBits); ; d++ {
			if slices.Contains(c.nodes, n) {
				t.Fatalf("the ancestor of %x at depth %d is still in the cover", leaf, d)
			}
			if d == leafBits {
				break
			}
			n = child(&n, turn(leaf, d))
		}
		// Its neighbours are what they were.
		for _, near := range []uint64{leaf ^ 1, leaf ^ 1<<20, leaf ^ 1<<55} {
			i, ok := c.find(near)
			if !ok || descend(c.nodes[i], c.depths[i], near) != descend(top, shardBits, near) {
				t.Fatalf("the neighbour %x of an erased leaf changed", near)
			}
		}
	}
	again := c.puncture(erased)
	if !slices.Equal(again.nodes, c.nodes) {
		t.Error("erasing what was erased changed the cover")
	}
}

func TestFirstAndLastLeaf(t *testing.T) {
	for _, start := range []uint64{0, 0xff << 56} {
		top := newNode()
		c := &cover{start: start, depth: shardBits}
		c.push(start, shardBits, &top)
		last := start + span(shardBits)
		cut := c.puncture([]uint64{start, last})
		for _, leaf := range []uint64{start, last} {
			if _, ok := cut.find(leaf); ok {
				t.Errorf("leaf %x is still covered", leaf)
			}
		}
		back, err := decodeCover(cut.encode(nil))
		if err != nil || !slices.Equal(back.starts, cut.starts) {
			t.Errorf("a cover without its first and last leaf does not come back: %v", err)
		}
	}
}

func TestDerivationAllocatesNothing(t *testing.T) {
	root := newNode()
	if n := testing.AllocsPerRun(100, func() {
		descend(shardNode(&root, 7), shardBits, 7<<56|12345)
	}); n != 0 {
		t.Errorf("a leaf costs %v allocations", n)
	}
	subject, field := []byte("subject"), []byte("field")
	sc := getScratch()
	defer sc.put()
	if n := testing.AllocsPerRun(100, func() {
		windowStart(sc, &root, subject, 1e12)
		leafOf(sc, &root, subject, 3)
		linkOf(sc, &root, 1e12, 3, subject, field)
		var out [68]byte
		expand(sc, &root, subject, out[:])
	}); n != 0 {
		t.Errorf("link and leaf cost %v allocations", n)
	}
}

func TestMacAndExpandAreTheStandardOnes(t *testing.T) {
	key := newNode()
	sc := getScratch()
	defer sc.put()
	m := begin(sc, &key, forLeaf)
	m.number(7)
	m.add([]byte("subject"))
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte{forLeaf, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 7})
	h.Write([]byte("subject"))
	if got := m.sum(&key); !bytes.Equal(got[:], h.Sum(nil)) {
		t.Error("mac is not HMAC-SHA-256")
	}
	for _, n := range []int{1, 32, 33, 68, 200} {
		want, err := hkdf.Expand(sha256.New, key[:], "info", n)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		expand(sc, &key, []byte("info"), got)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: expand is not HKDF-Expand", n)
		}
	}
}
