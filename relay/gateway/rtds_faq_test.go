package gateway_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/sample"
)

// happened is an event of one device, and how long ago it occurred.
type happened struct {
	id, kind string
	ago      time.Duration
}

func (h happened) line(at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"occurred":%q,"device":{"channel":"c","device_type":"IOS"},"body":{"push_id":"p","name":"n","decay":true,"payload":"e30=","resource":"PUSH","trimmed":false}}`,
		h.id, h.kind, at.Add(-h.ago).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// sends puts events into a stream of Airship events, one request each, and gives the time that their ages count back from.
func (e *edge) sends(st made, all ...happened) (at time.Time) {
	e.t.Helper()
	at = time.Now().Truncate(time.Millisecond)
	for _, h := range all {
		e.want(204, "POST", "/event", st.token, h.line(at), "Strm-Schema-Ref", "airship/event/3.0.0")
	}
	return at
}

// reads opens the stream of events from its beginning.
func (e *edge) reads(st made, rest string) *endless {
	e.t.Helper()
	return e.open("POST", "/api/events/", st.token, `{"start":"EARLIEST"`+rest+`}`, gunzip(e.t))
}

// ids reads so many events and gives their ids.
func (s *endless) ids(n int) string {
	var all []string
	for range n {
		all = append(all, s.object()["id"].(string))
	}
	return strings.Join(all, " ")
}

func when(t *testing.T, v any) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestFAQ answers the questions that customers of Airship's Real-Time Data Streaming ask, each by a test of its name.
func TestFAQ(t *testing.T) {
	const quick = 50 * time.Millisecond
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = quick })

	t.Run("why do some events occur multiple times", func(t *testing.T) {
		st := e.app("twice")
		e.sends(st, happened{"a", "OPEN", 0}, happened{"b", "CLOSE", 0}, happened{"a", "OPEN", 0}, happened{"c", "OPEN", 0})
		if got := e.reads(st, "").ids(3); got != "a b c" {
			t.Errorf("there are %s", got)
		}
		// Whichever part of the stream an id belongs to, no other part has it.
		var parts []string
		for k := range 3 {
			s := e.reads(st, fmt.Sprintf(`,"subset":{"type":"PARTITION","count":3,"selection":%d}`, k))
			for s.lines.Scan() && s.lines.Text() != "" { // a blank line comes when there is no more
				var v struct{ ID string }
				e.must(json.Unmarshal(s.lines.Bytes(), &v))
				parts = append(parts, v.ID)
			}
			s.end()
		}
		slices.Sort(parts)
		if got := strings.Join(parts, " "); got != "a b c" {
			t.Errorf("all parts have %s", got)
		}
	})

	t.Run("why do events occurred in the fairly distant past", func(t *testing.T) {
		st := e.app("past")
		const day = 24 * time.Hour
		at := e.sends(st, happened{"old", "OPEN", 89 * day}, happened{"late", "OPEN", time.Hour}, happened{"new", "OPEN", 0})
		a := e.want(400, "POST", "/event", st.token, happened{"too-old", "OPEN", 91 * day}.line(at), "Strm-Schema-Ref", "airship/event/3.0.0")
		if !strings.Contains(a.body, "90 days") {
			t.Errorf("refused with %s", a.body)
		}
		s := e.reads(st, "")
		if v := s.object(); v["id"] != "old" || !when(t, v["occurred"]).Equal(at.Add(-89*day)) {
			t.Errorf("%v", v)
		}
		if got := s.ids(2); got != "late new" {
			t.Errorf("then %s", got)
		}
		if got := e.reads(st, `,"filters":{"latency":1800000}`).ids(1); got != "new" {
			t.Errorf("with a stricter latency %s", got)
		}
	})

	t.Run("why did events occur in the future or after they were processed", func(t *testing.T) {
		st := e.app("future")
		before := time.Now().Truncate(time.Millisecond)
		at := e.sends(st, happened{"soon", "OPEN", -4 * time.Minute}, happened{"far", "OPEN", -6 * time.Minute}, happened{"year", "OPEN", -9000 * time.Hour})
		s := e.reads(st, "")
		if v := s.object(); !when(t, v["occurred"]).Equal(at.Add(4*time.Minute)) || !when(t, v["processed"]).Before(when(t, v["occurred"])) {
			t.Errorf("a clock that is a little ahead: %v", v)
		}
		for range 2 {
			v := s.object()
			if now := when(t, v["occurred"]); now.Before(before) || now.After(time.Now()) {
				t.Errorf("a clock that is far ahead: %v", v)
			}
		}
	})

	t.Run("why are occurred and processed out of order", func(t *testing.T) {
		st := e.app("disorder")
		e.sends(st, happened{"3", "OPEN", time.Minute}, happened{"1", "CLOSE", time.Hour}, happened{"2", "OPEN", 30 * time.Minute}, happened{"4", "OPEN", -time.Minute})
		// Events come as they arrived; where a client goes on is told by offsets, which only grow, not by times.
		s := e.reads(st, "")
		var offsets []uint64
		for _, want := range []string{"3", "1", "2", "4"} {
			v := s.object()
			if v["id"] != want {
				t.Errorf("%v in place of %s", v, want)
			}
			o, err := strconv.ParseUint(v["offset"].(string), 10, 64)
			e.must(err)
			offsets = append(offsets, o)
		}
		if !slices.IsSorted(offsets) || len(slices.Compact(slices.Clone(offsets))) != 4 {
			t.Errorf("offsets %v", offsets)
		}
		s = e.open("POST", "/api/events", st.token, fmt.Sprintf(`{"resume_offset":"%d"}`, offsets[1]), gunzip(t))
		if got := s.ids(2); got != "2 4" {
			t.Errorf("resumed behind the oldest: %s", got)
		}
	})

	t.Run("why do some events seem to be missing", func(t *testing.T) {
		st := e.app("missing")
		// What never came does not hold up what did, and what comes late comes.
		e.sends(st, happened{"open-1", "OPEN", time.Minute}, happened{"open-2", "OPEN", 0}, happened{"close-of-yesterday", "CLOSE", 20 * time.Hour})
		if got := e.reads(st, "").ids(3); got != "open-1 open-2 close-of-yesterday" {
			t.Errorf("%s", got)
		}
	})

	t.Run("why both a SEND and an UNINSTALL on iOS but only an UNINSTALL on Android", func(t *testing.T) {
		l, last, seen := sample.NewLives(5), map[string]string{}, map[string]int{}
		for range 3000 {
			var v struct {
				Type   string
				Device struct {
					Channel string `json:"channel"`
					Kind    string `json:"device_type"`
				}
			}
			e.must(json.Unmarshal(l.Next(nil, time.Now()), &v))
			if v.Type == "UNINSTALL" && (v.Device.Kind == "IOS" || v.Device.Kind == "ANDROID") {
				seen[v.Device.Kind]++
				if sent := last[v.Device.Channel] == "SEND"; sent != (v.Device.Kind == "IOS") {
					t.Errorf("an UNINSTALL of %s behind %s", v.Device.Kind, last[v.Device.Channel])
				}
			}
			last[v.Device.Channel] = v.Type
		}
		if seen["IOS"] == 0 || seen["ANDROID"] == 0 {
			t.Errorf("%v", seen)
		}
	})

	t.Run("why a PUSH_BODY for a push that went to 0 devices", func(t *testing.T) {
		st := e.app("nobody")
		e.want(204, "POST", "/event", st.token, `{"id":"push","type":"PUSH_BODY","occurred":"`+time.Now().UTC().Format(time.RFC3339)+
			`","body":{"push_id":"p0","resource":"PUSH","trimmed":false,"payload":"e30="}}`, "Strm-Schema-Ref", "airship/event/3.0.0")
		e.sends(st, happened{"other", "OPEN", 0})
		s := e.reads(st, `,"filters":[{"notifications":{"push_id":"p0"}},{"types":["OPEN"]}]`)
		if v := s.object(); v["id"] != "push" || v["device"] != nil {
			t.Errorf("%v", v)
		}
		if got := s.ids(1); got != "other" {
			t.Errorf("then %s", got)
		}
		// It is nobody's: who asks for devices does not get it.
		if got := e.reads(st, `,"filters":{"device_types":["ios"]}`).ids(1); got != "other" {
			t.Errorf("%s", got)
		}
	})

	t.Run("why a SEND for a device that never received anything", func(t *testing.T) {
		st := e.app("unheard")
		e.sends(st, happened{"sent", "SEND", time.Minute}, happened{"gone", "UNINSTALL", 0})
		if got := e.reads(st, "").ids(2); got != "sent gone" {
			t.Errorf("%s", got)
		}
	})

	t.Run("why an HTTP 402", func(t *testing.T) {
		e := newEdge(t, func(c *gateway.Config) { c.Keepalive, c.MaxConnections = quick, 1 })
		st := e.app("crowded")
		s := e.reads(st, "")
		e.wantAirshipNo(402, "POST", "/api/events/", st.token, "{}")
		s.end()
		// Who goes on trying gets in.
		e.eventually("there is room again", func() bool {
			a := e.send("POST", "/api/events/", st.token, `{"filters":[]}`)
			if a.status != 400 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			req, err := http.NewRequest("POST", e.base+"/api/events/", strings.NewReader("{}"))
			e.must(err)
			req.Header.Set("Authorization", "Bearer "+st.token)
			res, err := e.client.Do(req)
			e.must(err)
			res.Body.Close()
			return res.StatusCode == 200
		})
	})
}

