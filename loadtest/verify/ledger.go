// Package verify hides how it is proved that a relay lost nothing, doubled nothing, kept the order
// and showed nobody what consent forbids. Producers write down in a Ledger what they sent and what
// the answer was; a Reader holds every event that arrives against the ledger and against the consent
// rules, which are written out here a second time.
//
// It shares no code with the product and knows it by its HTTP surface alone: only net/http and
// encoding/json, slow and literal. A fault in the product's own parsing, encryption or consent rule
// can therefore not hide itself.
//
// An event is recognised by its marker, <producer>-<number>, in a field that is not personal. Each
// marker is sent at most once; a producer counts its numbers up.
package verify

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Outcome is what a producer knows about an event it sent.
type Outcome uint8

// The outcomes. The zero one claims nothing: the event may be in the log once or not at all.
const (
	Unknown Outcome = iota // no answer, or one that promises nothing (504)
	Stored                 // acknowledged: in the log exactly once
	Refused                // 4xx or 503: not in the log
)

// Ledger is what was sent and answered. Safe for concurrent use.
type Ledger struct {
	mu   sync.Mutex
	sent map[string]*entry
}

type entry struct {
	body    []byte
	outcome Outcome
	person  personState
}

// personState says what became of the keys of an event's person.
type personState uint8

const (
	known   personState = iota
	erased              // forgotten since
	erasing             // the event came while its person was being forgotten
)

// NewLedger gives an empty ledger.
func NewLedger() *Ledger { return &Ledger{sent: map[string]*entry{}} }

// Sending writes an event down before it is sent and gives its marker; the body is copied. Its
// outcome is Unknown until Settle.
func (l *Ledger) Sending(body []byte) (marker string, err error) {
	e, err := decodeEvent(body)
	if err != nil {
		return "", err
	}
	if marker = e.marker(); marker == "" {
		return "", ErrNoMarker
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent[marker] != nil {
		return "", fmt.Errorf("%w: %s", ErrMarkerUsed, marker)
	}
	l.sent[marker] = &entry{body: append([]byte(nil), body...)}
	return marker, nil
}

// Settle writes down the answer.
func (l *Ledger) Settle(marker string, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.sent[marker]; e != nil {
		e.outcome = o
	}
}

// Erase writes down that the person of this event was forgotten: whoever receives it from now on must
// see its personal fields encrypted.
func (l *Ledger) Erase(marker string) { l.setPerson(marker, erased) }

// Race writes down that the event was sent while its person was being forgotten: its personal fields
// may be shown or not.
func (l *Ledger) Race(marker string) { l.setPerson(marker, erasing) }

func (l *Ledger) setPerson(marker string, s personState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.sent[marker]; e != nil {
		e.person = s
	}
}

// Tally counts the events by outcome.
func (l *Ledger) Tally() (stored, refused, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.sent {
		switch e.outcome {
		case Stored:
			stored++
		case Refused:
			refused++
		default:
			unknown++
		}
	}
	return stored, refused, unknown
}

func (l *Ledger) get(marker string) (entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.sent[marker]
	if e == nil {
		return entry{}, false
	}
	return *e, true
}

// splitMarker takes a marker apart at its last hyphen.
func splitMarker(marker string) (producer string, n uint64, err error) {
	i := strings.LastIndexByte(marker, '-')
	if i < 1 {
		return "", 0, ErrNoMarker
	}
	n, err = strconv.ParseUint(marker[i+1:], 10, 64)
	if err != nil {
		return "", 0, ErrNoMarker
	}
	return marker[:i], n, nil
}

// event is a decoded JSON event.
type event map[string]any

func decodeEvent(body []byte) (event, error) {
	var e event
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}
