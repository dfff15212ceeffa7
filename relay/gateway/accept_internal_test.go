package gateway

import "testing"

// fields is the header of a request, as net/http would give it.
type fields map[string][]string

func (f fields) Peek(name string) []byte {
	if v := f[name]; len(v) > 0 {
		return []byte(v[0])
	}
	return nil
}

func (f fields) PeekAll(name string) (all [][]byte) {
	for _, v := range f[name] {
		all = append(all, []byte(v))
	}
	return all
}

func TestAcceptEncoding(t *testing.T) {
	table := []struct {
		say     []string // nil: nothing is said
		asked   bool     // what a raw stream goes by
		allowed bool     // what /api/events goes by
	}{
		{nil, false, true},
		{[]string{""}, false, false},
		{[]string{"gzip"}, true, true},
		{[]string{"GZip"}, true, true},
		{[]string{"x-gzip"}, true, true},
		{[]string{"gzip, deflate, br"}, true, true},
		{[]string{"deflate", "gzip"}, true, true},
		{[]string{"identity"}, false, false},
		{[]string{"deflate, br"}, false, false},
		{[]string{"gzip;q=0"}, false, false},
		{[]string{"gzip;q=0.000"}, false, false},
		{[]string{"gzip ; Q=0.001"}, true, true},
		{[]string{"gzip;q=0.5, identity;q=0.9"}, false, false},
		{[]string{"gzip;q=0.5, identity;q=0.5"}, true, true},
		{[]string{"gzip;q=1.0, identity;q=0"}, true, true},
		{[]string{"*"}, false, true},
		{[]string{"*;q=0"}, false, false},
		{[]string{"gzip;q=0, *"}, false, false},
		{[]string{"identity, *;q=0.1"}, false, false},
		{[]string{"gzip;q=high"}, false, false},
		{[]string{"gzip;q=2"}, false, false},
		{[]string{"gzip;q=NaN"}, false, false},
		{[]string{"zgzip"}, false, false},
		{[]string{",,gzip,,"}, true, true},
	}
	for _, row := range table {
		f := fields{}
		if row.say != nil {
			f["Accept-Encoding"] = row.say
		}
		e := acceptEncoding(f)
		if e.asked() != row.asked || e.allowed() != row.allowed {
			t.Errorf("%q: asked %v, allowed %v", row.say, e.asked(), e.allowed())
		}
	}
}

func TestAccept(t *testing.T) {
	table := []struct {
		say      []string
		version3 bool
		served   bool
	}{
		{nil, true, false},
		{[]string{""}, true, false},
		{[]string{"*/*"}, true, false},
		{[]string{"application/json"}, true, false},
		{[]string{"application/vnd.urbanairship+x-ndjson;version=3;"}, true, false},
		{[]string{"application/vnd.urbanairship+x-ndjson; version=3;"}, true, false},
		{[]string{`application/vnd.urbanairship+x-ndjson; version="3"`}, true, false},
		{[]string{"application/vnd.urbanairship+x-ndjson; version=2;"}, false, false},
		{[]string{"application/vnd.urbanairship+x-ndjson; Version = 4"}, false, false},
		{[]string{"application/x; version=2, application/x; version=3"}, true, false},
		{[]string{"application/x; version=2, */*"}, true, false},
		{[]string{"application/x; version=2", "application/x; version=4"}, false, false},
		{[]string{"text/event-stream"}, true, true},
		{[]string{"Text/Event-Stream; q=1"}, true, true},
		{[]string{"text/event-stream, */*;q=0.1"}, true, true},
		{[]string{"application/x-ndjson", "text/event-stream;q=0.9"}, true, false},
		{[]string{"text/event-stream;q=0"}, true, false},
	}
	for _, row := range table {
		f := fields{}
		if row.say != nil {
			f["Accept"] = row.say
		}
		if got := wantsVersion3(f); got != row.version3 {
			t.Errorf("%q: version 3 %v", row.say, got)
		}
		if got := wantsServerEvents(f); got != row.served {
			t.Errorf("%q: server-sent events %v", row.say, got)
		}
	}
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"gzip;q=0.5, identity", "*;q=", ";;;,,,=", "a;version=3;q=1,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := fields{"Accept-Encoding": {s}, "Accept": {s}}
		e := acceptEncoding(h)
		if e.asked() && !e.allowed() {
			t.Errorf("%q: asked for but not allowed", s)
		}
		wantsVersion3(h)
		wantsServerEvents(h)
	})
}
