package relay

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/payload"
	"sluice/relay/registry"
)

// Event is one event to accept. Its slices are borrowed until Accept returns.
type Event struct {
	// Ref is what the producer's Strm-Schema-Ref header named: a full ref or a short id. Nil leaves it to the
	// event's own strmMeta.eventContractRef, and then to the stream's default contract.
	Ref       []byte
	RequestID [16]byte
	Encoding  contract.Encoding // of Body; the zero value leaves it to Body
	Body      []byte
}

const (
	// futureTolerance and maximumAge are the seed's rules for device clocks: an event from further ahead
	// happened now, one from longer ago is not taken.
	futureTolerance = 5 * time.Minute
	maximumAge      = 90 * 24 * time.Hour
)

// intake is what one request needs on its way into the log. Pooled, so that a checked, encrypted and stored
// event costs no allocation of its own.
type intake struct {
	checked contract.Checked
	record  engine.Record
	payload []byte
	batch   engine.Batch
	named   bool // an event of the request has an id of its own
}

var intakes = sync.Pool{New: func() any { return new(intake) }}

// An intake that once held a huge body is not kept: the pool would pin the memory for good.
const intakeKeep = 1 << 20

func (w *intake) release() {
	if cap(w.payload)+w.checked.Held()+w.batch.Bytes() > intakeKeep {
		return
	}
	w.batch.Reset()
	w.batch.Atomic = false
	w.named = false
	intakes.Put(w)
}

// Accept checks an event against its contract, encrypts its personal fields and stores it. Nil means that it is
// durable. Errors: *contract.Violation, whose text is the answer for the producer and says that nothing was
// stored; what engine.Append returns; an error of the key store, with nothing stored.
func (r *Relay) Accept(ctx context.Context, st *registry.Stream, ev Event) error {
	w := intakes.Get().(*intake)
	defer w.release()
	ref := ev.Ref
	if len(ref) == 0 {
		text := bytes.TrimPrefix(ev.Body, contract.ByteOrderMark)
		if ref = contract.PeekRef(text); len(ref) == 0 && st.Contract == "" {
			return nameless(text, ev.Encoding == contract.JSON || bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte{'{'}))
		}
	}
	c, err := r.contractOf(ctx, st, ref)
	if err != nil {
		return err
	}
	if err := c.CheckAs(&w.checked, ev.Encoding, ev.Body); err != nil {
		return err
	}
	now := r.now()
	if err := r.complete(ctx, w, st, c, ev.RequestID, now); err != nil {
		return err
	}
	if len(w.record.ID) > 0 {
		return r.storeUnseen(ctx, st, []*engine.Batch{&w.batch}, now, func(ctx context.Context) error {
			_, err := r.engine.Append(ctx, st.Log, &w.batch)
			return err
		})
	}
	_, err = r.engine.Append(ctx, st.Log, &w.batch)
	return err
}

// nameless is the answer to an event that no contract can be found for. What cannot be read may well name one, so that it cannot be read
// comes first.
func nameless(body []byte, isJSON bool) error {
	if isJSON {
		if err := contract.CheckJSON(body); err != nil {
			return err
		}
	}
	return violation("Header Strm-Schema-Ref is missing")
}

// contractOf finds the contract that an event is held to; without a ref the stream's own.
func (r *Relay) contractOf(ctx context.Context, st *registry.Stream, ref []byte) (*contract.Contract, error) {
	if len(ref) == 0 {
		ref = []byte(st.Contract)
	}
	switch c, active := r.registry.FindContract(ctx, st.Project, ref); {
	case c == nil:
		return nil, violation(fmt.Sprintf("Schema '%s' is not known", printable(string(ref))))
	case !active:
		return nil, violation(fmt.Sprintf("Data contract '%s' is not active", printable(string(ref))))
	default:
		return c, nil
	}
}

func violation(text string) error { return &contract.Violation{Text: text} }

// printable bounds what of a ref sent by a stranger stands in an answer.
func printable(ref string) string {
	const most = 200
	if len(ref) > most {
		ref = ref[:most] + "…"
	}
	q := strconv.Quote(ref)
	return q[1 : len(q)-1]
}

