package verify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
)

// Reader audits what one consumer receives. One goroutine at a time.
type Reader struct {
	ledger *Ledger
	rule   Rule
	report Report

	any     bool
	last    uint64            // offset of the last event
	seen    map[string]uint64 // offset by marker
	highest map[string]uint64 // number of the last event by producer
}

// NewReader gives the audit of a consumer that reads a stream of that rule from its beginning.
func NewReader(l *Ledger, rule Rule) *Reader {
	return &Reader{ledger: l, rule: rule, report: newReport(), seen: map[string]uint64{}, highest: map[string]uint64{}}
}

// Last is the offset of the last event received, for resuming behind it; ok is false before the first.
func (r *Reader) Last() (offset uint64, ok bool) { return r.last, r.any }

// Received is how many events arrived.
func (r *Reader) Received() int { return r.report.Received }

// Event audits one event as it arrived. It must have been announced with Ledger.Sending.
func (r *Reader) Event(offset uint64, body []byte) {
	r.report.Received++
	if r.any && offset <= r.last {
		r.report.add(Misordered, "", offset, "its offset does not follow the one before")
	}
	r.any, r.last = true, offset

	got, err := decodeEvent(body)
	if err != nil {
		r.report.add(Altered, "", offset, "it is not a JSON object")
		return
	}
	marker := got.marker()
	producer, n, err := splitMarker(marker)
	if err != nil {
		r.report.add(Altered, "", offset, "it has no marker")
		return
	}
	if _, again := r.seen[marker]; again {
		r.report.add(Doubled, marker, offset, "it arrived before")
		return
	}
	r.seen[marker] = offset
	if n <= r.highest[producer] {
		r.report.add(Misordered, marker, offset, "an event its producer sent later arrived before")
	} else {
		r.highest[producer] = n
	}
	sent, ok := r.ledger.get(marker)
	if !ok {
		r.report.add(Uninvited, marker, offset, "nobody sent it")
		return
	}
	r.compare(marker, offset, sent, got)
}

// compare holds the event against what was sent: personal fields by the consent rule, all else equal.
func (r *Reader) compare(marker string, offset uint64, sent entry, got event) {
	want, err := decodeEvent(sent.body)
	if err != nil {
		r.report.add(Altered, marker, offset, "what was sent does not decode")
		return
	}
	if !r.rule.keeps(want.consent()) {
		r.report.add(Leaked, marker, offset, "its consent does not reach this stream")
	}
	for _, f := range want.shape().personal {
		name := f.path[len(f.path)-1]
		clear, shown := want.take(f.path), got.take(f.path)
		plain, isText := clear.(string)
		text, shownText := shown.(string)
		switch {
		case !isText:
			if shown != nil {
				r.report.add(Altered, marker, offset, name+" was null and is not")
			}
		case !shownText:
			r.report.add(Altered, marker, offset, name+" is no string")
		case r.rule.opens(f.level) && sent.person != erased:
			if text != plain && !(sent.person == erasing && isCiphertext(text, plain)) {
				if isCiphertext(text, plain) {
					r.report.add(Closed, marker, offset, name+" is encrypted and must be clear")
				} else {
					r.report.add(Altered, marker, offset, name+" is another value")
				}
			}
		case text == plain:
			r.report.add(Leaked, marker, offset, name+" is clear and must be encrypted")
		case !isCiphertext(text, plain):
			r.report.add(Altered, marker, offset, name+" is neither clear nor encrypted")
		}
	}
	if fault := metaFault(got.meta()); fault != "" {
		r.report.add(Altered, marker, offset, fault)
	}
	for _, e := range []event{want, got} {
		for _, filled := range []string{"nonce", "timestamp", "keyLink", "billingId"} {
			delete(e.meta(), filled)
		}
	}
	if !reflect.DeepEqual(want, got) {
		r.report.add(Altered, marker, offset, "a field that is not personal differs")
	}
}

// isCiphertext tells whether text can be the encryption of plain: base64 of the byte 1, a key id of
// four bytes, the synthetic IV of sixteen, and as many bytes as plain has.
func isCiphertext(text, plain string) bool {
	raw, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(raw) == 1+4+16+len(plain) && raw[0] == 1
}

var uuidText = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// metaFault says what is wrong with the members that the gateway fills, empty for nothing.
func metaFault(meta map[string]any) string {
	if nonce, ok := meta["nonce"].(json.Number); !ok {
		return "strmMeta has no nonce"
	} else if n, err := nonce.Int64(); err != nil || n != int64(int32(n)) {
		return "strmMeta.nonce is no 32-bit integer"
	}
	if at, ok := meta["timestamp"].(json.Number); !ok {
		return "strmMeta has no timestamp"
	} else if ms, err := at.Int64(); err != nil || ms < 1_600_000_000_000 {
		return "strmMeta.timestamp is no time in milliseconds"
	}
	if link, ok := meta["keyLink"].(string); !ok || !uuidText.MatchString(link) {
		return "strmMeta.keyLink is no uuid"
	}
	return ""
}

// Agrees checks that every event both readers got had the same offset for both, before and after
// whatever happened between. The error wraps ErrFaults.
func (r *Reader) Agrees(other *Reader) error {
	for marker, offset := range r.seen {
		if there, ok := other.seen[marker]; ok && there != offset {
			return fmt.Errorf("%w: %s had offset %d and %d", ErrFaults, marker, offset, there)
		}
	}
	return nil
}

// Finish ends the audit: every event that was acknowledged and that the rule keeps must have arrived.
// Call it when all outcomes are settled and the consumer has read to the end.
func (r *Reader) Finish() Report {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	for marker, e := range r.ledger.sent {
		_, arrived := r.seen[marker]
		switch {
		case e.outcome == Stored && !arrived:
			want, err := decodeEvent(e.body)
			switch {
			case err != nil: // Sending has decoded it
			case r.rule.keeps(want.consent()):
				r.report.add(Lost, marker, 0, "it was acknowledged and never arrived")
			default:
				r.report.Dropped++
			}
		case e.outcome == Refused && arrived:
			r.report.add(Uninvited, marker, 0, "it was refused and arrived")
		}
	}
	return r.report
}
