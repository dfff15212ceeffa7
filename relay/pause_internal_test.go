package relay

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	for name, c := range map[string]struct {
		caused
		want time.Duration
	}{
		"nothing was shown":                          {caused{0, 0}, 0},
		"one reader":                                 {caused{1, 1}, 10 * time.Microsecond},
		"a hundred readers of single events":         {caused{100, 100}, time.Millisecond},
		"many readers of much":                       {caused{5000, 500_000}, 10 * time.Millisecond},
		"many readers of little wait for the writes": {caused{900, 1200}, 22500 * time.Microsecond},
		"but not for long":                           {caused{100_000, 100_000}, 50 * time.Millisecond},
		"few readers of little":                      {caused{499, 499}, 4990 * time.Microsecond},
	} {
		if got := c.pause(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
