package sample_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"sluice/relay/sample"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// types of Airship's events; those of a browser, of mail and of text messages included.
var airshipTypes = []string{
	"ATTRIBUTE_OPERATION", "CLOSE", "COMPLIANCE", "CONTACT_CHANGE", "CONTROL", "CUSTOM", "FEATURE_FLAG_INTERACTION", "FIRST_OPEN",
	"FIRST_OPT_IN", "IN_APP_BUTTON_TAP", "IN_APP_EXPERIENCES", "IN_APP_FORM_DISPLAY", "IN_APP_FORM_RESULT", "IN_APP_MESSAGE_CONTROL",
	"IN_APP_MESSAGE_DISPLAY", "IN_APP_MESSAGE_EXCLUSION", "IN_APP_MESSAGE_EXPIRATION", "IN_APP_MESSAGE_RESOLUTION", "IN_APP_PAGER_COMPLETED",
	"IN_APP_PAGER_SUMMARY", "IN_APP_PAGE_SWIPE", "IN_APP_PAGE_VIEW", "LABEL_EVENT", "LOCATION", "MOBILE_ORIGINATED", "OPEN", "PUSH_BODY",
	"REGION", "RICH_CONTROL", "RICH_DELETE", "RICH_DELIVERY", "RICH_READ", "SCREEN_VIEWED", "SEND", "SEND_ABORTED", "SEND_REJECTED",
	"SHORT_LINK_CLICK", "SUBSCRIPTION", "SUBSCRIPTION_LIST", "TAG_CHANGE", "UNINSTALL", "WEB_CLICK", "WEB_SESSION",
}

// Every few hundred events have all types, no id comes twice, and lives begin with a first open and end with uninstalling.
func TestLives(t *testing.T) {
	for _, seed := range []uint64{1, 2, 1 << 63} {
		l := sample.NewLives(seed)
		ids, types := map[any]bool{}, map[string]int{}
		first, last := map[any]string{}, map[any]string{}
		for n := range 3000 {
			e := decode(t, l.Next(nil, noon))
			kind := e["type"].(string)
			ids[e["id"]] = true
			types[kind]++
			if n == 400 {
				for _, want := range airshipTypes {
					if types[want] == 0 {
						t.Errorf("seed %d: no %s in %d events", seed, want, n)
					}
				}
			}
			at, err := time.Parse(time.RFC3339, e["occurred"].(string))
			if late := noon.Sub(at); err != nil || late < 0 || late > 48*time.Hour {
				t.Fatalf("occurred %v, %v", e["occurred"], err)
			}
			device, ok := e["device"].(map[string]any)
			if !ok {
				if kind != "PUSH_BODY" && kind != "LABEL_EVENT" && kind != "IN_APP_MESSAGE_EXPIRATION" && kind != "COMPLIANCE" {
					t.Errorf("a %s without a device", kind)
				}
				continue
			}
			if device["ios_channel"] == nil && device["android_channel"] == nil && device["amazon_channel"] == nil {
				continue
			}
			channel := device["channel"]
			if first[channel] == "" {
				first[channel] = kind
			}
			if last[channel] == "UNINSTALL" {
				t.Errorf("%v does %s after it uninstalled", channel, kind)
			}
			last[channel] = kind
		}
		if len(ids) != 3000 {
			t.Errorf("seed %d: %d ids", seed, len(ids))
		}
		for channel, kind := range first {
			if kind != "FIRST_OPEN" {
				t.Errorf("the life of %v begins with %s", channel, kind)
			}
		}
		if len(types) != len(airshipTypes) {
			t.Errorf("types %v", types)
		}
		if types["SEND"] < types["UNINSTALL"] || types["SCREEN_VIEWED"] < types["SEND_REJECTED"] {
			t.Errorf("not what people do: %v", types)
		}
	}
}

// The same seed makes the same events, also when it goes on at a place.
func TestLivesResume(t *testing.T) {
	l := sample.NewLives(7)
	var all [][]byte
	var places []sample.Place
	for range 1000 {
		places = append(places, l.Place())
		all = append(all, l.Next(nil, noon))
	}
	places = append(places, l.Place())
	again := sample.NewLives(7)
	for i := range all {
		if got := again.Next(nil, noon); !bytes.Equal(got, all[i]) {
			t.Fatalf("event %d:\n%s\n%s", i, got, all[i])
		}
	}
	for _, i := range []int{0, 1, 173, 500, 999} {
		at := sample.NewLives(7)
		if !at.Resume(places[i]) || !bytes.Equal(at.Next(nil, noon), all[i]) || at.Place() != places[i+1] {
			t.Errorf("resumed at %d", i)
		}
	}
	if slices.ContainsFunc(all[1:], func(e []byte) bool { return bytes.Equal(e, all[0]) }) {
		t.Error("an event comes twice")
	}
	other := sample.NewLives(8)
	if other.Resume(places[5]) || bytes.Equal(other.Next(nil, noon), all[0]) {
		t.Error("another seed is the same")
	}
}
