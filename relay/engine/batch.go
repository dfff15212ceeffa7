package engine

// Batch collects records for one Append. It is not for concurrent use. It may be reused after Reset, also right after
// Append returned, whatever it returned: Append has copied what it needs.
type Batch struct {
	// Atomic: all records in one block, so that all are stored or none. Append refuses with ErrTooLarge what does
	// not fit: more than MaxBlockEvents, or more than 256 KiB of several records.
	Atomic bool
	// Note is kept in the header of the block with the batch's last record and found again by Block.Notes, for
	// example an Idempotency-Key with its result. At most 64 KiB. A batch without records stores no note.
	Note []byte

	buf     []byte   // encoded records, one behind the other
	ends    []uint32 // where each record ends in buf
	largest int      // bytes of the largest record
	err     error    // the first record that could not be encoded
}

// maxNote bounds Batch.Note.
const maxNote = 64 << 10

// Add appends a copy of r. A record that cannot be stored makes Append refuse the whole batch.
func (b *Batch) Add(r *Record) {
	if b.err != nil {
		return
	}
	at := len(b.buf)
	buf, err := appendRecord(b.buf, r)
	if err != nil {
		b.err = err
		return
	}
	if len(buf) > maxBatchBytes {
		b.err = ErrTooLarge
		return
	}
	b.buf = buf
	b.ends = append(b.ends, uint32(len(buf)))
	b.largest = max(b.largest, len(buf)-at)
}

// maxBatchBytes bounds one batch: twice the largest bulk request, for encryption makes events longer.
const maxBatchBytes = 128 << 20

// Len is the number of records added.
func (b *Batch) Len() int { return len(b.ends) }

// Bytes is the length of the encoded records.
func (b *Batch) Bytes() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Atomic, b.Note = false, nil
	b.buf, b.ends, b.largest, b.err = b.buf[:0], b.ends[:0], 0, nil
}

// Receipt says where a batch was stored. Between First and Last there may be offsets of other batches' events.
type Receipt struct{ First, Last Offset }
