package filter

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Subset passes a part of the events, told by their ids: copies of an event fall on the same side, on every node and
// after every restart. Immutable, safe for concurrent use; a nil subset passes every event.
type Subset struct {
	partition bool
	below     uint64 // sample: events whose hash is below pass
	all       bool   // sample: every event passes
	count     uint64
	selection uint64
	key       string
}

// Key is a text that two subsets share only if they pass the same events. Empty for the subset that passes all.
func (s *Subset) Key() string {
	if s == nil {
		return ""
	}
	return s.key
}

// Match tells whether the event with that id passes.
func (s *Subset) Match(id []byte) bool {
	switch {
	case s == nil || s.all:
		return true
	case s.partition:
		return hash(id, 0)%s.count == s.selection
	default:
		// Salted, so that a sample is not made of whole partitions.
		return hash(id, 0x53414d504c45) < s.below
	}
}

// hash is FNV-1a with a last mixing, for FNV alone leaves the high bits of short ids alike.
func hash(id []byte, salt uint64) uint64 {
	h := uint64(0xcbf29ce484222325) ^ salt
	for _, b := range id {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func parseSubset(path string, v any) (*Subset, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(path, "must be an object")
	}
	allowed := set("type")
	switch m["type"] {
	case "SAMPLE":
		allowed["proportion"] = true
	case "PARTITION":
		allowed["count"], allowed["selection"] = true, true
	default:
		return nil, refuse(path+"/type", "must be SAMPLE or PARTITION")
	}
	for name := range m {
		if !allowed[name] {
			return nil, refuse(path+"/"+name, "is not an attribute of a subset of type %s", m["type"])
		}
	}
	if m["type"] == "SAMPLE" {
		s, ok := m["proportion"].(json.Number)
		p, err := strconv.ParseFloat(string(s), 64)
		if !ok || err != nil || p < 0 || p > 1 {
			return nil, refuse(path+"/proportion", "must be a number from 0 to 1")
		}
		sub := &Subset{all: p == 1, key: "SAMPLE " + strconv.FormatFloat(p, 'g', -1, 64)}
		if p < 1 {
			sub.below = uint64(p * math.Exp2(64))
		}
		return sub, nil
	}
	count, err := wholeNumber(m["count"])
	if err != nil || count < 1 {
		return nil, refuse(path+"/count", "must be a whole number from 1")
	}
	selection, err := wholeNumber(m["selection"])
	if err != nil || selection < 0 || selection >= count {
		return nil, refuse(path+"/selection", "must be a whole number from 0 to %d", count-1)
	}
	return &Subset{
		partition: true, count: uint64(count), selection: uint64(selection),
		key: fmt.Sprintf("PARTITION %d/%d", selection, count),
	}, nil
}

// wholeNumber reads a JSON number without fraction; some clients write 5 as 5.0.
func wholeNumber(v any) (int64, error) {
	s, ok := v.(json.Number)
	if !ok {
		return 0, errNotWhole
	}
	if n, err := strconv.ParseInt(string(s), 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, errNotWhole
	}
	return int64(f), nil
}
