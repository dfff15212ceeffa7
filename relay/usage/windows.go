package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/relay/engine"
)

// Window is how many events a stream took from Start to before End.
type Window struct {
	Start, End time.Time
	Events     uint64
}

// MaxWindows bounds one question.
const MaxWindows = 10_000

// Windows gives the events of a stream by windows of interval, one or more whole minutes: the first begins at from, the last
// ends at to, at the latest, and may be shorter. Both are cut to whole minutes. What this node took a moment ago is in
// it; what others took, up to a second later. What is older than KeepDays counts as nothing. There must be no more than
// MaxWindows.
func (m *Meter) Windows(ctx context.Context, id engine.StreamID, from, to time.Time, interval time.Duration) ([]Window, error) {
	from, to = from.UTC().Truncate(time.Minute), to.UTC().Truncate(time.Minute)
	var all []Window
	for at := from; at.Before(to); at = at.Add(interval) {
		end := at.Add(interval)
		if end.After(to) {
			end = to
		}
		all = append(all, Window{Start: at, End: end})
	}
	add := func(minute int64, count uint64) {
		at := minute*60 - from.Unix()
		if i := at / int64(interval/time.Second); at >= 0 && i < int64(len(all)) {
			all[i].Events += count
		}
	}
	// The cells of now come first: an hour that goes to its day meanwhile is then seen twice, which can be told, and not
	// missed, which could not.
	current := map[string][]hour{}
	if s := m.find(id); s != nil {
		s.mu.Lock()
		current[m.node] = append(slices.Clone(s.over), s.state.hour)
		s.mu.Unlock()
	}
	cells, err := m.cells.List(ctx, nowPrefix+"."+streamName(id))
	if err != nil {
		return nil, fmt.Errorf("reading the usage of a stream: %w", err)
	}
	for _, c := range cells {
		if _, node, ok := nowOf(c.Key); ok && node != m.node {
			n, err := decodeNow(c.Value)
			if err != nil {
				return nil, fmt.Errorf("reading the usage of a stream: %w", err)
			}
			current[node] = []hour{n.hour}
		}
	}
	type nodeHour struct {
		node string
		hour int64
	}
	inDay := map[nodeHour]bool{}
	day := from.Truncate(24 * time.Hour)
	if oldest := m.now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -KeepDays); day.Before(oldest) {
		day = oldest
	}
	for ; day.Before(to); day = day.AddDate(0, 0, 1) {
		days, err := m.cells.List(ctx, dayPrefix+"."+streamName(id)+"."+day.Format("20060102"))
		if err != nil {
			return nil, fmt.Errorf("reading the usage of a stream: %w", err)
		}
		for _, c := range days {
			_, node, ok := dayOf(c.Key)
			if !ok {
				continue
			}
			first := day.Unix() / 60
			_, err := eachMinute(c.Value, func(minute int, count uint64) {
				add(first+int64(minute), count)
				inDay[nodeHour{node, first/hourMinutes + int64(minute/hourMinutes)}] = true
			})
			if err != nil {
				return nil, fmt.Errorf("reading the usage of a stream: %w", err)
			}
		}
	}
	for node, hours := range current {
		for _, h := range hours {
			if inDay[nodeHour{node, h.number}] {
				continue
			}
			for i, count := range h.minutes {
				if count > 0 {
					add(h.number*hourMinutes+int64(i), count)
				}
			}
		}
	}
	return all, nil
}
