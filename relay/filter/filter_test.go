package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"sluice/relay/filter"
)

const (
	minute = int64(60_000)
	now    = 1_000 * minute
)

// open is an OPEN event of an Android device.
func open() *filter.Event {
	return &filter.Event{
		Type: []byte("OPEN"), ID: []byte("e-1"), Occurred: now - minute, Processed: now, Offset: 7, Now: now,
		JSON:   []byte(`{"id":"e-1","experiment_id":"x-1"}`),
		Device: []byte(`{"android_channel":"ch-1","channel":"ch-1","device_type":"ANDROID","named_user_id":"jan","attributes":{"app_version":"2.3.1-beta","ua_sdk_version":"19.0"}}`),
		User:   []byte(`{"contact_id":"co-1","named_user_id":"jan"}`),
		Body:   []byte(`{"session_id":"s","n":3,"big":9007199254740993,"ok":true,"none":null,"triggering_push":{"push_id":"p-1","group_id":"g-1"},"tags":["a","B",{"k":[1,2]}],"text":"Caf\u00e9"}`),
	}
}

func parse(t testing.TB, body string) filter.Request {
	t.Helper()
	r, err := filter.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestParse(t *testing.T) {
	r := parse(t, ``)
	if r.Start != "" || r.ResumeOffset != "" || r.Filter != nil || r.Subset != nil || r.EnableOffsetUpdates {
		t.Errorf("an empty body is %+v", r)
	}
	if r = parse(t, ` {} `); r.Filter != nil || !r.Filter.Match(open()) || !r.Subset.Match(nil) || r.Filter.Key() != "" || r.Subset.Key() != "" {
		t.Errorf("an empty request is %+v", r)
	}
	r = parse(t, `{"start":"EARLIEST","resume_offset":1245,"enable_offset_updates":true,"subset":{"type":"SAMPLE","proportion":1},"filters":{}}`)
	if r.Start != "EARLIEST" || r.ResumeOffset != "1245" || !r.EnableOffsetUpdates || r.Subset == nil || r.Filter != nil {
		t.Errorf("got %+v", r)
	}
	if r = parse(t, `{"resume_offset":"18446744073709551615"}`); r.ResumeOffset != "18446744073709551615" {
		t.Errorf("got %+v", r)
	}
	var all strings.Builder
	for range 1001 {
		all.WriteString(`,{"latency":1}`)
	}
	deep := strings.Repeat(`{"not":`, 40) + `{"key":"a","value":{"is_present":true}}` + strings.Repeat("}", 40)
	nested := strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)
	parse(t, `{"filters":{"predicates":{"key":"x","value":{"equals":`+nested+`}}}}`)
	predicate := func(p string) string { return `{"filters":{"predicates":` + p + `}}` }
	for _, tc := range []struct{ body, want string }{
		{`[]`, "The request must be a JSON object"},
		{`{`, "The request is not valid JSON: unexpected EOF"},
		{`{}x`, "The request is not valid JSON: something follows the object"},
		{"{\"a\":\"\xff\"}", "The request is not UTF-8"},
		{`{"filter":{}}`, "'filter' is not an attribute of a request"},
		{`{"a\nb":{}}`, `'a\nb' is not an attribute of a request`},
		{`{"start":"NOW"}`, "'start' must be EARLIEST or LATEST"},
		{`{"start":null}`, "'start' must be EARLIEST or LATEST"},
		{`{"resume_offset":"abc"}`, "'resume_offset' must be an offset that the stream gave"},
		{`{"resume_offset":-1}`, "'resume_offset' must be an offset that the stream gave"},
		{`{"resume_offset":""}`, "'resume_offset' must be an offset that the stream gave"},
		{`{"resume_offset":1.5}`, "'resume_offset' must be an offset that the stream gave"},
		{`{"enable_offset_updates":"true"}`, "'enable_offset_updates' must be true or false"},
		{`{"start":"LATEST","filters":{},"start":"EARLIEST"}`, "'start' is given twice"},
		{`{"filters":[{},{"types":["OPEN"],"types":["CLOSE"]}]}`, "'filters/1/types' is given twice"},
		{`{"filters":[{"predicates":{"key":"a","value":{"at_least":1,"at_\u006ceast":2}}}]}`, "'filters/0/predicates/value/at_least' is given twice"},
		{`{"filters":[]}`, "'filters' must not be empty"},
		{`{"filters":null}`, "'filters' must be an object"},
		{`{"filters":[{},1]}`, "'filters/1' must be an object"},
		{`{"filters":[{},{"type":["OPEN"]}]}`, "'filters/1/type' is not an attribute of a filter"},
		{`{"filters":[{}` + all.String() + `]}`, "'filters' must not hold more than 1000"},
		{`{"filters":{"types":[]}}`, "'filters/types' must not be empty"},
		{`{"filters":{"types":"OPEN"}}`, "'filters/types' must be an array"},
		{`{"filters":[{"types":["OPEN","OPNE"]}]}`, "'filters/0/types/1' is not an event type: OPNE"},
		{`{"filters":[{"types":["OPEN",1]}]}`, "'filters/0/types/1' must be a string"},
		{`{"filters":[{"device_types":["IOS"]}]}`, "'filters/0/device_types/0' is not a device type: IOS"},
		{`{"filters":[{"devices":{"channel":"x"}}]}`, "'filters/0/devices' must be an array"},
		{`{"filters":[{"devices":[]}]}`, "'filters/0/devices' must not be empty"},
		{`{"filters":[{"devices":[{}]}]}`, "'filters/0/devices/0' must have one of channel, named_user_id, ios_channel, android_channel, amazon_channel"},
		{`{"filters":[{"devices":[{"chanel":"x"}]}]}`, "'filters/0/devices/0/chanel' is not known here, there are channel, named_user_id, ios_channel, android_channel, amazon_channel"},
		{`{"filters":[{"devices":[{"channel":1}]}]}`, "'filters/0/devices/0/channel' must be a string that is not empty"},
		{`{"filters":[{"users":["x"]}]}`, "'filters/0/users/0' must be an object"},
		{`{"filters":[{"notifications":{"push_id":"a","group_id":"b"}}]}`, "'filters/0/notifications' must have one of push_id, group_id"},
		{`{"filters":[{"latency":-1}]}`, "'filters/0/latency' must be a whole number of milliseconds from 0"},
		{`{"filters":[{"latency":"1"}]}`, "'filters/0/latency' must be a whole number of milliseconds from 0"},
		{`{"filters":[{"latency":1.5}]}`, "'filters/0/latency' must be a whole number of milliseconds from 0"},
		{predicate(`[]`), "'filters/predicates' must not be empty"},
		{predicate(`[1]`), "'filters/predicates/0' must be an object"},
		{predicate(`{"and":[]}`), "'filters/predicates/and' must not be empty"},
		{predicate(`{"or":{}}`), "'filters/predicates/or' must be an array"},
		{predicate(`{"not":[{},{}]}`), "'filters/predicates/not' must hold one predicate"},
		{predicate(`{"not":{"key":"a","value":{"equals":1}},"key":"a"}`), "'filters/predicates/key' must not stand beside not"},
		{predicate(`{"key":"a"}`), "'filters/predicates/value' must be an object"},
		{predicate(`{"value":{"equals":1}}`), "'filters/predicates/key' is missing"},
		{predicate(`{"key":1,"value":{"equals":1}}`), "'filters/predicates/key' must be a string"},
		{predicate(`{"key":"a","scope":[],"value":{"equals":1}}`), "'filters/predicates/scope' must not be empty"},
		{predicate(`{"key":"a","scope":[1],"value":{"equals":1}}`), "'filters/predicates/scope' must be a string or an array of strings"},
		{predicate(`{"key":"a","x":1,"value":{"equals":1}}`), "'filters/predicates/x' is not an attribute of a predicate"},
		{predicate(`{"key":"a","ignore_case":1,"value":{"equals":1}}`), "'filters/predicates/ignore_case' must be true or false"},
		{predicate(`{"key":"a","value":{}}`), "'filters/predicates/value' must not be empty"},
		{predicate(`{"key":"a","value":{"like":1}}`), "'filters/predicates/value/like' is not a value matcher"},
		{predicate(`{"key":"a","value":{"equals":1,"at_least":1}}`), "'filters/predicates/value/at_least' must not stand beside equals"},
		{predicate(`{"key":"a","value":{"at_least":1,"at_most":2,"is_present":true}}`), "'filters/predicates/value/is_present' must not stand beside at_least"},
		{predicate(`{"key":"a","value":{"at_least":"1"}}`), "'filters/predicates/value/at_least' must be a number"},
		{predicate(`{"key":"a","value":{"is_present":1}}`), "'filters/predicates/value/is_present' must be true or false"},
		{predicate(`{"key":"a","value":{"version_matches":"[1.0"}}`), "'filters/predicates/value/version_matches' is not a version constraint, as 1.2.3, 1.2.+ or [1.0,2.0["},
		{predicate(`{"key":"a","value":{"array_contains":{"value":{}}}}`), "'filters/predicates/value/array_contains/value' must not be empty"},
		{predicate(`{"key":"a","value":{"array_contains":{"value":{"equals":1}},"index":-1}}`), "'filters/predicates/value/index' must be a whole number from 0"},
		{predicate(deep), "is nested deeper than 32"},
		{`{"subset":[]}`, "'subset' must be an object"},
		{`{"subset":{"type":"HALF"}}`, "'subset/type' must be SAMPLE or PARTITION"},
		{`{"subset":{"type":"SAMPLE"}}`, "'subset/proportion' must be a number from 0 to 1"},
		{`{"subset":{"type":"SAMPLE","proportion":1.1}}`, "'subset/proportion' must be a number from 0 to 1"},
		{`{"subset":{"type":"SAMPLE","proportion":0.5,"count":2}}`, "'subset/count' is not an attribute of a subset of type SAMPLE"},
		{`{"subset":{"type":"PARTITION","count":0,"selection":0}}`, "'subset/count' must be a whole number from 1"},
		{`{"subset":{"type":"PARTITION","count":2,"selection":2}}`, "'subset/selection' must be a whole number from 0 to 1"},
		{`{"subset":{"type":"PARTITION","count":2}}`, "'subset/selection' must be a whole number from 0 to 1"},
	} {
		if _, err := filter.Parse([]byte(tc.body)); err == nil || err.Error() != tc.want && !(strings.HasPrefix(tc.want, "is nested") && strings.HasSuffix(err.Error(), tc.want)) {
			t.Errorf("%.200s\n got %v\nwant %s", tc.body, err, tc.want)
		}
	}
}

