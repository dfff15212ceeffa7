package relay_test

import (
	"errors"
	"testing"

	"sluice/relay"
)

// A time may have any zone, also one whose + came through a URL unescaped.
func TestParsePositionTimes(t *testing.T) {
	for _, s := range []string{"2026-11-20T08:00:00.000Z", "2026-11-20T10:00:00+02:00", "2026-11-20T10:00:00 02:00", "2026-11-20T05:30:00-02:30"} {
		if _, err := relay.ParsePosition(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"2026-11-20 08:00:00Z", "2026-11-20T10:00:00 +02:00", "2026-11-20", "T", "-", "--1", "2026-11-20T10:00:00", " ", "-1 "} {
		if _, err := relay.ParsePosition(s); !errors.Is(err, relay.ErrPosition) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
