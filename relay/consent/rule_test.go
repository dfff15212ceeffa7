package consent_test

import (
	"testing"

	"sluice/relay/consent"
)

func levels(ls ...int) (set consent.Levels) {
	for _, l := range ls {
		set |= 1 << l
	}
	return set
}

func TestRule(t *testing.T) {
	type rule struct {
		kind   consent.Type
		levels []int
	}
	granular := func(ls ...int) rule { return rule{consent.Granular, ls} }
	cumulative := func(l int) rule { return rule{consent.Cumulative, []int{l}} }
	for _, c := range []struct {
		name  string
		rule  rule
		event []int
		keeps bool
		opens []int // of the levels 0 to 4 and 63
	}{
		{"granular keeps what encloses its levels", granular(0, 1), []int{0, 1, 2}, true, []int{0, 1}},
		{"granular drops what lacks one", granular(0, 1), []int{1}, false, []int{0, 1}},
		{"granular opens only its own level", granular(1), []int{0, 1, 2}, true, []int{1}},
		{"granular opens levels apart", granular(0, 2), []int{0, 1, 2}, true, []int{0, 2}},
		{"granular drops a higher level", granular(3), []int{0, 1, 2}, false, []int{3}},
		{"granular drops the event without consent", granular(0), nil, false, []int{0}},
		{"granular knows the highest level", granular(63), []int{63}, true, []int{63}},
		{"cumulative goes by the highest level", cumulative(2), []int{3}, true, []int{0, 1, 2}},
		{"cumulative keeps its own level", cumulative(2), []int{0, 1, 2}, true, []int{0, 1, 2}},
		{"cumulative drops what is below", cumulative(2), []int{0, 1}, false, []int{0, 1, 2}},
		{"cumulative needs no lower level", cumulative(1), []int{1}, true, []int{0, 1}},
		{"cumulative 3 drops 0 to 2", cumulative(3), []int{0, 1, 2}, false, []int{0, 1, 2, 3}},
		{"cumulative drops the event without consent", cumulative(2), nil, false, []int{0, 1, 2}},
		{"cumulative 0 drops the event without consent", cumulative(0), nil, false, []int{0}},
		{"cumulative 0 opens level 0", cumulative(0), []int{0}, true, []int{0}},
		{"cumulative knows the highest level", cumulative(63), []int{63}, true, []int{0, 1, 2, 3, 4, 63}},
		{"the source keeps all and opens nothing", rule{}, nil, true, nil},
		{"the source opens nothing to full consent", rule{}, []int{0, 1, 2, 3}, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := consent.Rule{Type: c.rule.kind, Levels: levels(c.rule.levels...)}
			if got := r.Keeps(levels(c.event...)); got != c.keeps {
				t.Errorf("keeps: %v, want %v", got, c.keeps)
			}
			opens := levels(c.opens...)
			for _, l := range []uint8{0, 1, 2, 3, 4, 63} {
				if got, want := r.Opens(l), opens>>l&1 == 1; got != want {
					t.Errorf("opens level %d: %v, want %v", l, got, want)
				}
			}
		})
	}
}

func TestParseType(t *testing.T) {
	for _, k := range []consent.Type{consent.Granular, consent.Cumulative} {
		if got, err := consent.ParseType(k.String()); got != k || err != nil {
			t.Errorf("%s: %v, %v", k, got, err)
		}
	}
	for _, s := range []string{"", "granular", "SOURCE"} {
		if _, err := consent.ParseType(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if consent.Source.String() != "" {
		t.Error("a source stream has no type to write")
	}
}
