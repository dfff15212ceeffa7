package contract

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// automaton answers whether a text contains a match, one table look-up for each byte. Go's regexp keeps track of
// where a match begins and ends and costs twenty times as much for the short anchored patterns of contracts.
// Immutable; for valid UTF-8 only.
//
// A state is the set of program points that wait for a byte, with the kind of the byte before (for ^, $ and \b).
// All states are made when the pattern is compiled; one that needs too many is left to regexp.
type automaton struct {
	class [256]uint8 // of a byte: bytes of a class take every state to the same next one
	width int        // classes, and one more for the end of the text
	next  []uint16   // state*width + class
}

// Two states are the same in every automaton. A match once seen is final, and so is the loss of all hope.
const (
	stateDead  = 0
	stateMatch = 1
	stateFirst = 2
)

// The bounds of an automaton: what is larger goes to regexp.
const (
	maxPoints = 2000    // places in the byte program
	maxStates = 2000    // below 2^16
	maxTable  = 1 << 14 // entries
	maxSteps  = 2 << 20 // points looked at while it is made: some 20 ms
)

func (a *automaton) match(text []byte) bool {
	state := uint(stateFirst)
	width := uint(a.width)
	for _, b := range text {
		state = uint(a.next[state*width+uint(a.class[b])])
		if state <= stateMatch {
			return state == stateMatch
		}
	}
	return a.next[state*width+width-1] == stateMatch
}

// point is a place in the byte program: either it waits for a byte in lo..hi, or it is a place of the regular
// expression's own program that leads on without a byte.
type point struct {
	lo, hi byte
	next   int32 // where the byte leads
	waits  bool
	op     syntax.InstOp
	empty  syntax.EmptyOp // what must hold here, for InstEmptyWidth
	outs   []int32
}

// builder makes an automaton.
type builder struct {
	points  []point
	start   int32
	states  map[string]uint16
	order   []nfaState
	samples []int // of each class a byte, then -1 for the end
	later   bool  // a match can begin elsewhere than at the beginning of the text
	seen    []int // points that the present step, counted in steps, has reached
	steps   int
	work    int
}

// nfaState is what a state stands for: the byte before and the points that were reached by it.
type nfaState struct {
	before int // a byte, or -1 at the beginning; of the class that matters to assertions only
	points []int32
}

// automatonOf makes the automaton of a pattern, or nil where it would be too large.
func automatonOf(text string) *automaton {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil
	}
	b := builder{states: map[string]uint16{}}
	if !b.program(prog) {
		return nil
	}
	a := &automaton{}
	b.classes(a)
	if !b.build(a) {
		return nil
	}
	return a
}

// program rewrites a program of runes as one of bytes.
func (b *builder) program(prog *syntax.Prog) bool {
	if len(prog.Inst) > maxPoints {
		return false
	}
	b.points = make([]point, len(prog.Inst))
	b.start = int32(prog.Start)
	for i := range prog.Inst {
		in := &prog.Inst[i]
		p := point{op: in.Op}
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			p.outs = []int32{int32(in.Out), int32(in.Arg)}
		case syntax.InstCapture, syntax.InstNop:
			p.outs = []int32{int32(in.Out)}
		case syntax.InstEmptyWidth:
			p.outs, p.empty = []int32{int32(in.Out)}, syntax.EmptyOp(in.Arg)
		case syntax.InstMatch, syntax.InstFail:
		default:
			for _, r := range runesOf(in) {
				b.sequences(&p, r[0], r[1], int32(in.Out))
				if len(b.points) > maxPoints {
					return false
				}
			}
			p.op = syntax.InstNop
		}
		b.points[i] = p
	}
	b.seen = make([]int, len(b.points))
	b.later = b.beginsLater()
	return true
}

// runesOf are the ranges of runes that an instruction takes.
func runesOf(in *syntax.Inst) [][2]rune {
	switch in.Op {
	case syntax.InstRuneAny:
		return [][2]rune{{0, unicode.MaxRune}}
	case syntax.InstRuneAnyNotNL:
		return [][2]rune{{0, '\n' - 1}, {'\n' + 1, unicode.MaxRune}}
	}
	if len(in.Rune) == 1 {
		r := in.Rune[0]
		all := [][2]rune{{r, r}}
		if in.Op == syntax.InstRune && syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				all = append(all, [2]rune{f, f})
			}
		}
		return all
	}
	var all [][2]rune
	for i := 0; i+1 < len(in.Rune); i += 2 {
		all = append(all, [2]rune{in.Rune[i], in.Rune[i+1]})
	}
	return all
}

