package relay

import (
	"context"
	"errors"
	"fmt"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/payload"
)

// shown is one event as a view shows it. Its memory is the view's and lives until the next event is opened.
type shown struct {
	offset       engine.Offset
	record       *engine.Record
	json         []byte
	device, user engine.Span // in json
}

// view opens events under one consent rule: drops what the person did not consent to, decrypts what they did, and then
// shows what its mask names as hashes.
// One goroutine at a time.
type view struct {
	vault  *consent.Vault
	stream engine.StreamID
	rule   consent.Rule
	mask   *mask  // nil: none
	text   []byte // the event with opened fields
	plain  []byte // one opened value, cleared after use
	xml    payload.Document
	masking
	out shown

	dropped   int           // events the rule forbade, not yet counted
	droppedTo engine.Offset // the last of them
}

// open shows one event; nil when the rule forbids it, or when it is XML that cannot be read, which landing sets aside. A
// field whose person was forgotten, or that is no longer what we encrypted, stays ciphertext. An error is of the key
// store: the event is neither shown nor dropped, ask again.
func (v *view) open(ctx context.Context, o engine.Offset, rec *engine.Record) (*shown, error) {
	if !v.rule.Keeps(rec.Consent) {
		return nil, nil
	}
	if rec.Kind == engine.KindXML {
		return v.openXML(o, rec), nil
	}
	v.out = shown{offset: o, record: rec, json: rec.Payload, device: rec.Device, user: rec.User}
	if err := v.decrypt(ctx, rec); err != nil {
		return nil, fmt.Errorf("key of offset %s: %w", o, err)
	}
	if v.mask != nil {
		v.masking.apply(v.mask, &v.out)
	}
	return &v.out, nil
}

// decrypt opens the fields that the rule opens, in out.
func (v *view) decrypt(ctx context.Context, rec *engine.Record) error {
	v.sealed = v.sealed[:0]
	var key *consent.Key
	if v.opensAny(rec.Fields) {
		var err error
		key, err = v.vault.KeyAt(ctx, v.stream, rec.KeyLink, rec.Locator)
		if err != nil && !closedForGood(err) {
			return err
		}
	}
	if key == nil {
		for _, f := range rec.Fields {
			v.stays(f, 0)
		}
		return nil
	}
	done, moved := uint32(0), 0
	v.text = v.text[:0]
	for _, f := range rec.Fields {
		if !v.rule.Opens(f.Level) {
			v.stays(f, moved)
			continue
		}
		sealed := rec.Payload[f.Off : f.Off+f.Len]
		var err error
		if v.plain, err = key.Open(v.plain[:0], sealed); errors.Is(err, consent.ErrCutOff) {
			return err
		}
		if err != nil {
			// Forgotten since KeyAt answered, or damaged: both stay as they are.
			v.stays(f, moved)
			continue
		}
		v.text = append(v.text, rec.Payload[done:f.Off]...)
		start := len(v.text)
		v.text = payload.AppendEscaped(v.text, v.plain)
		clear(v.plain)
		done = f.Off + f.Len
		by := len(v.text) - start - int(f.Len)
		moved += by
		v.out.device = resized(v.out.device, rec.Device, f.Off, by)
		v.out.user = resized(v.out.user, rec.User, f.Off, by)
	}
	v.text = append(v.text, rec.Payload[done:]...)
	v.out.json = v.text
	return nil
}

// closedForGood tells an error that asking again cannot mend. Then the fields stay as they are: a stream that waited
// for them would never show another event.
func closedForGood(err error) bool {
	return errors.Is(err, consent.ErrForgotten) || errors.Is(err, consent.ErrNoKey) || errors.Is(err, consent.ErrDamaged)
}

// openXML shows a payload that lies in the log as it came.
func (v *view) openXML(o engine.Offset, rec *engine.Record) *shown {
	if v.xml.Parse(rec.Payload) != nil {
		return nil
	}
	v.text = v.xml.AppendJSON(v.text[:0])
	v.out = shown{offset: o, record: rec, json: v.text}
	return &v.out
}

func (v *view) opensAny(fields []engine.Field) bool {
	for _, f := range fields {
		if v.rule.Opens(f.Level) {
			return true
		}
	}
	return false
}
