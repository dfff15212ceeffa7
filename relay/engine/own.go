package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Stored tells of one block that this node wrote and the log has taken; of several as one where they were found there later.
type Stored struct {
	Stream StreamID
	Shard  int
	Seq    uint64    // in its shard
	At     time.Time // when it was sealed, by this node's clock
	Events int
}

// NodeName is the name this node writes under: 16 hex digits, the same after a restart with the same folder.
func (e *Engine) NodeName() string { return e.node.String() }

// OnStored has fn called with every block this node stores from now on, before its events' producers are answered: what
// was acknowledged has been told. The blocks of a shard come in order, on one goroutine, which stores nothing
// meanwhile; those of different shards come at the same time. There is one fn; stop ends it.
func (e *Engine) OnStored(fn func(Stored)) (stop func()) {
	e.told.Store(&fn)
	return func() { e.told.CompareAndSwap(&fn, nil) }
}

// tell tells of events of a source that the log has taken, the last of them at the source's end.
func (w *writer) tell(src *source, sealed int64, events int) {
	fn := w.e.told.Load()
	if fn == nil {
		return
	}
	(*fn)(Stored{Stream: src.id, Shard: w.shard, Seq: src.expect, At: time.UnixMilli(sealed), Events: events})
}

// ownBatch is how many blocks one question for own blocks may bring.
const ownBatch = 256

// Own calls fn with the retained blocks of a shard that this node wrote behind a sequence, in order: what OnStored would
// have told, had this process lived when they were stored. A block that cannot be read is left out. It reads everything
// in the shard behind the sequence.
func (e *Engine) Own(ctx context.Context, shard int, after uint64, fn func(Stored)) error {
	own := "." + e.node.String()
	take := func(m stored) {
		after = m.seq
		if !strings.HasSuffix(m.subject, own) {
			return
		}
		if h, _, _, reason := parseHeader(m.data); reason == "" {
			fn(Stored{Stream: h.stream, Shard: shard, Seq: m.seq, At: time.UnixMilli(h.accepted), Events: int(h.count)})
		}
	}
	for {
		if e.closing.Load() {
			return ErrClosed
		}
		more, err := getMany(ctx, &e.readConn, shardStream(shard), getRequest{Seq: after + 1, Batch: ownBatch, MaxBytes: cursorBytes}, take)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if !e.leader {
			return nil
		}
		// A replica may lag behind; only the leader knows that there is nothing.
		m, err := getLeader(ctx, &e.readConn, shardStream(shard), getRequest{Seq: after + 1, Next: subjectRoot + strconv.Itoa(shard) + ".>"})
		if errors.Is(err, errNone) {
			return nil
		}
		if err != nil {
			return err
		}
		take(m)
	}
}
