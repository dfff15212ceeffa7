package verify_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/loadtest/verify"
)

// click is an event as a producer sends it.
func click(marker, consent string) string {
	return `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":` + consent + `},` +
		`"producerSessionId":"session","url":"https://example.com","eventType":"click","referrer":"","userAgent":"` + marker +
		`","conversion":-3,"customer":{"id":"zo\u00eb"},"abTests":["a"]}`
}

// shown is that event as a stream shows it.
func shown(marker, consent, session, customer string) string {
	return `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","nonce":-5,"timestamp":1763700000000,` +
		`"keyLink":"00000000-0000-8000-8000-000000000001","consentLevels":` + consent + `},"producerSessionId":"` + session +
		`","url":"https://example.com","eventType":"click","referrer":"","userAgent":"` + marker +
		`","conversion":-3,"customer":{"id":"` + customer + `"},"abTests":["a"]}`
}

// sealed looks like the encryption of a text.
func sealed(plain string) string {
	raw := append([]byte{1}, make([]byte, 4+16+len(plain))...)
	return base64.StdEncoding.EncodeToString(raw)
}

const id, session = "zoë", "session"

type arrival struct {
	offset uint64
	body   string
}

func TestEveryFaultIsFound(t *testing.T) {
	source := verify.Rule{}
	cumulative0 := verify.Rule{Derived: true, Cumulative: 0}
	granular1 := verify.Rule{Derived: true, Granular: []int{1}}
	good := shown("p-1", "[0]", sealed(session), sealed(id))
	tests := []struct {
		name     string
		rule     verify.Rule
		consent  string
		outcomes []verify.Outcome // of p-1, p-2, …
		arrivals []arrival
		want     map[verify.Kind]int
	}{
		{"all well", source, "[0]", []verify.Outcome{verify.Stored, verify.Stored},
			[]arrival{{1, good}, {9, shown("p-2", "[0]", sealed(session), sealed(id))}}, nil},
		{"nothing sent", source, "[0]", nil, nil, nil},
		{"unknown may be there", source, "[0]", []verify.Outcome{verify.Unknown}, []arrival{{1, good}}, nil},
		{"unknown may be missing", source, "[0]", []verify.Outcome{verify.Unknown}, nil, nil},
		{"lost", source, "[0]", []verify.Outcome{verify.Stored, verify.Stored}, []arrival{{1, good}}, map[verify.Kind]int{verify.Lost: 1}},
		{"doubled", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, good}, {2, good}}, map[verify.Kind]int{verify.Doubled: 1}},
		{"unknown twice", source, "[0]", []verify.Outcome{verify.Unknown}, []arrival{{1, good}, {2, good}}, map[verify.Kind]int{verify.Doubled: 1}},
		{"same offset", source, "[0]", []verify.Outcome{verify.Stored, verify.Stored},
			[]arrival{{5, good}, {5, shown("p-2", "[0]", sealed(session), sealed(id))}}, map[verify.Kind]int{verify.Misordered: 1}},
		{"producer's order", source, "[0]", []verify.Outcome{verify.Stored, verify.Stored},
			[]arrival{{1, shown("p-2", "[0]", sealed(session), sealed(id))}, {2, good}}, map[verify.Kind]int{verify.Misordered: 1}},
		{"refused and there", source, "[0]", []verify.Outcome{verify.Refused}, []arrival{{1, good}}, map[verify.Kind]int{verify.Uninvited: 1}},
		{"never sent", source, "[0]", nil, []arrival{{1, good}}, map[verify.Kind]int{verify.Uninvited: 1}},
		{"clear in the source", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0]", session, sealed(id))}}, map[verify.Kind]int{verify.Leaked: 1}},
		{"level above", cumulative0, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0]", session, id)}}, map[verify.Kind]int{verify.Leaked: 1}},
		{"cumulative", cumulative0, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0]", sealed(session), id)}}, nil},
		{"not opened", cumulative0, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, good}}, map[verify.Kind]int{verify.Closed: 1}},
		{"consent by a higher level", cumulative0, "[3]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[3]", sealed(session), id)}}, nil},
		{"no consent, dropped", cumulative0, "[]", []verify.Outcome{verify.Stored}, nil, nil},
		{"no consent, shown", cumulative0, "[]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[]", sealed(session), id)}}, map[verify.Kind]int{verify.Leaked: 1}},
		{"granular opens its own level", granular1, "[0,1]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0,1]", session, sealed(id))}}, nil},
		{"granular does not include lower ones", granular1, "[0,1]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0,1]", session, id)}}, map[verify.Kind]int{verify.Leaked: 1}},
		{"granular needs the level", granular1, "[2]", []verify.Outcome{verify.Stored}, nil, nil},
		{"other value", cumulative0, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0]", sealed(session), "anna")}}, map[verify.Kind]int{verify.Altered: 1}},
		{"ciphertext of another length", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, shown("p-1", "[0]", sealed("x"), sealed(id))}}, map[verify.Kind]int{verify.Altered: 1}},
		{"changed number", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, strings.Replace(good, "-3", "-3.0", 1)}}, map[verify.Kind]int{verify.Altered: 1}},
		{"changed consent", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, strings.Replace(good, "[0]", "[0,1]", 1)}}, map[verify.Kind]int{verify.Altered: 1}},
		{"field more", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, strings.Replace(good, `"url"`, `"x":"zoë","url"`, 1)}}, map[verify.Kind]int{verify.Altered: 1}},
		{"no nonce", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, strings.Replace(good, `"nonce":-5,`, ``, 1)}}, map[verify.Kind]int{verify.Altered: 1}},
		{"no keyLink", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, strings.Replace(good, `0000-8000`, `8000`, 1)}}, map[verify.Kind]int{verify.Altered: 1}},
		{"blank event", source, "[0]", []verify.Outcome{verify.Stored}, []arrival{{1, `{}`}}, map[verify.Kind]int{verify.Altered: 1, verify.Lost: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := verify.NewLedger()
			for i, o := range tt.outcomes {
				marker, err := l.Sending([]byte(click(fmt.Sprintf("p-%d", i+1), tt.consent)))
				if err != nil {
					t.Fatal(err)
				}
				l.Settle(marker, o)
			}
			r := verify.NewReader(l, tt.rule)
			for _, a := range tt.arrivals {
				r.Event(a.offset, []byte(a.body))
			}
			report := r.Finish()
			if len(report.Counts) != len(tt.want) {
				t.Fatalf("found %v, want %v\n%s", report.Counts, tt.want, report)
			}
			for k, n := range tt.want {
				if report.Counts[k] != n {
					t.Errorf("found %v, want %v\n%s", report.Counts, tt.want, report)
				}
			}
			if err := report.Err(); (err != nil) != (len(tt.want) > 0) || err != nil && !errors.Is(err, verify.ErrFaults) {
				t.Errorf("Err is %v", err)
			}
			if strings.Contains(report.String(), id) {
				t.Errorf("a personal value in the report: %s", report)
			}
		})
	}
}

