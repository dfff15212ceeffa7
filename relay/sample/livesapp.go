package sample

import (
	"fmt"
	"maps"
	"strconv"
)

var platforms = map[string]struct{ channel, os, model string }{
	"IOS":     {"ios_channel", "18.2", "iPhone16,2"},
	"ANDROID": {"android_channel", "15", "Pixel 9"},
	"AMAZON":  {"amazon_channel", "8.1", "KFONWI"},
}

// appUser is the life of somebody with an app.
func (c *cohort) appUser(platform string, n int) []lived {
	p, channel := platforms[platform], c.uuid()
	u := &user{cohort: c, n: n, contact: object{"contact_id": c.uuid()}}
	u.device = object{
		"channel": channel, p.channel: channel, "device_type": platform,
		"identifiers": object{"com.urbanairship.limited_ad_tracking_enabled": "true"},
		"attributes": object{
			"app_package_name": "com.example.shop", "app_version": fmt.Sprintf("4.%d.%d", c.rng.IntN(9), c.rng.IntN(9)),
			"background_push_enabled": "false", "device_model": p.model, "device_os": p.os,
			"iana_timezone": "America/Los_Angeles", "locale_country_code": "US", "locale_language_code": "en",
			"locale_timezone": "-28800", "locale_variant": "", "location_enabled": "true",
			"location_permission": c.pick("ALWAYS_ALLOWED", "FOREGROUND_ALLOWED"), "push_opt_in": "true", "ua_sdk_version": "19.1.0",
		},
	}
	u.alone("FIRST_OPEN", nil)
	u.opens(nil)
	u.does("TAG_CHANGE", object{"add": object{"device": []string{"welcome"}}, "current": object{"device": []string{"welcome"}}})
	u.uses()
	u.signsUp()
	u.pushed(n)
	for range c.rng.IntN(3) {
		u.pushed(c.rng.IntN(8))
	}
	u.seesScenes()
	u.readsInbox()
	u.leaves(platform)
	return u.life
}

// opens begins a session; by is the push that brought it about, if one did.
func (u *user) opens(by *push) {
	u.session = u.uuid()
	body := object{"session_id": u.session}
	if by != nil {
		body["triggering_push"], body["last_delivered"] = by.reach(), by.reach()
	}
	u.does("OPEN", body)
}

func (u *user) closes() { u.does("CLOSE", object{"session_id": u.session}) }

// uses is what happens in a session.
func (u *user) uses() {
	screens := []string{"home", "search", "product", "cart"}
	for i := 1; i < 2+u.rng.IntN(3); i++ {
		u.does("SCREEN_VIEWED", object{
			"session_id": u.session, "viewed_screen": screens[i], "previous_screen": screens[i-1], "duration": u.rng.IntN(90_000),
		})
	}
	u.does("LOCATION", object{
		"session_id": u.session, "foreground": "true",
		"latitude": fmt.Sprintf("45.%04d", u.rng.IntN(10_000)), "longitude": fmt.Sprintf("-122.%04d", u.rng.IntN(10_000)),
	})
	u.does("REGION", object{
		"session_id": u.session, "action": u.pick("enter", "exit"), "region_id": "store-17", "name": "Store 17",
		"source_info": object{"source": "com.example.beacons", "region_id": "b-17"},
	})
	u.alone("FEATURE_FLAG_INTERACTION", object{"flag_id": "ff-1", "flag_name": u.flag, "eligible": true, "variant_id": strconv.Itoa(u.rng.IntN(2))})
	u.custom("added_to_cart", nil)
	if u.chance(2) {
		u.custom("purchased", object{"items": 1 + u.rng.IntN(4), "currency": "USD"})
	}
	u.closes()
}

func (u *user) custom(name string, properties object) {
	body := object{"name": name, "source": "SDK", "session_id": u.session, "value": float64(u.rng.IntN(20_000)) / 100}
	if properties != nil {
		body["properties"] = properties
	}
	u.alone("CUSTOM", body)
}

// signsUp makes the contact known by name.
func (u *user) signsUp() {
	name := fmt.Sprintf("user-%d-%d", u.number, u.rng.IntN(10_000))
	named := maps.Clone(u.contact)
	named["named_user_id"] = name
	u.contact = named
	device := maps.Clone(u.device)
	device["named_user_id"] = name
	u.device = device
	u.does("CONTACT_CHANGE", object{
		"change_type": "ASSOCIATION", "channel_id": u.device["channel"], "contact_id": u.contact["contact_id"], "named_user_id": name,
	})
	u.does("ATTRIBUTE_OPERATION", object{"set": []object{{"key": "loyalty", "value": u.pick("silver", "gold")}, {"key": "visits", "value": 1}}, "remove": []object{{"key": "guest"}}})
	u.does("SUBSCRIPTION_LIST", object{"scope": "app", "enrolled": u.lists[:1], "current": u.lists[:1], "canceled": []string{}})
}