func TestMatch(t *testing.T) {
	old := open()
	old.Device = []byte(`{"ios_channel":"ch-2","device_type":"IOS"}`)
	bare := &filter.Event{Type: []byte("PUSH_BODY"), ID: []byte("e-2"), Now: now, JSON: []byte(`{}`), Body: []byte(`{"push_id":"p-1","group_id":"g-1"}`)}
	for _, tc := range []struct {
		filters string
		event   *filter.Event
		want    bool
	}{
		{`{"types":["CLOSE","OPEN"]}`, open(), true},
		{`{"types":["CLOSE"]}`, open(), false},
		{`[{"types":["CLOSE"]},{"types":["OPEN"]}]`, open(), true},
		{`{"types":["OPEN"],"latency":60000}`, open(), true},
		{`{"types":["OPEN"],"latency":59999}`, open(), false},
		{`{"latency":0}`, bare, false},
		{`{"device_types":["ios","android"]}`, open(), true},
		{`{"device_types":["ios"]}`, open(), false},
		{`{"device_types":["android"]}`, bare, false},
		{`{"devices":[{"channel":"x"},{"channel":"ch-1"}]}`, open(), true},
		{`{"devices":[{"android_channel":"ch-1"}]}`, open(), true},
		{`{"devices":[{"ios_channel":"ch-1"}]}`, open(), false},
		{`{"devices":[{"channel":"ch-2"}]}`, old, true},
		{`{"devices":[{"channel":"ch-1"}]}`, old, false},
		{`{"devices":[{"channel":"ch-1","named_user_id":"piet"}]}`, open(), false},
		{`{"devices":[{"named_user_id":"jan"}]}`, open(), true},
		{`{"devices":[{"channel":"ch-1"}]}`, bare, false},
		{`{"users":[{"contact_id":"co-1"}]}`, open(), true},
		{`{"users":[{"named_user_id":"piet"}]}`, open(), false},
		{`{"users":[{"named_user_id":"jan"}]}`, bare, false},
		{`{"notifications":{"push_id":"p-1"}}`, open(), true},
		{`{"notifications":[{"push_id":"p-2"},{"group_id":"g-1"}]}`, open(), true},
		{`{"notifications":[{"push_id":"p-1"}]}`, bare, true},
		{`{"notifications":{"push_id":"g-1"}}`, bare, false},
		{`{"types":["OPEN"],"devices":[{"channel":"ch-1"}],"users":[{"contact_id":"nobody"}]}`, open(), false},
		{`{"types":["OPEN"],"latency":99999999,"predicates":[{"not":{"scope":["device"],"key":"device_type","value":{"equals":"WEB"}}}]}`, open(), true},
		{`{"predicates":[{"key":"type","value":{"equals":"CLOSE"}},{"key":"type","value":{"equals":"OPEN"}}]}`, open(), true},
	} {
		r := parse(t, `{"filters":`+tc.filters+`}`)
		if got := r.Filter.Match(tc.event); got != tc.want {
			t.Errorf("%s of %s: got %t", tc.filters, tc.event.Type, got)
		}
	}
}

