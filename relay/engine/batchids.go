package engine

// Events calls fn with the number and the own id, empty for none, of each record, in order. The id lives until the batch is changed.
func (b *Batch) Events(fn func(i int, id []byte)) {
	for i := range b.ends {
		rec := b.buf[b.start(i):b.ends[i]]
		at := recFixed + recField*int(le.Uint16(rec[recFieldCount:]))
		fn(i, rec[at:at+int(le.Uint16(rec[recIDLen:]))])
	}
}

// Keep leaves the records of which keep says true, given their numbers, in their order.
func (b *Batch) Keep(keep func(i int) bool) {
	kept, end := 0, 0
	b.largest = 0
	start := 0
	for i, next := range b.ends {
		size := int(next) - start
		if keep(i) {
			copy(b.buf[end:], b.buf[start:next])
			end += size
			b.ends[kept] = uint32(end)
			kept++
			b.largest = max(b.largest, size)
		}
		start = int(next)
	}
	b.buf, b.ends = b.buf[:end], b.ends[:kept]
}

// Shared tells whether other nodes may write to the same log: then there can be events in it that this node has not seen.
func (e *Engine) Shared() bool { return e.leader }