// complete runs an event that its contract has no fault with up to the point where it can be stored and adds it to the intake's batch.
// The batch is as before when it returns an error.
func (r *Relay) complete(ctx context.Context, w *intake, st *registry.Stream, c *contract.Contract, request [16]byte, now time.Time) error {
	k := &w.checked
	if err := admissible(c, k, now); err != nil {
		return err
	}
	rec := &w.record
	*rec = engine.Record{
		ID: k.ID, Type: k.Type, Contract: c.RefBytes(), RequestID: request, Kind: engine.KindJSON,
		Occurred: now.UnixMilli(), Processed: now.UnixMilli(), Consent: k.Consent, Fields: rec.Fields[:0],
	}
	if k.Occurred != 0 && k.Occurred-now.UnixMilli() <= futureTolerance.Milliseconds() {
		rec.Occurred = k.Occurred
	}
	w.named = w.named || len(k.ID) > 0
	if c.Airship() {
		w.complete(k)
		return nil
	}
	var key *consent.Key
	if len(k.Key) > 0 {
		var err error
		if key, rec.KeyLink, rec.Locator, err = r.vault.KeyFor(ctx, st.Log.ID, k.Subject, k.Key, now); err != nil {
			return err
		}
	}
	w.payload = append(w.payload[:0], `{"strmMeta":`...)
	w.payload = appendMeta(w.payload, st.Project.BillingID, c, k, rec)
	if len(k.Members) > 0 {
		w.payload = append(w.payload, ',')
		w.seal(key)
	}
	w.payload = append(w.payload, '}')
	rec.Payload = w.payload
	w.batch.Add(rec)
	return nil
}

// complete adds one of Airship's own events: what is left of it beside what the record has a place for. Nothing in it is
// personal to the gateway.
func (w *intake) complete(k *contract.Checked) {
	w.payload = append(append(append(w.payload[:0], '{'), k.Members...), '}')
	part := func(s contract.Span) engine.Span {
		if s.Len == 0 {
			return engine.Span{}
		}
		return engine.Span{Off: uint32(s.Off + 1), Len: uint32(s.Len)}
	}
	w.record.Device, w.record.User, w.record.Body = part(k.Device), part(k.User), part(k.Body)
	w.record.Payload = w.payload
	w.batch.Add(&w.record)
}

// appendMeta writes strmMeta as the gateway fills it: what the producer sent of nonce, timestamp and keyLink is
// overwritten, and the levels are a set. Events of 2021 name their schema by a short id, or by its ref in that place,
// and keep it; they get the billing id of their project, as they did then. What is kept is the contract's own text,
// which needs no escapes, for admissible found the two equal.
func appendMeta(dst []byte, billing string, c *contract.Contract, k *contract.Checked, rec *engine.Record) []byte {
	dst = append(dst, '{')
	if len(k.SchemaID) > 0 {
		dst = append(dst, `"schemaId":"`...)
		dst = append(dst, schemaID(c, k)...)
		dst = append(dst, `",`...)
	}
	if len(k.SchemaID) == 0 || len(k.ContractRef) > 0 {
		dst = append(dst, `"eventContractRef":"`...)
		dst = append(dst, c.RefBytes()...)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"nonce":`...)
	dst = strconv.AppendInt(dst, int64(int32(rand.Uint32())), 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, rec.Processed, 10)
	dst = append(dst, `,"keyLink":`...)
	if rec.KeyLink == (engine.KeyLink{}) {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, '"')
		dst = appendUUID(dst, rec.KeyLink)
		dst = append(dst, '"')
	}
	if len(k.SchemaID) > 0 {
		dst = append(dst, `,"billingId":"`...)
		dst = payload.AppendEscaped(dst, billing)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"consentLevels":[`...)
	first := true
	for set := rec.Consent; set != 0; set &= set - 1 {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = strconv.AppendInt(dst, int64(bits.TrailingZeros64(set)), 10)
	}
	return append(dst, "]}"...)
}

// seal copies the members into the payload with every personal value replaced by its ciphertext, and moves the
// spans of device and user along with the bytes that grew before and in them.
func (w *intake) seal(key *consent.Key) {
	k, rec := &w.checked, &w.record
	base := len(w.payload)
	device := engine.Span{Off: uint32(k.Device.Off), Len: uint32(k.Device.Len)}
	user := engine.Span{Off: uint32(k.User.Off), Len: uint32(k.User.Len)}
	rec.Device, rec.User = device, user
	done := 0
	for i := range k.Personal {
		p := &k.Personal[i]
		w.payload = append(w.payload, k.Members[done:p.Off]...)
		start := len(w.payload)
		w.payload = key.Seal(w.payload, p.Plain)
		size := len(w.payload) - start
		rec.Fields = append(rec.Fields, engine.Field{
			Span: engine.Span{Off: uint32(start), Len: uint32(size)}, Level: p.Level, Path: p.Path,
		})
		done = p.Off + p.Len
		rec.Device = resized(rec.Device, device, uint32(p.Off), size-p.Len)
		rec.User = resized(rec.User, user, uint32(p.Off), size-p.Len)
	}
	w.payload = append(w.payload, k.Members[done:]...)
	if device.Len > 0 {
		rec.Device.Off += uint32(base)
	}
	if user.Len > 0 {
		rec.User.Off += uint32(base)
	}
}

// resized is where a span lies after the value at a place of the original text changed its length: it moves
// behind the value and stretches around it. was is the span in the original text.
func resized(now, was engine.Span, at uint32, by int) engine.Span {
	switch {
	case was.Len == 0 || at >= was.Off+was.Len:
	case at < was.Off:
		now.Off = uint32(int(now.Off) + by)
	default:
		now.Len = uint32(int(now.Len) + by)
	}
	return now
}
