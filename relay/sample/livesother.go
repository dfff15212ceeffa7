package sample

import "fmt"

// visitor is the life of somebody with a browser.
func (c *cohort) visitor() []lived {
	u := &user{cohort: c, contact: object{"contact_id": c.uuid()}}
	u.device = object{"channel": c.uuid(), "device_type": "WEB", "attributes": object{
		"iana_timezone": "Europe/Berlin", "locale_country_code": "DE", "locale_language_code": "de", "locale_timezone": "3600", "locale_variant": "",
		"push_opt_in": "true", "ua_sdk_version": "2.1.0", "web_browser_name": "Firefox", "web_browser_type": "DESKTOP", "web_browser_version": "145.0",
		"web_user_agent_string": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	}}
	u.alone("FIRST_OPEN", nil)
	p := u.push()
	u.does("SEND", p.reach())
	u.does("WEB_CLICK", p.reach())
	u.session = u.uuid()
	u.does("WEB_SESSION", object{"session_id": u.session, "triggering_push": p.reach(), "last_delivered": p.reach()})
	u.does("SCREEN_VIEWED", object{"session_id": u.session, "viewed_screen": "/sale", "previous_screen": "/", "duration": c.rng.IntN(60_000)})
	u.custom("signed_up", object{"plan": "free"})
	return u.life
}

// reader is the life of somebody with an address.
func (c *cohort) reader() []lived {
	address := fmt.Sprintf("reader-%d@example.com", c.number)
	u := &user{cohort: c, contact: object{"contact_id": c.uuid()}}
	u.device = object{"channel": c.uuid(), "device_type": "EMAIL", "delivery_address": address}
	identifiers := object{"address": address}
	comply := func(kind string, properties object) {
		u.alone("COMPLIANCE", object{"event_type": kind, "identifiers": identifiers, "properties": properties})
	}
	comply("registration", object{"registration_type": "create", "commercial_opted_in": "2026-01-01T00:00:00", "source": "ui"})
	comply("create_and_send", object{"channel_registered": "true", "commercial_opted_in": "2026-01-01T00:00:00"})
	u.alone("FIRST_OPT_IN", nil)
	u.does("SUBSCRIPTION", object{
		"event_type": "registration", "identifiers": identifiers, "properties": object{"commercial_opted_in": "2026-01-01T00:00:00"},
		"subscription_lists": object{"enrolled": u.lists, "canceled": []string{}},
	})
	p := u.push()
	u.does("SEND", p.reach())
	mail := func(name string, more object) {
		properties := object{"email": address, "sender": "news@example.com", "subject": "Spring is here"}
		for k, v := range more {
			properties[k] = v
		}
		u.alone("CUSTOM", object{"name": name, "source": "API", "properties": properties, "triggering_push": p.reach()})
	}
	mail("injection", nil)
	if c.chance(4) {
		mail("delay", nil)
	}
	mail("delivery", nil)
	reads := object{"agent_family": "Apple Mail", "device_brand": "Apple", "device_family": "Mac", "is_mobile": "false", "is_prefetched": false, "os_family": "Mac OS X", "os_version": "15"}
	mail("initial_open", reads)
	mail("open", reads)
	mail("click", object{"link_name": "Shop now", "link_url": "https://www.example.com/sale"})
	switch c.rng.IntN(3) {
	case 0:
		mail("unsubscribe", object{"unsubscribe_event_type": "link_unsubscribe"})
		comply("registration", object{"registration_type": "unsubscribe", "message_type": "commercial"})
	case 1:
		mail("bounce", object{"bounce_class": "10", "bounce_event_type": "bounce"})
		comply("bounce", object{"bounce_class": "10", "bounce_event_type": "bounce", "email": address, "sender": "news@example.com", "subject": "Spring is here"})
	}
	return u.life
}

// texter is the life of somebody with a number.
func (c *cohort) texter() []lived {
	number := fmt.Sprintf("1503555%04d", c.rng.IntN(10_000))
	sender := object{"sender": "17372004196"}
	u := &user{cohort: c, contact: object{"contact_id": c.uuid()}}
	u.device = object{"channel": c.uuid(), "device_type": "SMS", "delivery_address": number, "identifiers": sender}
	identifiers := object{"msisdn": number, "sender": sender["sender"]}
	comply := func(kind string, properties object) {
		body := object{"event_type": kind, "identifiers": identifiers}
		if properties != nil {
			body["properties"] = properties
		}
		u.alone("COMPLIANCE", body)
	}
	comply("api_initiate_opt_in", nil)
	comply("mobile_create_channel", object{"opted_in": "2026-01-01T00:00:00", "registration_type": "create"})
	comply("registration", object{"opted_in": "2026-01-01T00:00:00", "registration_type": "create"})
	comply("mobile_opt_in", object{"inbound_message": "yes", "keyword": "YES", "outbound_message": "Welcome"})
	u.alone("FIRST_OPT_IN", nil)
	p := u.push()
	u.does("SEND", p.reach())
	comply("mobile_terminated_message", nil)
	u.alone("CUSTOM", object{
		"name": "delivered", "source": "API", "interaction_type": "delivery_report", "triggering_push": p.reach(),
		"properties": object{"sender": sender["sender"], "vendor": "CLX", "vendorDeliveryId": c.uuid(), "is_rcs": false},
	})
	u.alone("SHORT_LINK_CLICK", object{"push_id": p.id, "group_id": p.group, "properties": object{"original_url": "https://www.example.com/sale"}})
	u.alone("MOBILE_ORIGINATED", object{
		"event_type": "mobile_originated_sms", "identifiers": identifiers,
		"properties": object{"inbound_message": "hours?", "keyword": "HOURS", "outbound_message": "9 to 5"},
	})
	switch c.rng.IntN(4) {
	case 0:
		comply("mobile_keyword_matched", object{"inbound_message": "hours?", "keyword": "HOURS", "outbound_message": "9 to 5"})
	case 1:
		comply("mobile_keyword_unmatched", object{"inbound_message": "what?", "outbound_message": "Text HELP"})
	case 2:
		comply("custom_keyword_response", object{"inbound_message": "deal", "outbound_message": "10 % off"})
	case 3:
		comply("rnd_scan", object{"action": "none", "reassigned": false, "scan_id": c.uuid(), "source": "monthly_scan"})
	}
	switch c.rng.IntN(4) {
	case 0:
		comply("mobile_opt_out", object{"inbound_message": "stop", "keyword": "STOP", "outbound_message": "Goodbye"})
		comply("opted_out", nil)
	case 1:
		comply("uninstall", nil)
	case 2:
		u.device = nil
		comply("carrier_deactivation", object{"action": "uninstalled"})
	case 3:
		comply("suppression_removed", object{"source": "ui"})
	}
	return u.life
}

// speaker is the life of a channel of the open platform.
func (c *cohort) speaker() []lived {
	u := &user{cohort: c, contact: object{"contact_id": c.uuid()}}
	u.device = object{"channel": c.uuid(), "device_type": "OPEN", "open_platform_name": "open::speaker"}
	u.alone("FIRST_OPT_IN", nil)
	u.does("TAG_CHANGE", object{"add": object{"device": []string{"speaker"}}})
	u.does("SUBSCRIPTION_LIST", object{"scope": "app", "enrolled": u.lists, "current": u.lists, "canceled": []string{}})
	u.does("SEND", u.push().reach())
	return u.life
}
