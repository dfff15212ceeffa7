package verify

import (
	"fmt"
	"sort"
	"strings"
)

// Kind is a way to fail a reader.
type Kind string

// The kinds of fault.
const (
	Lost       Kind = "lost"         // acknowledged, kept by the rule, never arrived
	Doubled    Kind = "doubled"      // arrived twice
	Misordered Kind = "out of order" // against the offsets or against its producer's order
	Leaked     Kind = "leaked"       // an event or a field that consent does not give to this stream
	Closed     Kind = "closed"       // a field that consent gives to this stream, encrypted
	Altered    Kind = "altered"      // anything else that is not as it was sent
	Uninvited  Kind = "uninvited"    // refused or never sent, and in the log
)

// Fault is one case. It names the event by its marker and never holds a value of it.
type Fault struct {
	Kind   Kind
	Marker string
	Offset uint64
	Detail string
}

// examples is how many faults of a kind a report holds in full.
const examples = 5

// Report is what an audit found.
type Report struct {
	Received int
	Dropped  int // acknowledged, and rightly kept from this stream by consent; known once finished
	Counts   map[Kind]int
	Examples []Fault
}

func newReport() Report { return Report{Counts: map[Kind]int{}} }

func (r *Report) add(k Kind, marker string, offset uint64, detail string) {
	r.Counts[k]++
	if r.Counts[k] <= examples {
		r.Examples = append(r.Examples, Fault{Kind: k, Marker: marker, Offset: offset, Detail: detail})
	}
}

// Err is nil when nothing was found, else wraps ErrFaults and lists the first faults of each kind.
func (r Report) Err() error {
	if len(r.Counts) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrFaults, r)
}

// String says it in one line, followed by a line for each example.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d received", r.Received)
	if len(r.Counts) == 0 {
		b.WriteString(", nothing lost, nothing doubled")
		return b.String()
	}
	kinds := make([]string, 0, len(r.Counts))
	for k := range r.Counts {
		kinds = append(kinds, string(k))
	}
	sort.Strings(kinds)
	for _, k := range kinds {
		fmt.Fprintf(&b, ", %d %s", r.Counts[Kind(k)], k)
	}
	for _, f := range r.Examples {
		fmt.Fprintf(&b, "\n  %s %s at offset %d: %s", f.Kind, f.Marker, f.Offset, f.Detail)
	}
	return b.String()
}
