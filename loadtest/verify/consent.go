package verify

import "encoding/json"

// Rule is what a stream shows. The zero Rule is a source stream's: every event, every personal field
// encrypted. A derived stream has either Granular levels or one Cumulative level.
type Rule struct {
	Derived    bool
	Granular   []int // keeps events that have all of these, opens fields of exactly these
	Cumulative int   // where Granular is nil: keeps events whose highest level is this or more, opens fields up to it
}

// keeps tells whether an event with these consent levels is shown at all.
func (r Rule) keeps(consent []int) bool {
	switch {
	case !r.Derived:
		return true
	case r.Granular != nil:
		for _, level := range r.Granular {
			if !contains(consent, level) {
				return false
			}
		}
		return true
	default:
		for _, level := range consent {
			if level >= r.Cumulative {
				return true
			}
		}
		return false
	}
}

// opens tells whether a personal field of this level is shown in clear.
func (r Rule) opens(level int) bool {
	switch {
	case !r.Derived:
		return false
	case r.Granular != nil:
		return contains(r.Granular, level)
	default:
		return level <= r.Cumulative
	}
}

func contains(set []int, level int) bool {
	for _, l := range set {
		if l == level {
			return true
		}
	}
	return false
}

// personalField is a member, or a member of a member, that holds personal data.
type personalField struct {
	path  []string
	level int
}

// shape is what the verifier knows of a data contract.
type shape struct {
	marker   string
	personal []personalField
}

// shapes are the built-in contracts, from their documentation.
var shapes = map[string]shape{
	"strmprivacy/clickstream/1.0.0": {
		marker: "userAgent",
		personal: []personalField{
			{[]string{"customer", "id"}, 0},
			{[]string{"producerSessionId"}, 1},
		},
	},
	"strmprivacy/example/1.5.0": {
		marker: "notSensitiveValue",
		personal: []personalField{
			{[]string{"uniqueIdentifier"}, 1},
			{[]string{"consistentValue"}, 2},
			{[]string{"someSensitiveValue"}, 3},
		},
	},
}

func (e event) meta() map[string]any {
	m, _ := e["strmMeta"].(map[string]any)
	return m
}

func (e event) shape() shape {
	ref, _ := e.meta()["eventContractRef"].(string)
	return shapes[ref]
}

func (e event) marker() string {
	s, _ := e[e.shape().marker].(string)
	return s
}

func (e event) consent() []int {
	list, _ := e.meta()["consentLevels"].([]any)
	levels := make([]int, 0, len(list))
	for _, v := range list {
		if n, ok := v.(json.Number); ok {
			if level, err := n.Int64(); err == nil {
				levels = append(levels, int(level))
			}
		}
	}
	return levels
}

// take removes the value at the path and gives it.
func (e event) take(path []string) any {
	m := map[string]any(e)
	for _, step := range path[:len(path)-1] {
		next, ok := m[step].(map[string]any)
		if !ok {
			return nil
		}
		m = next
	}
	last := path[len(path)-1]
	v := m[last]
	delete(m, last)
	return v
}
