package relay

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// mask says which fields of which contracts' events a view shows as hashes. Immutable.
type mask struct {
	stream string // the uuid of the stream whose mask it is: a stream's mask does not change
	seed   string
	fields map[string][][]string // by contract ref: the paths, segment by segment
}

// maskOf is a stream's mask, nil where nothing is masked. An error is of the key store.
func (r *Relay) maskOf(st *registry.Stream) (*mask, error) {
	if st.Mask == nil {
		return nil, nil
	}
	seed, err := r.registry.MaskSeed(st)
	if err != nil {
		return nil, err
	}
	m := &mask{stream: st.UUID, seed: seed, fields: make(map[string][][]string, len(st.Mask.Fields))}
	for ref, paths := range st.Mask.Fields {
		for _, p := range paths {
			m.fields[ref] = append(m.fields[ref], strings.Split(p, "/"))
		}
	}
	return m, nil
}

// lens is what tells the views of one source stream apart. Comparable.
type lens struct {
	consent.Rule
	mask string // mask.stream, empty without one
}

func lensOf(rule consent.Rule, m *mask) lens {
	if m == nil {
		return lens{Rule: rule}
	}
	return lens{rule, m.stream}
}

// masking is a view's memory for masks.
type masking struct {
	sealed []uint32 // where in the shown text values begin that stay ciphertext, ascending
	found  []found
	masked []byte
	hash   []byte
}

// found is a value to mask: its place in the text, quotes included, and what it says.
type found struct {
	off, size int
	value     string
}

// apply replaces the values that m names by their hashes. What is ciphertext stays as it is: to hash it would tell the same
// as the ciphertext, under a name that promises more. Null stays null, a list is masked element by element. Its
// allocations are gjson's: none but for values with escapes.
func (w *masking) apply(m *mask, e *shown) {
	paths := m.fields[string(e.record.Contract)]
	if len(paths) == 0 {
		return
	}
	// The text is read only while it is parsed, and what is found of it is used before it changes.
	root := gjson.Parse(unsafe.String(unsafe.SliceData(e.json), len(e.json)))
	w.found = w.found[:0]
	for _, p := range paths {
		w.find(root, p)
	}
	if len(w.found) == 0 {
		return
	}
	slices.SortFunc(w.found, func(a, b found) int { return a.off - b.off })
	before, done := *e, 0
	w.masked = w.masked[:0]
	for _, f := range w.found {
		w.masked = append(w.masked, e.json[done:f.off+1]...)
		start := len(w.masked)
		w.hash = consent.Mask(w.hash[:0], m.seed, unsafe.Slice(unsafe.StringData(f.value), len(f.value)))
		w.masked = append(w.masked, w.hash...)
		clear(w.hash[:cap(w.hash)]) // Mask puts the value there
		by := len(w.masked) - start - (f.size - 2)
		e.device = resized(e.device, before.device, uint32(f.off), by)
		e.user = resized(e.user, before.user, uint32(f.off), by)
		done = f.off + f.size - 1
	}
	w.masked = append(w.masked, e.json[done:]...)
	clear(w.found)
	e.json = w.masked
}

// find notes the texts that a path leads to.
func (w *masking) find(at gjson.Result, path []string) {
	switch {
	case at.IsArray():
		at.ForEach(func(_, element gjson.Result) bool {
			w.find(element, path)
			return true
		})
	case len(path) > 0:
		if !at.IsObject() {
			return
		}
		at.ForEach(func(key, value gjson.Result) bool {
			if key.Str == path[0] {
				w.find(value, path[1:])
			}
			return true
		})
	case at.Type == gjson.String:
		if _, sealed := slices.BinarySearch(w.sealed, uint32(at.Index)+1); !sealed {
			w.found = append(w.found, found{at.Index, len(at.Raw), at.Str})
		}
	}
}

// stays notes a value that the view leaves sealed, by where its text begins in what is shown.
func (v *view) stays(f engine.Field, moved int) {
	if v.mask != nil {
		v.sealed = append(v.sealed, uint32(int(f.Off)+moved))
	}
}
