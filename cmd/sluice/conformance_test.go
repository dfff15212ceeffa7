package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestConformance goes through what a client of STRM Privacy relies on, by the numbers of the checklist that was drawn from its
// documents. A number that a test elsewhere holds from outside has no part here:
//
//	 1  JSON that nobody announced is taken                     TestWalkByHand, by curl
//	 2  Avro that nobody announced is taken                     here; TestGolden of loadtest/golden, in every form
//	 3  400 names field, contract, value and rule               TestWalkByHand
//	 4  401 without a token, 404 for GET                        here
//	 5  the source's websocket shows ciphertext, meta filled in TestWalkByHand
//	 6  equal values of a session are equal, of two are not     here; TestGolden for key links
//	 7  which streams show which consent                        here; TestOutcomes and TestGolden of loadtest/golden
//	 8  which fields they show in clear                         here; TestGolden
//	 9  masks                                                   here; TestMask of loadtest/oracle, TestGolden
//	10  Tink opens exported keys and the published vector       TestGolden, TestOpen of loadtest/oracle
//	11  a day later there is another key link                   TestKeyTurnsOver of relay, for it needs a clock that can be set
//	12  names and times of files, none when idle                TestWalk2021; TestWindows of delivery/export
//	13  secrets encoded as in a URL in Basic                    here
func TestConformance(t *testing.T) {
	w := newWalker(t, nil)
	made := w.run(`sluice create stream by-hand`)
	id, secret := gjson.Get(made, "credentials.0.clientId").Str, gjson.Get(made, "credentials.0.clientSecret").Str
	const tokenPath = "/auth/realms/streams/protocol/openid-connect/token"
	token := ""

	t.Run("13 secrets encoded as in a URL in Basic", func(t *testing.T) {
		hex := func(s string) string { // every character, also those that need not be
			var out strings.Builder
			for _, c := range []byte(s) {
				fmt.Fprintf(&out, "%%%02X", c)
			}
			return out.String()
		}
		for _, pair := range [][2]string{{id, secret}, {url.QueryEscape(id), url.QueryEscape(secret)}, {hex(id), hex(secret)}} {
			req, err := http.NewRequestWithContext(t.Context(), "POST", w.url+tokenPath, strings.NewReader("grant_type=client_credentials&scope=offline_access"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth(pair[0], pair[1])
			res, err := w.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var issued struct {
				Token string `json:"access_token"`
			}
			err = json.NewDecoder(res.Body).Decode(&issued)
			res.Body.Close()
			if token = issued.Token; err != nil || res.StatusCode != 200 || token == "" {
				t.Errorf("%v: %d %v", pair, res.StatusCode, err)
			}
		}
	})
	bearer := map[string]string{"Authorization": "Bearer " + token}
	with := func(name, value string) map[string]string {
		return map[string]string{"Authorization": bearer["Authorization"], name: value}
	}
	example := func(session, unique, levels string) string {
		return `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":` + levels + `},"uniqueIdentifier":"` + unique +
			`","consistentValue":"` + session + `","someSensitiveValue":"sensitive-0","notSensitiveValue":"not-sensitive-6"}`
	}
	post := func(t *testing.T, event string) {
		t.Helper()
		if got := w.send("POST", "/event", with("Strm-Schema-Ref", "strmprivacy/example/1.5.0"), event); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	// shown is what a stream shows from its beginning, once it is so many events.
	shown := func(t *testing.T, stream string, count int) []gjson.Result {
		t.Helper()
		got := w.send("GET", fmt.Sprintf("/v1/streams/%s/events?from=EARLIEST&limit=%d&timeout=30s", stream, count), map[string]string{"Authorization": "Bearer " + walkToken}, "")
		lines := strings.Split(strings.TrimSpace(got.body), "\n")
		if got.status != 200 || len(lines) != count {
			t.Fatalf("%s: %d %s", stream, got.status, got.body)
		}
		var all []gjson.Result
		for _, line := range lines {
			all = append(all, gjson.Parse(line))
		}
		return all
	}

	t.Run("4 no token and no such route", func(t *testing.T) {
		for _, row := range []struct {
			method, path string
			header       map[string]string
			status       int
			body         string
		}{
			{"POST", "/event", nil, 401, "Jwt is missing"},
			{"POST", "/event", map[string]string{"Authorization": "Bearer a.b.c"}, 401, "Jwt verification fails"},
			{"GET", "/event", bearer, 404, ""},
			{"PUT", "/event", bearer, 404, ""},
			{"POST", "/events", bearer, 404, ""},
		} {
			got := w.send(row.method, row.path, row.header, example("s", "u", "[]"))
			if got.status != row.status || !strings.HasPrefix(got.body, row.body) {
				t.Errorf("%s %s: %d %s", row.method, row.path, got.status, got.body)
			}
		}
	})

	t.Run("2 Avro that nobody announced", func(t *testing.T) {
		text := func(s string) string { return string(binary.AppendVarint(nil, int64(len(s)))) + s }
		const null = "\x00"
		datum := text("strmprivacy/example/1.5.0") + null + null + null + null + "\x02\x00\x00" + // consent to level 0
			"\x02" + text("unique-5") + text("session-273") + null + "\x02" + text("not-sensitive-6")
		if got := w.send("POST", "/event", with("Strm-Schema-Ref", "strmprivacy/example/1.5.0"), datum); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if e := shown(t, "by-hand", 1)[0]; e.Get("notSensitiveValue").Str != "not-sensitive-6" || e.Get("someSensitiveValue").Raw != "null" || e.Get("strmMeta.consentLevels").Raw != "[0]" {
			t.Errorf("it shows %s", e)
		}
	})

	t.Run("6 equal values of a session and of two", func(t *testing.T) {
		for _, session := range []string{"session-a", "session-a", "session-b"} {
			post(t, example(session, "unique-5", "[]"))
		}
		e := shown(t, "by-hand", 4)[1:]
		at := func(i int, field string) string { return e[i].Get(field).Str }
		for _, field := range []string{"uniqueIdentifier", "someSensitiveValue", "strmMeta.keyLink", "consistentValue"} {
			if at(0, field) != at(1, field) || at(0, field) == at(2, field) {
				t.Errorf("%s is %s, %s and in another session %s", field, at(0, field), at(1, field), at(2, field))
			}
		}
	})

	t.Run("7 and 8 and 9 consent, fields and masks", func(t *testing.T) {
		w.run(`sluice create stream g01 --derived-from by-hand --levels 0,1 --consent-type GRANULAR`)
		w.run(`sluice create stream c2 --derived-from by-hand --levels 2`)
		w.run(`sluice create stream c3-masked --derived-from by-hand --levels 3 -M strmprivacy/example/1.5.0:uniqueIdentifier,consistentValue,someSensitiveValue,notSensitiveValue --mask-seed hi-there`)
		for _, levels := range []string{"[1]", "[0,1]", "[0,1,2]", "[3]", "[]"} {
			post(t, example("session-273", "unique-5", levels))
		}
		post(t, example("the last", "unique-5", "[0,1,2,3]")) // which all show, so that what is not there is dropped
		for stream, want := range map[string]string{
			"g01":       "[0,1] unique-5 A A;[0,1,2] unique-5 A A;[0,1,2,3] unique-5 A A",
			"c2":        "[0,1,2] unique-5 session-273 A;[3] unique-5 session-273 A;[0,1,2,3] unique-5 the last A",
			"c3-masked": "[3] 1083e8169d7138e990cc30095578452 7cc66d130664caa9efacda1026c1c44 e49bd309eed4a5094437a71ac2bc1cad;[0,1,2,3] 1083e8169d7138e990cc30095578452 * e49bd309eed4a5094437a71ac2bc1cad",
		} {
			rows := strings.Split(want, ";")
			for i, e := range shown(t, stream, len(rows)) {
				var got []string
				for _, field := range []string{"uniqueIdentifier", "consistentValue", "someSensitiveValue"} {
					value := e.Get(field).Str
					switch {
					case forms["<ciphertext>"].MatchString(value):
						value = "A"
					case stream == "c3-masked" && e.Get("strmMeta.consentLevels.#").Int() == 4 && field == "consistentValue":
						value = "*"
					}
					got = append(got, value)
				}
				if row := e.Get("strmMeta.consentLevels").Raw + " " + strings.Join(got, " "); row != rows[i] {
					t.Errorf("%s, event %d: %s, not %s", stream, i, row, rows[i])
				}
			}
		}
		if e := shown(t, "c3-masked", 1)[0]; e.Get("notSensitiveValue").Str != "538ad30b2aa2781e855c4eb059cf68a3" {
			t.Errorf("masked, what is not personal shows %s", e.Get("notSensitiveValue"))
		}
	})
}
