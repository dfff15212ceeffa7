package filters

import (
	"fmt"
	"strconv"
	"time"
)

// How many there are of what the events and the filters name.
const (
	people    = 5000
	pushes    = 100
	items     = 60
	regions   = 25
	lateEvery = 10 // one event of so many occurred an hour before it is sent
)

// idDigits of an event's id are its number.
const idDigits = 8

var (
	types     = []string{"CUSTOM", "OPEN", "CLOSE", "SEND", "TAG_CHANGE", "SCREEN_VIEWED", "REGION", "LOCATION", "UNINSTALL", "PUSH_BODY", "RICH_READ", "FEATURE_FLAG_INTERACTION", "SEND_REJECTED", "CONTACT_CHANGE"}
	platforms = []string{"IOS", "ANDROID", "AMAZON"}
	countries = []string{"NL", "BE", "DE", "FR", "ES", "PT", "IT", "GB", "IE", "DK", "SE", "NO", "FI", "PL", "CZ", "AT", "CH", "GR", "US", "CA"}
)

// dice are the choices made for one event: they follow from its number alone.
type dice uint64

func (d *dice) roll(n int) int {
	// SplitMix64, whose neighbouring seeds have nothing in common.
	*d += 0x9e3779b97f4a7c15
	x := uint64(*d)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(n))
}

// Event appends event n as it is sent at a time: Airship's envelope without what the server adds, compact, device, user
// and body last. The same n and time make the same text.
func Event(dst []byte, n int, at time.Time) []byte {
	d := dice(n)
	kind := types[d.roll(len(types))]
	person, push := d.roll(people), d.roll(pushes)
	if d.roll(lateEvery) == 0 {
		at = at.Add(-time.Hour)
	}
	dst = fmt.Appendf(dst, `{"id":"f-%0*d","type":%q,"occurred":%q,`, idDigits, n, kind, at.UTC().Format("2006-01-02T15:04:05.000Z"))
	if kind == "PUSH_BODY" {
		return fmt.Appendf(dst, `"body":{"push_id":"push-%d","group_id":"group-%d","payload":"e30=","resource":"PUSH","trimmed":false}}`, push, push/4)
	}
	platform := platforms[d.roll(len(platforms))]
	if kind == "SCREEN_VIEWED" && d.roll(2) == 0 {
		dst = fmt.Appendf(dst, `"device":{"channel":"web-%d","device_type":"WEB","named_user_id":"person-%d"},`, person, person)
	} else {
		dst = fmt.Appendf(dst, `"device":{"channel":"channel-%d","device_type":%q,"named_user_id":"person-%d","attributes":{"app_version":"%d.%d.%d","locale_country_code":%q,"push_opt_in":"true"}},`,
			person, platform, person, 1+d.roll(4), d.roll(10), d.roll(30), countries[d.roll(len(countries))])
	}
	dst = fmt.Appendf(dst, `"user":{"named_user_id":"person-%d","contact_id":"contact-%d"},"body":{"session_id":"session-%d",`, person, person%4000, person)
	switch kind {
	case "CUSTOM":
		dst = fmt.Appendf(dst, `"name":%q,`, []string{"purchased", "Purchased", "browsed", "abandoned"}[d.roll(4)])
	case "OPEN":
		dst = fmt.Appendf(dst, `"triggering_push":{"push_id":"push-%d","group_id":"group-%d"},`, push, push/4)
	case "SEND", "SEND_REJECTED":
		dst = fmt.Appendf(dst, `"push_id":"push-%d","group_id":"group-%d",`, push, push/4)
	case "REGION":
		dst = fmt.Appendf(dst, `"action":"enter","region_id":"region-%d","source_info":{"source":"gimbal"},`, d.roll(regions))
	case "LOCATION":
		dst = append(dst, `"foreground":true,"latitude":"52.3","longitude":"4.9",`...)
	case "UNINSTALL":
		dst = append(dst, `"decay":false,`...)
	case "FEATURE_FLAG_INTERACTION":
		dst = append(dst, `"eligible":true,"flag_id":"flag-1","flag_name":"new-checkout",`...)
	}
	dst = append(dst, `"properties":{`...)
	if d.roll(2) == 0 {
		dst = fmt.Appendf(dst, `"coupon":"c-%d",`, d.roll(20))
	}
	dst = append(dst, `"amount":`...)
	dst = strconv.AppendFloat(dst, float64(d.roll(100_000))/100, 'f', -1, 64)
	dst = append(dst, `,"items":[`...)
	for i := range 1 + d.roll(3) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = fmt.Appendf(dst, `"item-%d"`, d.roll(items))
	}
	return append(dst, "]}}}"...)
}

