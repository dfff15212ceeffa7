package filter

import (
	"fmt"
	"strings"
	"testing"
)

// A filter for each user costs what one filter for all of them costs, where nothing else tells them apart.
func TestJoined(t *testing.T) {
	var each []string
	for i := range maxFilters {
		each = append(each, fmt.Sprintf(`{"users":[{"named_user_id":"u%d"}],"latency":60000,"types":["OPEN"]}`, i))
	}
	for text, want := range map[string]int{
		"[" + strings.Join(each, ",") + "]":                                           1,
		`[{"users":[{"contact_id":"a"}]},{"users":[{"named_user_id":"a"}]}]`:          1,
		`[{"users":[{"contact_id":"a"}]},{"devices":[{"named_user_id":"a"}]}]`:        2,
		`[{"users":[{"contact_id":"a"}]},{"users":[{"contact_id":"b"}],"latency":1}]`: 2,
		`[{"users":[{"contact_id":"a"}],"devices":[{"channel":"x"}]},{"users":[{"contact_id":"b"}],"devices":[{"channel":"x"}]},
		  {"users":[{"contact_id":"a"}],"devices":[{"channel":"y"}]}]`: 2,
	} {
		r, err := Parse([]byte(`{"filters":` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Filter.clauses); got != want {
			t.Errorf("%.200s: %d clauses, want %d", text, got, want)
		}
	}
}
