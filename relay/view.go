package relay

import (
	"context"
	"errors"
	"fmt"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// shown is one event as a view shows it. Its memory is the view's and lives until the next event is opened.
type shown struct {
	offset       engine.Offset
	record       *engine.Record
	json         []byte
	device, user engine.Span // in json
}

// view opens events under one consent rule: drops what the person did not consent to, decrypts what they did.
// One goroutine at a time.
type view struct {
	vault  *consent.Vault
	stream engine.StreamID
	rule   consent.Rule
	text   []byte // the event with opened fields
	plain  []byte // one opened value, cleared after use
	out    shown
}

// open shows one event; nil when the rule forbids it. A field whose person was forgotten, or that is no longer
// what we encrypted, stays ciphertext. An error is of the key store: the event is neither shown nor dropped, ask again.
func (v *view) open(ctx context.Context, o engine.Offset, rec *engine.Record) (*shown, error) {
	if !v.rule.Keeps(rec.Consent) {
		return nil, nil
	}
	v.out = shown{offset: o, record: rec, json: rec.Payload, device: rec.Device, user: rec.User}
	if !v.opensAny(rec.Fields) {
		return &v.out, nil
	}
	key, err := v.vault.KeyAt(ctx, v.stream, rec.KeyLink, rec.Locator)
	if closedForGood(err) {
		return &v.out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("key of offset %s: %w", o, err)
	}
	done := uint32(0)
	v.text = v.text[:0]
	for _, f := range rec.Fields {
		if !v.rule.Opens(f.Level) {
			continue
		}
		sealed := rec.Payload[f.Off : f.Off+f.Len]
		v.plain, err = key.Open(v.plain[:0], sealed)
		if err != nil {
			// Forgotten since KeyAt answered, or damaged: both stay as they are.
			continue
		}
		v.text = append(v.text, rec.Payload[done:f.Off]...)
		start := len(v.text)
		v.text = appendEscaped(v.text, v.plain)
		clear(v.plain)
		done = f.Off + f.Len
		by := len(v.text) - start - int(f.Len)
		v.out.device = resized(v.out.device, rec.Device, f.Off, by)
		v.out.user = resized(v.out.user, rec.User, f.Off, by)
	}
	v.text = append(v.text, rec.Payload[done:]...)
	v.out.json = v.text
	return &v.out, nil
}

// closedForGood tells an error that asking again cannot mend. Then the fields stay as they are: a stream that waited
// for them would never show another event.
func closedForGood(err error) bool {
	return errors.Is(err, consent.ErrForgotten) || errors.Is(err, consent.ErrNoKey) || errors.Is(err, consent.ErrDamaged)
}

func (v *view) opensAny(fields []engine.Field) bool {
	for _, f := range fields {
		if v.rule.Opens(f.Level) {
			return true
		}
	}
	return false
}

const hexDigits = "0123456789abcdef"

// appendEscaped writes text as the inside of a JSON string. Ours rather than encoding/json's, which would also
// escape <, > and & and allocate.
func appendEscaped(dst, text []byte) []byte {
	done := 0
	for i, c := range text {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, text[done:]...)
}