// sequences adds the byte sequences of a range of runes as ways out of p: the range is cut until the encodings of
// a piece differ in independent byte ranges only.
func (b *builder) sequences(p *point, lo, hi rune, out int32) {
	if lo > hi {
		return
	}
	for _, last := range []rune{0x7f, 0x7ff, 0xffff} {
		if lo <= last && last < hi {
			b.sequences(p, lo, last, out)
			b.sequences(p, last+1, hi, out)
			return
		}
	}
	if lo <= 0xdfff && hi >= 0xd800 { // no valid text has surrogates
		b.sequences(p, lo, 0xd7ff, out)
		b.sequences(p, 0xe000, hi, out)
		return
	}
	if hi > 0x7f {
		for shift := 6; shift <= 18; shift += 6 {
			low := rune(1)<<shift - 1
			if lo&^low == hi&^low {
				continue
			}
			if lo&low != 0 {
				b.sequences(p, lo, lo|low, out)
				b.sequences(p, (lo|low)+1, hi, out)
				return
			}
			if hi&low != low {
				b.sequences(p, lo, hi&^low-1, out)
				b.sequences(p, hi&^low, hi, out)
				return
			}
		}
	}
	var l, h [utf8.UTFMax]byte
	n := utf8.EncodeRune(l[:], lo)
	utf8.EncodeRune(h[:], hi)
	for i := n - 1; i >= 0; i-- {
		b.points = append(b.points, point{waits: true, lo: l[i], hi: h[i], next: out})
		out = int32(len(b.points) - 1)
	}
	p.outs = append(p.outs, out)
}

// classes groups the bytes that no point and no assertion tells apart.
func (b *builder) classes(a *automaton) {
	var cuts [257]bool // cuts[i]: byte i begins a new class
	cut := func(lo, hi byte) { cuts[lo], cuts[int(hi)+1] = true, true }
	cut('\n', '\n')
	cut('0', '9')
	cut('A', 'Z')
	cut('_', '_')
	cut('a', 'z')
	cut(0x80, 0xbf)
	for i := range b.points {
		if p := &b.points[i]; p.waits {
			cut(p.lo, p.hi)
		}
	}
	n := 0
	b.samples = []int{0}
	for i := 1; i < 256; i++ {
		if cuts[i] {
			n++
			b.samples = append(b.samples, i)
		}
		a.class[i] = uint8(n)
	}
	b.samples = append(b.samples, -1)
	a.width = len(b.samples)
}

func (b *builder) build(a *automaton) bool {
	b.order = make([]nfaState, stateFirst)
	a.next = make([]uint16, stateFirst*a.width)
	b.id(-1, nil)
	for i := stateFirst; i < len(b.order); i++ {
		if (i+1)*a.width > maxTable || len(b.order) > maxStates {
			return false
		}
		for _, s := range b.samples {
			a.next = append(a.next, b.step(b.order[i], s))
		}
		if b.work > maxSteps {
			return false
		}
	}
	return len(b.order) <= maxStates
}

// id is the number of a state, made when it is new.
func (b *builder) id(before int, points []int32) uint16 {
	switch { // equal for every assertion: equal
	case before < 0:
	case before == '\n':
	case syntax.IsWordChar(rune(before)):
		before = 'a'
	default:
		before = ' '
	}
	slices.Sort(points)
	points = slices.Compact(points)
	key := binary.AppendVarint(nil, int64(before))
	for _, p := range points {
		key = binary.AppendVarint(key, int64(p))
	}
	if id, ok := b.states[string(key)]; ok {
		return id
	}
	id := uint16(len(b.order))
	b.states[string(key)] = id
	b.order = append(b.order, nfaState{before, points})
	return id
}

// step is the state that a byte leads to, or the end of the text for -1.
func (b *builder) step(s nfaState, c int) uint16 {
	before, after := rune(s.before), rune(c)
	holds := syntax.EmptyOpContext(before, after)
	b.steps++
	var waiting []int32
	matched := false
	var reach func(i int32)
	reach = func(i int32) {
		if b.seen[i] == b.steps {
			return
		}
		b.seen[i] = b.steps
		b.work++
		p := &b.points[i]
		switch {
		case p.waits:
			waiting = append(waiting, i)
			return
		case p.op == syntax.InstMatch:
			matched = true
		case p.op == syntax.InstEmptyWidth && p.empty&^holds != 0:
			return
		}
		for _, out := range p.outs {
			reach(out)
		}
	}
	for _, i := range s.points {
		reach(i)
	}
	// A match may begin here, unless this is the middle of a rune.
	if c < 0x80 || c > 0xbf {
		reach(b.start)
	}
	switch {
	case matched:
		return stateMatch
	case c < 0:
		return stateDead
	}
	var points []int32
	for _, i := range waiting {
		if p := &b.points[i]; int(p.lo) <= c && c <= int(p.hi) {
			points = append(points, p.next)
		}
	}
	if len(points) == 0 && !b.later {
		return stateDead
	}
	return b.id(c, points)
}

// beginsLater tells whether a match can begin elsewhere than at the beginning of the text: not when every way from
// the start passes ^.
func (b *builder) beginsLater() bool {
	seen := make([]bool, len(b.points))
	var free func(i int32) bool
	free = func(i int32) bool {
		if seen[i] {
			return false
		}
		seen[i] = true
		p := &b.points[i]
		if p.waits || p.op == syntax.InstMatch {
			return true
		}
		if p.op == syntax.InstEmptyWidth && p.empty&syntax.EmptyBeginText != 0 {
			return false
		}
		return slices.ContainsFunc(p.outs, free)
	}
	return free(b.start)
}