// pushed is what becomes of one push; most reach their user.
func (u *user) pushed(fate int) {
	p := u.push()
	body := p.reach()
	switch fate {
	case 0: // of the control group
		u.does("CONTROL", body)
		u.life[len(u.life)-1].ExperimentID = u.pushes[0].group
		return
	case 1:
		body["reason"] = "FREQUENCY_LIMIT_REACHED"
		u.alone("SEND_ABORTED", body)
		return
	case 2:
		body["status"] = "Unavailable"
		u.alone("SEND_REJECTED", body)
		return
	}
	body["alerting"] = true
	u.does("SEND", body)
	if u.chance(2) {
		u.opens(&p)
		u.custom("viewed_offer", nil)
		u.closes()
	}
}

// seesScenes is everything that is shown in the app itself.
func (u *user) seesScenes() {
	p := u.push()
	u.opens(nil)
	body := func(more object) object {
		b := p.reach()
		b["app_defined_id"], b["session_id"], b["triggering_push"] = "scene-1", u.session, p.reach()
		maps.Copy(b, more)
		return b
	}
	pager := func(more object) object {
		b := body(more)
		b["pager_identifier"], b["page_count"], b["locale"] = "p-1", 3, object{"language": "en", "country": "US"}
		b["context"] = object{
			"reporting_context": object{"content_types": []string{"scene"}},
			"state":             object{"pager": object{"identifier": "p-1", "page_identifier": "one", "page_index": 0, "page_count": 3, "completed": false}},
		}
		return b
	}
	if u.n == 0 || u.chance(2) {
		u.does("IN_APP_MESSAGE_EXCLUSION", body(object{"type": "AUDIENCE_CHECK_EXCLUDED"}))
		u.does("IN_APP_MESSAGE_CONTROL", body(object{"type": "CONTROL"}))
	}
	u.does("IN_APP_MESSAGE_DISPLAY", body(nil))
	u.does("IN_APP_EXPERIENCES", body(object{"event_name": "scene_displayed"}))
	u.does("IN_APP_PAGE_VIEW", pager(object{"page_identifier": "one", "page_index": 0, "viewed_count": 1, "completed": false}))
	u.does("IN_APP_PAGE_SWIPE", pager(object{"from_page_index": 0, "to_page_index": 1, "to_page_identifier": "two"}))
	u.does("IN_APP_BUTTON_TAP", body(object{"button_id": "next"}))
	u.does("IN_APP_PAGER_COMPLETED", pager(object{"page_identifier": "three", "page_index": 2}))
	u.does("IN_APP_PAGER_SUMMARY", pager(object{"completed": true, "viewed_pages": []object{{"page_identifier": "one", "page_index": 0, "display_time_ms": 2100}}}))
	u.does("IN_APP_FORM_DISPLAY", body(object{"type": "DISPLAY", "forms": object{"form_id": "nps-1"}}))
	if u.n == 1 || u.chance(2) {
		u.does("IN_APP_FORM_RESULT", body(object{"type": "RESULT", "forms": object{
			"form_id": "nps-1", "type": "nps", "response_type": "nps",
			"nps":       object{"audience_category": "PROMOTER", "question_id": "q-1", "score": 9},
			"responses": []object{{"question_id": "q-2", "type": "text_input", "value": "größer, please \"soon\""}},
		}}))
	}
	u.does("IN_APP_MESSAGE_RESOLUTION", body(object{"type": u.pick("BUTTON_CLICK", "USER_DISMISSED", "TIMED_OUT"), "duration": u.rng.IntN(20_000)}))
	u.closes()
}

func (u *user) readsInbox() {
	p := u.push()
	if u.n == 2 {
		u.does("RICH_CONTROL", object{"push_id": p.id, "group_id": p.group})
		return
	}
	u.does("RICH_DELIVERY", p.reach())
	u.does("RICH_READ", p.reach())
	if u.n == 3 || u.chance(2) {
		u.does("RICH_DELETE", p.reach())
	}
}

// leaves is the end. A push to an iOS device that is gone is accepted first, one to an Android device is not.
func (u *user) leaves(platform string) {
	if platform == "IOS" {
		u.does("SEND", u.push().reach())
	}
	u.does("UNINSTALL", object{"decay": false})
}
