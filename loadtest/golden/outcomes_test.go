package golden_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/loadtest/oracle"
)

// TestOutcomes holds the oracle itself to the corpus's table of what each stream shows of an event with each consent: - for nothing, else
// which of the levels 0 to 4 are open in it. The table is read by people; a change of it is a change of what is promised.
func TestOutcomes(t *testing.T) {
	want, err := os.ReadFile("testdata/outcomes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	source := oracle.View{Name: "golden"}
	for _, v := range slices.Insert(slices.Clone(views), 0, source) {
		fmt.Fprintf(&got, "%-16s %-10s %v\n", v.Name, v.Kind, v.Levels)
		for _, levels := range consents {
			list, err := oracle.Tree([]byte(levels))
			if err != nil {
				t.Fatal(err)
			}
			var agreed []int
			for _, l := range list.([]any) {
				var n int
				if _, err := fmt.Sscan(fmt.Sprint(l), &n); err != nil {
					t.Fatal(err)
				}
				agreed = append(agreed, n)
			}
			shown := "-"
			if v.Keeps(agreed) {
				shown = "shown, open:"
				for level := range 5 {
					if v.Opens(level) {
						shown += fmt.Sprint(" ", level)
					}
				}
			}
			fmt.Fprintf(&got, "  %-14s %s\n", levels, shown)
		}
	}
	if got.String() != string(want) {
		t.Errorf("the table is\n%s", &got)
	}
}
