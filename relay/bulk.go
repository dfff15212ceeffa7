package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Bulk is a body of many events: NDJSON, or one JSON array where the first non-space byte is '['. Its slices are
// borrowed until AcceptBulk returns.
type Bulk struct {
	Ref       []byte // as Event.Ref, for lines that name no contract themselves
	RequestID [16]byte
	Body      []byte // unpacked
	Atomic    bool   // one rejected line rejects them all
	MaxEvent  int    // bytes a line may have; 0: any
	// Admit, if set, is asked once the whole body was checked and before any of it is stored, with the number of events
	// that are to be. Its error is AcceptBulk's, and nothing is stored.
	Admit func(events int) error
}

// LineError says why a line was rejected. Lines count from 1; of an array, its elements.
type LineError struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// BulkResult is the verdict on a body.
type BulkResult struct {
	Accepted int         `json:"accepted"`
	Rejected int         `json:"rejected"`
	Errors   []LineError `json:"errors" nullable:"false"` // the first 1,000
}

const bulkErrors = 1000

// AcceptBulk checks a whole body first and then stores the lines that passed, in their order, in as few blocks as
// they fit. A nil error means that the accepted lines are durable. A *contract.Violation (the body is no list of
// lines), ErrLineTooLarge, ErrBusy or a key store's error mean that nothing was stored. With Atomic and a rejected
// line nothing is stored and Accepted is 0.
func (r *Relay) AcceptBulk(ctx context.Context, st *registry.Stream, b Bulk) (BulkResult, error) {
	return r.acceptBulk(ctx, st, b, nil)
}

// acceptBulk is AcceptBulk, and for a keyed body (once is not nil) stores only what is behind once.line, in parts that
// each say how far the body is stored with them.
func (r *Relay) acceptBulk(ctx context.Context, st *registry.Stream, b Bulk, once *onceNote) (BulkResult, error) {
	res := BulkResult{Errors: []LineError{}}
	if !r.bulk.TryAcquire(int64(len(b.Body))) {
		return res, fmt.Errorf("%w: too many bulk bodies are being checked", engine.ErrBusy)
	}
	defer r.bulk.Release(int64(len(b.Body)))
	w := intakes.Get().(*intake)
	defer w.release()
	w.batch.Atomic = b.Atomic
	now := r.now()
	reject := func(line int, message string) {
		res.Rejected++
		if len(res.Errors) < bulkErrors {
			res.Errors = append(res.Errors, LineError{Line: line, Message: message})
		}
	}
	parts := bulkParts{once: once, atomic: b.Atomic}
	err := eachLine(b.Body, func(line int, text []byte) error {
		if b.MaxEvent > 0 && len(text) > b.MaxEvent {
			return fmt.Errorf("line %d: %w: it has %d bytes, at most %d are taken", line, ErrLineTooLarge, len(text), b.MaxEvent)
		}
		parts.cut(w, len(text))
		err := r.prepareLine(ctx, w, st, b, text, now)
		var v *contract.Violation
		if errors.As(err, &v) {
			reject(line, v.Text)
			return nil
		}
		if err == nil {
			parts.took(w, line)
		}
		return err
	})
	if err != nil {
		return BulkResult{Errors: []LineError{}}, err
	}
	if b.Atomic && res.Rejected > 0 {
		if once != nil {
			once.empty = true
		}
		return res, nil
	}
	if n := parts.events(w); n > 0 && b.Admit != nil {
		if err := b.Admit(n); err != nil {
			return BulkResult{Errors: []LineError{}}, err
		}
	}
	res.Accepted = parts.accepted
	if err := r.storeBulk(ctx, st, &parts, w, now, &res); err != nil {
		return BulkResult{Errors: []LineError{}}, err
	}
	return res, nil
}

// bulkParts is a body on its way into the log: one batch, or of a keyed body as many as it has blocks, so that each
// block can say how far the body is stored with it.
type bulkParts struct {
	once     *onceNote // nil: not keyed
	atomic   bool
	accepted int
	line     int // the last one taken
	full     []bulkPart
}

type bulkPart struct {
	batch engine.Batch
	line  int
}

// cut ends a part before a line that may not fit into its block.
func (p *bulkParts) cut(w *intake, size int) {
	// Encryption lengthens events: twice their size is room for most. What does not fit after all is spread over
	// several blocks, of which the last one speaks.
	if p.once == nil || p.atomic || w.batch.Len() == 0 || w.batch.Len() < engine.MaxBlockEvents && w.batch.Bytes()+2*size <= oncePart {
		return
	}
	p.full = append(p.full, bulkPart{w.batch, p.line})
	w.batch = engine.Batch{}
}

// took notes that a line's record is in the batch; one that is stored already leaves it again.
func (p *bulkParts) took(w *intake, line int) {
	p.accepted++
	p.line = line
	if p.once != nil && line <= p.once.line {
		w.batch.Reset()
		w.batch.Atomic = p.atomic
	}
}

// storeBulk is parts.store, without the events that the stream has already.
func (r *Relay) storeBulk(ctx context.Context, st *registry.Stream, p *bulkParts, w *intake, now time.Time, res *BulkResult) error {
	if !w.named {
		return p.store(ctx, r.engine, st.Log, w, res)
	}
	batches := make([]*engine.Batch, 0, len(p.full)+1)
	for i := range p.full {
		batches = append(batches, &p.full[i].batch)
	}
	return r.storeUnseen(ctx, st, append(batches, &w.batch), now, func(ctx context.Context) error {
		p.close(w)
		return p.store(ctx, r.engine, st.Log, w, res)
	})
}