func TestPredicates(t *testing.T) {
	for _, tc := range []struct {
		predicate string
		want      bool
	}{
		{`{"scope":["device"],"key":"device_type","value":{"equals":"ANDROID"}}`, true},
		{`{"scope":"device","key":"device_type","value":{"equals":"android"}}`, false},
		{`{"scope":"device","key":"device_type","value":{"equals":"android"},"ignore_case":true}`, true},
		{`{"scope":["device","device_type"],"value":{"equals":"ANDROID"}}`, true},
		{`{"key":"id","value":{"equals":"e-1"}}`, true},
		{`{"key":"offset","value":{"equals":"7"}}`, true},
		{`{"key":"occurred","value":{"equals":"1970-01-01T16:39:00.000Z"}}`, true},
		{`{"key":"processed","value":{"is_present":true}}`, true},
		{`{"key":"experiment_id","value":{"equals":"x-1"}}`, true},
		{`{"scope":["body"],"key":"n","value":{"equals":3.0}}`, true},
		{`{"scope":["body"],"key":"n","value":{"equals":"3"}}`, false},
		{`{"scope":["body"],"key":"big","value":{"equals":9007199254740993}}`, true},
		{`{"scope":["body"],"key":"big","value":{"equals":9007199254740992}}`, false},
		{`{"scope":["body"],"key":"n","value":{"at_least":3}}`, true},
		{`{"scope":["body"],"key":"n","value":{"at_least":3.01}}`, false},
		{`{"scope":["body"],"key":"n","value":{"at_least":1,"at_most":2}}`, false},
		{`{"scope":["body"],"key":"n","value":{"at_most":3}}`, true},
		{`{"scope":["body"],"key":"session_id","value":{"at_least":0}}`, false},
		{`{"scope":["body"],"key":"ok","value":{"equals":true}}`, true},
		{`{"scope":["body"],"key":"ok","value":{"equals":false}}`, false},
		{`{"scope":["body"],"key":"none","value":{"is_present":true}}`, false},
		{`{"scope":["body"],"key":"nope","value":{"is_present":false}}`, true},
		{`{"scope":["body","session_id"],"key":"x","value":{"is_present":false}}`, true},
		{`{"scope":["body","tags"],"key":"0","value":{"is_present":true}}`, false},
		{`{"scope":["body"],"key":"none","value":{"equals":null}}`, true},
		{`{"scope":["body"],"key":"text","value":{"equals":"Café"}}`, true},
		{`{"scope":["body"],"key":"text","value":{"equals":"CAFÉ"},"ignore_case":true}`, true},
		{`{"scope":["body"],"key":"triggering_push","value":{"equals":{"group_id":"g-1","push_id":"p-1"}}}`, true},
		{`{"scope":["body"],"key":"triggering_push","value":{"equals":{"push_id":"p-1"}}}`, false},
		{`{"scope":["body"],"key":"triggering_push","value":{"equals":{"push_id":"p-1","group_id":"g-1","time":null}}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"equals":["a","B",{"k":[1,2]}]}}`, true},
		{`{"scope":["body"],"key":"tags","value":{"equals":["A","b",{"k":[1,2]}]},"ignore_case":true}`, true},
		{`{"scope":["body"],"key":"triggering_push","value":{"equals":{"push_id":"p-1","group_id":"g-1","time":null}}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"equals":["a","B"]}}`, false},
		{`{"scope":["body"],"key":"triggering_push","value":{"equals":{"push_id":"p-1","group_id":"g-1","time":null}}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"equals":["a","B",{"k":[1,2]},1]}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"value":{"equals":"B"}}}}`, true},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"value":{"equals":"B"}},"index":1}}`, true},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"value":{"equals":"B"}},"index":0}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"value":{"is_present":false}},"index":9}}`, false},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"key":"k","value":{"array_contains":{"value":{"at_least":2}}}}}}`, true},
		{`{"scope":["body"],"key":"tags","value":{"array_contains":{"not":{"value":{"equals":"a"}}},"index":0}}`, false},
		{`{"scope":["body"],"key":"text","value":{"array_contains":{"value":{"is_present":true}}}}`, false},
		{`{"scope":["device","attributes"],"key":"app_version","value":{"version_matches":"2.3.1"}}`, true},
		{`{"scope":["device","attributes"],"key":"ua_sdk_version","value":{"version_matches":"[19,20["}}`, true},
		{`{"scope":["body"],"key":"n","value":{"version_matches":"+"}}`, false},
		{`{"and":[{"key":"type","value":{"equals":"OPEN"}},{"key":"id","value":{"equals":"x"}}]}`, false},
		{`{"or":[{"key":"type","value":{"equals":"OPEN"}},{"key":"id","value":{"equals":"x"}}]}`, true},
		{`{"or":[{"key":"type","value":{"equals":"x"}},{"key":"id","value":{"equals":"x"}}]}`, false},
		{`{"not":[{"key":"type","value":{"equals":"x"}}]}`, true},
	} {
		r := parse(t, `{"filters":{"predicates":`+tc.predicate+`}}`)
		if got := r.Filter.Match(open()); got != tc.want {
			t.Errorf("%s: got %t", tc.predicate, got)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		constraint string
		yes, no    []string
	}{
		{"+", []string{"", "x"}, nil},
		{"1.0.+", []string{"1.0.1", "1.0.", "1.0.1-beta"}, []string{"1.0", "1.1.0"}},
		{" 1.0 + ", []string{"1.0", "1.01", "1.0.1"}, []string{"1.1"}},
		{"1.2.3", []string{"1.2.3", "1.2.3-rc1"}, []string{"1.2.3.0", "1.2", "1.2.30"}},
		{"1.2-SNAPSHOT", []string{"1.2", "1.2-x", " 1.2 "}, []string{"1.2.0"}},
		{"1.0-rc1+", []string{"1.0", "1.0-alpha", "1.01-beta"}, []string{"1", "1.11", "2-SNAPSHOT"}},
		{"[1.0, 2.0]", []string{"1", "1.0.0", "2.0", "1.9.9.foo", "1.5-beta", "2.0-rc1", " 1.5 "}, []string{"0.9", "2.0.1", "3.0-alpha", "x", "", "-1", "1.5beta"}},
		{"[1.0-alpha, 2.0-alpha01]", []string{"1.0", "1.9.9-rc1", "2.0"}, []string{"0.9", "2.0.1", "3.0-alpha"}},
		{"]17.0.0-beta,)", []string{"17.0.1-rc", "18-SNAPSHOT"}, []string{"17.0.0", "17.0.0-rc"}},
		{"[1.0,2.0[", []string{"1.0", "1.9.9"}, []string{"2.0", "2"}},
		{"]1.0,2.0]", []string{"1.0.1", "2"}, []string{"1.0", "1"}},
		{"]1.0,2.0[", []string{"1.5"}, []string{"1", "2"}},
		{"[1.0,)", []string{"1", "99"}, []string{"0.9"}},
		{"]1.0,)", []string{"1.0.1"}, []string{"1.0"}},
		{"(,2.0]", []string{"2", "0"}, []string{"2.0.1"}},
		{"(,2.0[", []string{"1.9"}, []string{"2"}},
	} {
		r := parse(t, fmt.Sprintf(`{"filters":{"predicates":{"key":"v","value":{"version_matches":%q}}}}`, tc.constraint))
		for _, all := range []struct {
			versions []string
			want     bool
		}{{tc.yes, true}, {tc.no, false}} {
			for _, v := range all.versions {
				if got := r.Filter.Match(&filter.Event{JSON: fmt.Appendf(nil, `{"v":%q}`, v)}); got != all.want {
					t.Errorf("%s in %s: got %t", v, tc.constraint, got)
				}
			}
		}
	}
	for _, c := range []string{"", "x", "(1.0,2.0]", "[1.0,2.0)", "[,1.0]", "[1.0,]", "[a,b]", "[-1,2]", "1.a", "latest.release", "[1.0"} {
		if _, err := filter.Parse(fmt.Appendf(nil, `{"filters":{"predicates":{"key":"v","value":{"version_matches":%q}}}}`, c)); err == nil {
			t.Errorf("%q is taken", c)
		}
	}
}

func TestCompliance(t *testing.T) {
	event := func(kind, device string) *filter.Event {
		return &filter.Event{Type: []byte(kind), Now: now, Occurred: now, Device: fmt.Appendf(nil, `{"device_type":%q}`, device)}
	}
	all, err := filter.ParseCompliance([]byte(`{"start":"LATEST"}`))
	if err != nil || all.Start != "LATEST" || !all.Filter.Match(event("COMPLIANCE", "SMS")) || all.Filter.Match(event("OPEN", "SMS")) {
		t.Errorf("without filters: %+v, %v", all, err)
	}
	mail, err := filter.ParseCompliance([]byte(`{"filters":[{"device_types":["email"],"latency":5}]}`))
	if err != nil || !mail.Filter.Match(event("COMPLIANCE", "EMAIL")) || mail.Filter.Match(event("COMPLIANCE", "SMS")) || mail.Filter.Match(event("OPEN", "EMAIL")) {
		t.Errorf("mail only: %v", err)
	}
	for _, body := range []string{`{"filters":[{"device_types":["ios"]}]}`, `{"filters":[{"types":["COMPLIANCE"]}]}`} {
		if _, err := filter.ParseCompliance([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func TestNew(t *testing.T) {
	if f, err := filter.New(nil, nil); f != nil || err != nil {
		t.Errorf("nothing: %v, %v", f, err)
	}
	f, err := filter.New([]string{"page_view", "OPEN"}, nil)
	if err != nil || !f.Match(open()) || fmt.Sprint(f.Types()) != "[OPEN page_view]" {
		t.Errorf("types: %v, %v", f, err)
	}
	f, err = filter.New([]string{"CUSTOM"}, []byte(`[{"types":["OPEN","CUSTOM"]},{"types":["CLOSE"]}]`))
	if err != nil || f.Match(open()) || fmt.Sprint(f.Types()) != "[CUSTOM]" {
		t.Errorf("both: %v, %v", f.Types(), err)
	}
	f, err = filter.New([]string{"CUSTOM"}, []byte(`{"types":["OPEN"]}`))
	if err != nil || f.Match(open()) || len(f.Types()) != 0 || f.Types() == nil {
		t.Errorf("nothing in common: %v, %v", f, err)
	}
	if f = parse(t, `{"filters":[{"types":["OPEN"]},{"latency":1}]}`).Filter; f.Types() != nil {
		t.Errorf("all types: %v", f.Types())
	}
	for _, bad := range []string{`[]`, `1`, `{"x":1}`, `{`} {
		if _, err := filter.New(nil, []byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if _, err := filter.New([]string{""}, nil); err == nil {
		t.Error("an empty type is taken")
	}
}

func TestKeys(t *testing.T) {
	key := func(filters string) string { return parse(t, `{"filters":`+filters+`}`).Filter.Key() }
	for _, same := range [][2]string{
		{`{"types":["OPEN","CLOSE"],"latency":5}`, `[{"latency":5.0,"types":["CLOSE","OPEN","OPEN"]}]`},
		{`[{"types":["OPEN"]},{"types":["CLOSE"]}]`, `[{"types":["CLOSE"]},{"types":["OPEN"]},{"types":["CLOSE"]}]`},
		{`{"devices":[{"channel":"a","named_user_id":"b"},{"channel":"c"}]}`, `{"devices":[{"channel":"c"},{"named_user_id":"b","channel":"a"}]}`},
		{`{"notifications":{"push_id":"a"}}`, `{"notifications":[{"push_id":"a"}]}`},
		{`{"predicates":{"or":[{"key":"a","value":{"equals":1.0}},{"key":"b","value":{"equals":{"x":1,"y":2}}}]}}`,
			`{"predicates":[{"or":[{"scope":"b","value":{"equals":{"y":2,"x":1}}},{"key":"a","value":{"equals":1.0}}]}]}`},
		{`[{"types":["OPEN"]},{}]`, `{}`},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%s\n%s\ndiffer", same[0], same[1])
		}
	}
	seen := map[string]string{}
	for _, f := range []string{
		`{}`, `{"types":["OPEN"]}`, `{"types":["CLOSE"]}`, `{"types":["OPEN"],"latency":1}`, `{"latency":1}`, `[{"types":["OPEN"]},{"latency":1}]`,
		`{"devices":[{"channel":"a"}]}`, `{"devices":[{"channel":"a"},{"named_user_id":"b"}]}`, `{"devices":[{"channel":"a","named_user_id":"b"}]}`,
		`{"users":[{"named_user_id":"b"}]}`, `{"devices":[{"named_user_id":"b"}]}`, `{"notifications":{"push_id":"a"}}`, `{"notifications":{"group_id":"a"}}`,
		`{"predicates":{"key":"a","value":{"equals":1}}}`, `{"predicates":{"key":"a","value":{"equals":"1"}}}`, `{"predicates":{"not":{"key":"a","value":{"equals":1}}}}`,
		`{"predicates":{"scope":["a","b"],"value":{"equals":1}}}`, `{"predicates":{"scope":["a.b"],"value":{"equals":1}}}`, `{"predicates":{"scope":["b","a"],"value":{"equals":1}}}`,
		`{"predicates":{"key":"a","value":{"at_least":1}}}`, `{"predicates":{"key":"a","value":{"at_most":1}}}`, `{"predicates":{"key":"a","ignore_case":true,"value":{"equals":"1"}}}`,
		`{"predicates":{"key":"a","value":{"array_contains":{"value":{"equals":1}}}}}`, `{"predicates":{"key":"a","value":{"array_contains":{"value":{"equals":1}},"index":0}}}`,
		`{"predicates":{"key":"a","value":{"equals":[1,2]}}}`, `{"predicates":{"key":"a","value":{"equals":[2,1]}}}`,
		`{"predicates":{"key":"a","value":{"is_present":true}}}`, `{"predicates":{"key":"a","value":{"version_matches":"1"}}}`,
	} {
		if other, ok := seen[key(f)]; ok {
			t.Errorf("%s\n%s\nhave the same key", f, other)
		}
		seen[key(f)] = f
	}
}

func TestSubsets(t *testing.T) {
	subset := func(s string) *filter.Subset { return parse(t, `{"subset":`+s+`}`).Subset }
	const events = 20000
	ids := make([][]byte, events)
	for i := range ids {
		ids[i] = fmt.Appendf(nil, "id-%d", i)
	}
	parts := make([]*filter.Subset, 10)
	for i := range parts {
		parts[i] = subset(fmt.Sprintf(`{"type":"PARTITION","count":10,"selection":%d}`, i))
	}
	sample := subset(`{"type":"SAMPLE","proportion":0.1}`)
	counts := make([]int, len(parts))
	sampled, sampledOfFirst := 0, 0
	for _, id := range ids {
		in := 0
		for i, p := range parts {
			if p.Match(id) {
				counts[i]++
				in++
			}
		}
		if in != 1 {
			t.Fatalf("%s is in %d partitions", id, in)
		}
		if sample.Match(id) {
			sampled++
			if parts[0].Match(id) {
				sampledOfFirst++
			}
		}
	}
	for i, n := range counts {
		if n < events/10*9/10 || n > events/10*11/10 {
			t.Errorf("partition %d has %d of %d events", i, n, events)
		}
	}
	if sampled < events/10*9/10 || sampled > events/10*11/10 || sampledOfFirst < events/100/2 || sampledOfFirst > events/100*2 {
		t.Errorf("a tenth is %d of %d events, %d of them of the first partition", sampled, events, sampledOfFirst)
	}
	none, all := subset(`{"type":"SAMPLE","proportion":0}`), subset(`{"type":"SAMPLE","proportion":1}`)
	for _, id := range ids[:100] {
		if none.Match(id) || !all.Match(id) {
			t.Fatal("none or all are not what they say")
		}
	}
	// Ids must stay in their partition for ever: consumers divide the work by it.
	for id, want := range map[string]int{"a": 5, "id-1": 5, "7e7f5990-d277-4636-b22c-912cb2ca2ec9": 2} {
		for i, p := range parts {
			if p.Match([]byte(id)) != (i == want) {
				t.Errorf("%s is in partition %d: %t", id, i, p.Match([]byte(id)))
			}
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	e := open()
	e.Body = []byte(`{"n":3,"triggering_push":{"push_id":"p-1"}}`) // without escapes, which gjson copies
	for _, f := range []string{
		`{"types":["OPEN"],"latency":60000,"device_types":["ios","android"]}`,
		`{"devices":[{"channel":"ch-1","named_user_id":"jan"}],"users":[{"contact_id":"co-1"}]}`,
		`{"notifications":{"push_id":"p-1"}}`,
		`{"predicates":{"and":[{"scope":["device"],"key":"device_type","value":{"equals":"ANDROID"}},{"scope":"body","key":"n","value":{"at_least":2}}]}}`,
	} {
		r := parse(t, `{"filters":`+f+`}`)
		if !r.Filter.Match(e) {
			t.Fatalf("%s does not match", f)
		}
		if n := testing.AllocsPerRun(100, func() { r.Filter.Match(e) }); n != 0 {
			t.Errorf("%s: %v allocations", f, n)
		}
	}
	s := parse(t, `{"subset":{"type":"PARTITION","count":4,"selection":1}}`).Subset
	if n := testing.AllocsPerRun(100, func() { s.Match(e.ID) }); n != 0 {
		t.Errorf("subset: %v allocations", n)
	}
}

// An event that takes the memory of the one before costs nothing, and shows nothing of that one.
func TestNextEvent(t *testing.T) {
	f := parse(t, `{"filters":[{"devices":[{"channel":"ch-1"}]},{"predicates":{"scope":["body","triggering_push"],"key":"push_id","value":{"is_present":true}}}]}`).Filter
	full, bare := open(), filter.Event{Type: []byte("OPEN"), JSON: []byte(`{}`)}
	full.Body = []byte(`{"triggering_push":{"push_id":"p-1"}}`)
	var e filter.Event
	both := func() {
		e.Next(*full)
		if !f.Match(&e) {
			t.Error("the event does not pass")
		}
		e.Next(bare)
		if f.Match(&e) {
			t.Error("the next event passes by what the one before had")
		}
	}
	both()
	if n := testing.AllocsPerRun(100, both); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whoever is named by several members must have them all, and who is named by one is found among many.
func TestManySelectors(t *testing.T) {
	var users []string
	for i := range 999 {
		users = append(users, fmt.Sprintf(`{"contact_id":"person-%d"}`, i))
	}
	users = append(users, `{"contact_id":"co-1","named_user_id":"piet"}`)
	f := parse(t, `{"filters":{"users":[`+strings.Join(users, ",")+`]}}`).Filter
	for user, want := range map[string]bool{
		`{"contact_id":"person-0"}`:                         true,
		`{"contact_id":"person-998","named_user_id":"jan"}`: true,
		`{"contact_id":"person-999"}`:                       false,
		`{"named_user_id":"person-5"}`:                      false,
		`{"contact_id":"co-1","named_user_id":"piet"}`:      true,
		`{"contact_id":"co-1","named_user_id":"jan"}`:       false,
		`{"contact_id":"co-1"}`:                             false,
		`{"contact_id":5}`:                                  false,
		`["person-0"]`:                                      false,
		`"person-0"`:                                        false,
		``:                                                  false,
	} {
		if got := f.Match(&filter.Event{Type: []byte("OPEN"), User: []byte(user)}); got != want {
			t.Errorf("user %s: got %t", user, got)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	e := open()
	for name, f := range map[string]string{
		"type":      `{"types":["CLOSE"]}`,
		"device":    `{"types":["OPEN"],"device_types":["android"]}`,
		"predicate": `{"predicates":{"scope":["device","attributes"],"key":"app_version","value":{"version_matches":"[2.0,3.0["}}}`,
	} {
		r := parse(b, `{"filters":`+f+`}`)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Filter.Match(e)
			}
		})
	}
}
