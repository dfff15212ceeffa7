package filter_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/relay/filter"
)

// chance makes filters and events of few ids, so that they meet.
type chance struct{ *rand.Rand }

func (c chance) id() string { return fmt.Sprintf("i%d", c.IntN(4)) }

func (c chance) list(one func() string) string {
	all := []string{one()}
	for c.IntN(2) == 0 {
		all = append(all, one())
	}
	return "[" + strings.Join(all, ",") + "]"
}

func (c chance) ids(names ...string) string {
	name := names[c.IntN(len(names))]
	if other := names[c.IntN(len(names))]; other != name && c.IntN(3) == 0 {
		return fmt.Sprintf(`{%q:%q,%q:%q}`, name, c.id(), other, c.id())
	}
	return fmt.Sprintf(`{%q:%q}`, name, c.id())
}

func (c chance) filter() string {
	var all []string
	add := func(name, value string) {
		if c.IntN(2) == 0 {
			all = append(all, fmt.Sprintf("%q:%s", name, value))
		}
	}
	add("devices", c.list(func() string {
		return c.ids("channel", "named_user_id", "ios_channel", "android_channel", "amazon_channel")
	}))
	add("users", c.list(func() string { return c.ids("contact_id", "named_user_id") }))
	add("notifications", c.list(func() string { return c.ids([]string{"push_id", "group_id"}[c.IntN(2)]) }))
	add("types", c.list(func() string { return []string{`"OPEN"`, `"CLOSE"`}[c.IntN(2)] }))
	add("latency", []string{"30000", "90000"}[c.IntN(2)])
	return "{" + strings.Join(all, ",") + "}"
}

func (c chance) object(names ...string) string {
	var all []string
	for _, name := range names {
		switch c.IntN(4) {
		case 0:
		case 1:
			all = append(all, fmt.Sprintf("%q:%d", name, c.IntN(4)))
		default:
			all = append(all, fmt.Sprintf("%q:%q", name, c.id()))
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

func (c chance) event() *filter.Event {
	body := c.object("push_id", "group_id")
	if c.IntN(2) == 0 {
		body = body[:len(body)-1]
		if len(body) > 1 {
			body += ","
		}
		body += `"triggering_push":` + c.object("push_id", "group_id") + "}"
	}
	e := &filter.Event{
		Type: []byte([]string{"OPEN", "CLOSE", "SEND"}[c.IntN(3)]), ID: []byte("e"), Now: now, Occurred: now - []int64{0, minute}[c.IntN(2)],
		JSON: []byte(`{}`), Body: []byte(body),
	}
	if c.IntN(5) > 0 {
		e.Device = []byte(c.object("channel", "named_user_id", "ios_channel", "android_channel"))
	}
	if c.IntN(5) > 0 {
		e.User = []byte(c.object("contact_id", "named_user_id"))
	}
	return e
}

// named tells literally whether the ids select the object; a channel is found under the names of all ages.
func named(ids, object map[string]any) bool {
	for name, want := range ids {
		names := []string{name}
		if name == "channel" {
			names = append(names, "ios_channel", "android_channel", "amazon_channel")
		}
		found := false
		for _, n := range names {
			found = found || object[n] == want
		}
		if !found {
			return false
		}
	}
	return true
}

// asked evaluates a filter object literally.
func asked(f map[string]any, e *filter.Event) bool {
	object := func(text []byte) map[string]any {
		m, _ := value(text).(map[string]any)
		return m
	}
	anyOf := func(name string, objects ...map[string]any) bool {
		list, ok := f[name].([]any)
		for _, ids := range list {
			for _, o := range objects {
				if named(ids.(map[string]any), o) {
					return true
				}
			}
		}
		return !ok
	}
	body := object(e.Body)
	trigger, _ := body["triggering_push"].(map[string]any)
	if list, ok := f["types"].([]any); ok {
		found := false
		for _, t := range list {
			found = found || t == string(e.Type)
		}
		if !found {
			return false
		}
	}
	if most, ok := f["latency"].(json.Number); ok && float64(e.Now-e.Occurred) > float(most) {
		return false
	}
	return anyOf("devices", object(e.Device)) && anyOf("users", object(e.User)) && anyOf("notifications", body, trigger)
}

// However filters are put together for speed, they pass what each of them asks for.
func TestFiltersByID(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(1, 2))}
	passed, all := 0, 0
	for range 3000 {
		text := c.list(c.filter)
		f := parse(t, `{"filters":`+text+`}`).Filter
		for range 10 {
			e := c.event()
			want := false
			for _, one := range value([]byte(text)).([]any) {
				want = want || asked(one.(map[string]any), e)
			}
			if got := f.Match(e); got != want {
				t.Fatalf("%s\npasses %s device %s user %s body %s: %t", text, e.Type, e.Device, e.User, e.Body, got)
			}
			if all++; want {
				passed++
			}
		}
	}
	if passed < all/10 || passed > all*9/10 {
		t.Errorf("%d of %d pass: that tells little", passed, all)
	}
}
