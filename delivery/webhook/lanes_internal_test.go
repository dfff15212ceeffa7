package webhook

import "testing"

// Events of one person, or of one device where nobody is named, share a lane, however the event says whose it is; and
// not everybody shares the same.
func TestLaneOf(t *testing.T) {
	for _, row := range []struct {
		a, b  string
		plain bool // not in the Airship envelope
		same  bool
	}{
		{a: `{"body":{"strmMeta":{"keyLink":"k1"},"n":1}}`, b: `{"body":{"strmMeta":{"keyLink":"k1"},"n":2}}`, same: true},
		{a: `{"body":{"strmMeta":{"keyLink":"k1"}}}`, b: `{"body":{"strmMeta":{"keyLink":"k2"}}}`},
		{a: `{"strmMeta":{"keyLink":"k1"},"device":{"channel":"x"}}`, b: `{"strmMeta":{"keyLink":"k1"},"device":{"channel":"y"}}`, plain: true, same: true},
		{a: `{"type":"OPEN","device":{"channel":"c1"},"user":{"contact_id":"u"}}`, b: `{"type":"FIRST_OPEN","device":{"ios_channel":"c1"}}`, same: true},
		{a: `{"device":{"channel":"c1"}}`, b: `{"device":{"channel":"c2"}}`},
		{a: `{"device":{"channel":"c1"}}`, b: `{"device":{"channel":"c1","named_user_id":"n"}}`, plain: true, same: true},
		{a: `{"device":{"delivery_address":"a@b"}}`, b: `{"device":{"delivery_address":"c@d"}}`},
		{a: `{"user":{"contact_id":"u1"}}`, b: `{"user":{"contact_id":"u2"}}`},
		{a: `{"type":"PUSH_BODY"}`, b: `{"type":"LABEL_EVENT"}`, same: true},
		{a: `{"device":{"channel":7}}`, b: `{"device":null,"user":[]}`, same: true},
	} {
		if got := laneOf([]byte(row.a), !row.plain) == laneOf([]byte(row.b), !row.plain); got != row.same {
			t.Errorf("%s and %s share a lane: %t", row.a, row.b, got)
		}
	}
}