func TestErasedPersonMustBeClosed(t *testing.T) {
	l := verify.NewLedger()
	marker, err := l.Sending([]byte(click("p-1", "[0]")))
	if err != nil {
		t.Fatal(err)
	}
	l.Settle(marker, verify.Stored)
	l.Erase(marker)
	for body, leaked := range map[string]int{
		shown("p-1", "[0]", sealed(session), id):         1,
		shown("p-1", "[0]", sealed(session), sealed(id)): 0,
	} {
		r := verify.NewReader(l, verify.Rule{Derived: true})
		r.Event(1, []byte(body))
		if got := r.Finish(); got.Counts[verify.Leaked] != leaked || len(got.Counts) != leaked {
			t.Errorf("found %v, want %d leaked", got.Counts, leaked)
		}
	}
}

func TestRacingPersonMayBeEither(t *testing.T) {
	l := verify.NewLedger()
	marker, err := l.Sending([]byte(click("p-1", "[0]")))
	if err != nil {
		t.Fatal(err)
	}
	l.Settle(marker, verify.Stored)
	l.Race(marker)
	for body, altered := range map[string]int{
		shown("p-1", "[0]", sealed(session), id):         0,
		shown("p-1", "[0]", sealed(session), sealed(id)): 0,
		shown("p-1", "[0]", sealed(session), "anna"):     1,
	} {
		r := verify.NewReader(l, verify.Rule{Derived: true})
		r.Event(1, []byte(body))
		if got := r.Finish(); got.Counts[verify.Altered] != altered || len(got.Counts) != altered {
			t.Errorf("found %v, want %d altered", got.Counts, altered)
		}
	}
}

func TestOffsetsMustAgree(t *testing.T) {
	l := verify.NewLedger()
	if _, err := l.Sending([]byte(click("p-1", "[0]"))); err != nil {
		t.Fatal(err)
	}
	read := func(offset uint64) *verify.Reader {
		r := verify.NewReader(l, verify.Rule{})
		r.Event(offset, []byte(shown("p-1", "[0]", sealed(session), sealed(id))))
		return r
	}
	if err := read(5).Agrees(read(5)); err != nil {
		t.Error(err)
	}
	if err := read(5).Agrees(read(6)); !errors.Is(err, verify.ErrFaults) {
		t.Errorf("two offsets: %v", err)
	}
}

func TestExampleContract(t *testing.T) {
	sent := `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","nonce":null,"consentLevels":[0,1,2]},` +
		`"uniqueIdentifier":null,"consistentValue":"s","someSensitiveValue":"","notSensitiveValue":"q-7"}`
	arrived := `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","nonce":1,"timestamp":1763700000000,` +
		`"keyLink":"00000000-0000-8000-8000-000000000001","billingId":null,"consentLevels":[0,1,2]},` +
		`"uniqueIdentifier":null,"consistentValue":"s","someSensitiveValue":"` + sealed("") + `","notSensitiveValue":"q-7"}`
	l := verify.NewLedger()
	marker, err := l.Sending([]byte(sent))
	if err != nil || marker != "q-7" {
		t.Fatal(marker, err)
	}
	l.Settle(marker, verify.Stored)
	r := verify.NewReader(l, verify.Rule{Derived: true, Cumulative: 2})
	r.Event(1, []byte(arrived))
	if err := r.Finish().Err(); err != nil {
		t.Error(err)
	}
}

func TestSendingRefusesWhatCannotBeTold(t *testing.T) {
	l := verify.NewLedger()
	if _, err := l.Sending([]byte(click("p-1", "[0]"))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sending([]byte(click("p-1", "[0]"))); !errors.Is(err, verify.ErrMarkerUsed) {
		t.Errorf("a marker used twice: %v", err)
	}
	if _, err := l.Sending([]byte(`{"a":1}`)); !errors.Is(err, verify.ErrNoMarker) {
		t.Errorf("no marker: %v", err)
	}
	if _, err := l.Sending([]byte(`{`)); err == nil {
		t.Error("not JSON and no error")
	}
}
