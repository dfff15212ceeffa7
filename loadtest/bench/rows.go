package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// row is one thing to measure.
type row struct {
	name string
	run  func(context.Context, *bench) ([]measure, error)
}

// rows are in the order of the table.
var rows = []row{
	{"single", runSingle},
	{"bulk", runBulk},
	{"fanout", runFanout},
	{"sockets", runSockets},
	{"filters", runFilters},
	{"webhooks", runWebhooks},
	{"latency", runLatency},
	{"idle", runIdle},
	{"replay", runReplay},
}

func rowNames() []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.name
	}
	return names
}

// bound says on which side of the target a figure must be.
type bound string

const (
	atLeast bound = "≥"
	atMost  bound = "≤"
)

// measure is one figure of one run.
type measure struct {
	Name   string             `json:"name"`
	Floor  string             `json:"floor,omitempty"` // what it is compared with; empty: with nothing
	Unit   string             `json:"unit"`
	Value  float64            `json:"value"`
	Base   float64            `json:"floorValue,omitempty"`
	Bound  bound              `json:"bound"`
	Target float64            `json:"target"` // of the ratio, or of the value where there is no floor
	Notes  map[string]float64 `json:"notes,omitempty"`
}

// figure is what is held against the target.
func (m measure) figure() float64 {
	if m.Floor == "" {
		return m.Value
	}
	return m.Value / m.Base
}

func meets(figure float64, b bound, target float64) bool {
	if b == atLeast {
		return figure >= target
	}
	return figure <= target
}

func (m measure) String() string {
	s := fmt.Sprintf("%s: %s %s", m.Name, number(m.Value), m.Unit)
	if m.Floor != "" {
		s += fmt.Sprintf(", floor %s, ratio %s", number(m.Base), number(m.figure()))
	}
	for _, k := range sortedKeys(m.Notes) {
		s += fmt.Sprintf(", %s %s", k, number(m.Notes[k]))
	}
	return s
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// number writes a figure with three digits that count.
func number(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.2f G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1f k", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
	}
}

// percentile of values, which it sorts; p from 0 to 1.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(p*float64(len(values))), len(values)-1)]
}

func median(values []float64) float64 { return percentile(slices.Clone(values), 0.5) }