// Locations is how many of the first n events are locations, which integrations are not shown unless they say so.
func Locations(n int) (count int) {
	for i := range n {
		if d := dice(i); types[d.roll(len(types))] == "LOCATION" {
			count++
		}
	}
	return count
}

// Filter is the i-th of any number of filters, as the member `filters` of a request has it. Those below 200 are
// different from each other, and take every road through the language; about one event of a hundred passes one.
func Filter(i int) string {
	kind, k := i%10, i/10
	d := dice(1<<40 + i)
	country, platform := countries[k%len(countries)], platforms[k%len(platforms)]
	in := func(c string) string {
		return fmt.Sprintf(`{"scope":["device","attributes"],"key":"locale_country_code","value":{"equals":%q}}`, c)
	}
	amount := func(least, most int) string {
		return fmt.Sprintf(`{"scope":["body","properties"],"key":"amount","value":{"at_least":%d,"at_most":%d}}`, least, most)
	}
	switch kind {
	case 0:
		return fmt.Sprintf(`[{"types":[%q],"device_types":[%q],"predicates":[%s]}]`, offered(k), []string{"ios", "android", "amazon"}[k%3], amount(20*k, 20*k+400))
	case 1:
		return fmt.Sprintf(`[{"types":[%q,%q],"predicates":[%s,%s]}]`, offered(k), offered(k+1), in(country), in(countries[(k+7)%len(countries)]))
	case 2:
		return "[{" + many("devices", "named_user_id", "person", people, 45, &d) + "}]"
	case 3:
		return "[{" + many("users", "contact_id", "contact", 4000, 40, &d) + "}]"
	case 4:
		return fmt.Sprintf(`[{"notifications":[{"push_id":"push-%d"},{"group_id":"group-%d"}]}]`, k, k%25)
	case 5:
		return fmt.Sprintf(`{"types":[%q,%q],"predicates":{"scope":["device","attributes"],"key":"app_version","value":{"version_matches":"[%d.%d,%d.%d["}}}`,
			offered(k), offered(k+5), 1+k%4, k%7, 1+k%4, k%7+2)
	case 6:
		return fmt.Sprintf(`[{"predicates":[{"scope":["body","properties"],"key":"items","value":{"array_contains":{"value":{"equals":"item-%d"}},"index":%d}}]}]`, 2*k, k%2)
	case 7:
		return fmt.Sprintf(`[{"predicates":[{"and":[{"or":[%s,%s]},{"not":{"scope":"device","key":"device_type","value":{"equals":%q}}},%s]}]}]`,
			in(country), in(countries[(k+3)%len(countries)]), platform, amount(10*k, 10*k+100))
	case 8:
		return fmt.Sprintf(`[{"latency":600000,"types":[%q],"predicates":[{"scope":["body","properties"],"key":"coupon","value":{"is_present":%t}},{"scope":"body","key":"name","ignore_case":true,"value":{"equals":"PURCHASED"}}]},{"latency":600000,"types":["REGION"],"predicates":[{"scope":"body","key":"region_id","value":{"equals":"region-%d"}}]}]`,
			[]string{"SEND_REJECTED", "CONTACT_CHANGE"}[k%2], k%4 < 2, k)
	default:
		// Two that are ORed: the first rests on nothing but what lies beside the event's JSON, the second passes nothing.
		return fmt.Sprintf(`[{"types":["CUSTOM"],"device_types":[%q],"predicates":[%s]},{"types":["CLOSE"],"device_types":["email"]},{"predicates":[{"scope":["body","properties"],"key":"coupon","value":{"equals":"c-%d and no more"}}]}]`,
			[]string{"ios", "android", "amazon"}[k%3], in(country), k)
	}
}

// offered is a type that a filter may ask for without being entitled to locations.
func offered(k int) string {
	if t := types[k%len(types)]; t != "LOCATION" && t != "PUSH_BODY" {
		return t
	}
	return "CUSTOM"
}

func many(attribute, name, prefix string, of, n int, d *dice) string {
	text := strconv.Quote(attribute) + ":["
	for i := range n {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{%q:"%s-%d"}`, name, prefix, d.roll(of))
	}
	return text + "]"
}