// close leaves out the parts that have become empty. The last one must not be, for it is the one that speaks.
func (p *bulkParts) close(w *intake) {
	p.full = slices.DeleteFunc(p.full, func(part bulkPart) bool { return part.batch.Len() == 0 })
	if n := len(p.full); n > 0 && w.batch.Len() == 0 {
		w.batch, p.full = p.full[n-1].batch, p.full[:n-1]
	}
}

// events is how many are to be stored.
func (p *bulkParts) events(w *intake) int {
	n := w.batch.Len()
	for i := range p.full {
		n += p.full[i].batch.Len()
	}
	return n
}

// store appends the parts in their order. An error after the first part means that some is stored.
func (p *bulkParts) store(ctx context.Context, e *engine.Engine, s engine.Stream, w *intake, res *BulkResult) error {
	if p.once == nil {
		if w.batch.Len() == 0 {
			return nil
		}
		_, err := e.Append(ctx, s, &w.batch)
		return err
	}
	packed := p.once.fit(res)
	if p.once.empty = w.batch.Len() == 0; p.once.empty {
		return nil
	}
	some := p.once.line > 0
	store1 := func(b *engine.Batch) error {
		if ctx.Err() != nil {
			return partly(ErrClosed, some)
		}
		// Waited for to its end, which the log bounds: a part of unknown fate that is still on its way would not be
		// found by the one who looks whether it is there.
		_, err := e.Append(context.WithoutCancel(ctx), s, b)
		err = partly(err, some)
		some = true
		return err
	}
	for i := range p.full {
		part := &p.full[i]
		part.batch.Note = p.once.encode(part.line, nil)
		if err := store1(&part.batch); err != nil {
			return err
		}
		*part = bulkPart{}
	}
	w.batch.Note = p.once.encode(p.line, packed)
	return store1(&w.batch)
}

// partly makes the error of a part that of the body: when parts before it are stored, the body is neither stored nor
// not.
func partly(err error, some bool) error {
	if err == nil || !some {
		return err
	}
	// Not wrapped: what it says of the part is not true of the body.
	return fmt.Errorf("%w: the beginning is stored, then: %v", engine.ErrUnconfirmed, err)
}

// prepareLine adds one line to the batch. A line's own contract beats the header's, which beats the stream's.
func (r *Relay) prepareLine(ctx context.Context, w *intake, st *registry.Stream, b Bulk, text []byte, now time.Time) error {
	if st.Payload != "" {
		return w.prepareFree(st, b.RequestID, text, now)
	}
	ref, check := contract.PeekRef(text), (*contract.Contract).Check
	if len(ref) == 0 {
		// The gateway names the contract in the line's place.
		if ref, check = b.Ref, (*contract.Contract).CheckNamed; len(ref) == 0 && st.Contract == "" {
			return nameless(text, true)
		}
	}
	c, err := r.contractOf(ctx, st, ref)
	if err != nil {
		return err
	}
	if err := check(c, &w.checked, text); err != nil {
		return err
	}
	return r.complete(ctx, w, st, c, b.RequestID, now)
}

// prepareFree adds a JSON object that no contract is asked of.
func (w *intake) prepareFree(st *registry.Stream, request [16]byte, text []byte, now time.Time) error {
	if st.Payload != "json" {
		return violation(fmt.Sprintf("Stream '%s' takes XML, which a bulk body cannot hold", st.Name))
	}
	return w.prepareJSON(request, text, now)
}

// eachLine calls fn with every event of a body; blank lines count but are no events.
func eachLine(body []byte, fn func(line int, text []byte) error) error {
	if body = bytes.TrimPrefix(body, contract.ByteOrderMark); len(body) == 0 {
		return nil
	}
	if start := bytes.TrimLeft(body, " \t\r\n"); len(start) > 0 && start[0] == '[' {
		return eachElement(start, fn)
	}
	for line := 1; len(body) > 0; line++ {
		text := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			text, body = body[:i], body[i+1:]
		} else {
			body = nil
		}
		if text = bytes.Trim(text, " \t\r"); len(text) == 0 {
			continue
		}
		if err := fn(line, text); err != nil {
			return err
		}
	}
	return nil
}

// eachElement cuts a JSON array at its top-level commas. What lies between them is checked by whoever gets it;
// here only the array itself must be whole, so that a body that was cut off on its way is never half taken.
func eachElement(body []byte, fn func(line int, text []byte) error) error {
	ends, err := elementEnds(body)
	if err != nil {
		return err
	}
	start := 1
	for i, end := range ends {
		text := bytes.Trim(body[start:end], " \t\r\n")
		start = end + 1
		if len(text) == 0 {
			if len(ends) == 1 {
				return nil
			}
			return violation(fmt.Sprintf("Body is not valid JSON: element %d of the array is empty", i+1))
		}
		if err := fn(i+1, text); err != nil {
			return err
		}
	}
	return nil
}

// elementEnds finds the places of the commas and of the closing bracket of an array.
func elementEnds(body []byte) ([]int, error) {
	var ends []int
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		c := body[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '[', '{':
			depth++
		case ',':
			if depth == 1 {
				ends = append(ends, i)
			}
		case ']', '}':
			if depth--; depth > 0 {
				continue
			}
			if rest := bytes.TrimLeft(body[i+1:], " \t\r\n"); c != ']' || len(rest) > 0 {
				return nil, violation(fmt.Sprintf("Body is not valid JSON: the array is followed by something else at byte %d", i+1))
			}
			return append(ends, i), nil
		}
	}
	return nil, violation(fmt.Sprintf("Body is not valid JSON: the array is not closed at byte %d", len(body)))
}