// TestFAQTLS: why do I get TLS handshake errors. TLS 1.2 with three suites and TLS 1.3 with three read events; what is
// older or weaker gets no connection. TestTLSSuites asks for every suite there is.
func TestFAQTLS(t *testing.T) {
	s := newSecured(t, nil)
	st := s.app("app")
	s.sends(st, happened{"a", "OPEN", 0})
	for _, row := range []struct {
		name    string
		version uint16
		suites  []uint16
		ok      bool
	}{
		{"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256}, true},
		{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}, true},
		{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, true},
		{"TLS 1.3", tls.VersionTLS13, nil, true},
		{"TLS 1.1", tls.VersionTLS11, nil, false},
		{"a suite without forward secrecy", tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, false},
		{"a suite with CBC", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}, false},
	} {
		for _, two := range []bool{false, true} {
			config := &tls.Config{RootCAs: s.roots, MinVersion: row.version, MaxVersion: row.version, CipherSuites: row.suites}
			protocols := new(http.Protocols)
			protocols.SetHTTP2(two)
			protocols.SetHTTP1(!two)
			client := &http.Client{Transport: &http.Transport{DisableCompression: true, Protocols: protocols, TLSClientConfig: config}}
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.base+"/api/events/", strings.NewReader(`{"start":"EARLIEST"}`))
			s.must(err)
			req.Header.Set("Authorization", "Bearer "+st.token)
			res, err := client.Do(req)
			if !row.ok {
				if err == nil {
					t.Errorf("%s: %d", row.name, res.StatusCode)
					res.Body.Close()
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, HTTP/2 %t: %v", row.name, two, err)
				continue
			}
			if row.suites != nil && res.TLS.CipherSuite != row.suites[0] || res.TLS.Version != row.version || (res.ProtoMajor == 2) != two {
				t.Errorf("%s, HTTP/2 %t: %s %04x", row.name, two, res.Proto, res.TLS.CipherSuite)
			}
			line := make([]byte, len(`{"id":"a"`))
			if _, err := io.ReadFull(gunzip(t)(res.Body), line); err != nil || string(line) != `{"id":"a"` {
				t.Errorf("%s: %q %v", row.name, line, err)
			}
			res.Body.Close()
			client.CloseIdleConnections()
		}
	}
}
