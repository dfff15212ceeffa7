package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// writer commits the blocks of one shard, one commit after the other. Everybody may enqueue; run is one goroutine.
type writer struct {
	e      *Engine
	shard  int
	stream string

	mu      sync.Mutex
	sources map[StreamID]*source
	ready   []*source // those with queued blocks, in the order of their turns
	blocks  int       // queued, with
	bytes   int       // of records
	stopped bool      // nothing more is queued
	wake    chan struct{}
	done    chan struct{} // closed when run has returned

	stuck atomic.Bool // the commit in flight is older than Config.Timeout
	tried attempts

	// Of the run goroutine alone.
	node    nodeID
	inbox   string
	acks    chan *nats.Msg
	sub     *nats.Subscription
	attempt uint64
	batch   []*pending
	told    time.Time // of trouble, last
}

func newWriter(e *Engine, shard int) (*writer, error) {
	w := &writer{
		e: e, shard: shard, stream: shardStream(shard), node: e.node,
		sources: map[StreamID]*source{},
		wake:    make(chan struct{}, 1), done: make(chan struct{}),
		inbox: e.appendConn.nc.NewInbox(), acks: make(chan *nats.Msg, 64),
	}
	var err error
	if w.sub, err = e.appendConn.nc.ChanSubscribe(w.inbox+".*", w.acks); err != nil {
		return nil, fmt.Errorf("appender of shard %d: %w", shard, err)
	}
	return w, nil
}

// run commits until the engine closes and the queue is empty, or until Close has run out of patience.
func (w *writer) run(context.Context) error {
	defer close(w.done)
	defer w.stop()
	for {
		w.batch = w.take(w.batch[:0])
		if len(w.batch) > 0 {
			w.commit(w.batch)
			clear(w.batch)
			continue
		}
		select {
		case <-w.wake:
		case <-w.e.abort:
			return nil
		case <-w.e.closed:
			// Only when nothing more can be queued is an empty queue the end.
			w.mu.Lock()
			w.stopped = len(w.ready) == 0
			end := w.stopped
			w.mu.Unlock()
			if end {
				return nil
			}
		}
	}
}

// stop answers whatever is still queued.
func (w *writer) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, src := range w.ready {
		for _, p := range src.queue {
			w.answer(p, 0, ErrClosed)
		}
		src.queue = nil
	}
	w.ready = nil
}

// commit stores the blocks or finds out that it cannot. It returns when every one is answered and the state of the
// sources is known again, or the engine is aborted.
func (w *writer) commit(blocks []*pending) {
	defer func() {
		for _, p := range blocks {
			p.recycle()
		}
		w.stuck.Store(false)
	}()
	for pause := time.Duration(0); ; {
		if !w.rest(pause, blocks) {
			for _, p := range blocks {
				w.answer(p, 0, ErrUnconfirmed)
			}
			return
		}
		pause = min(max(2*pause, 10*time.Millisecond), time.Second)
		if err := w.learn(blocks); err != nil {
			w.trouble("reading the log's state", err)
			continue
		}
		if answered(blocks) {
			// Nothing is stored (learn has just looked) and nobody waits: a late copy would only be a double of
			// what its producer has sent again.
			w.giveUp(blocks)
			return
		}
		w.seal(blocks)
		started := time.Now()
		last, err := w.publish(blocks)
		if err == nil {
			w.tried.worked()
			w.e.metrics.committed(blocks, time.Since(started))
			w.settle(blocks, last-uint64(len(blocks))+1)
			return
		}
		if noWrite(err) {
			w.tried.failed()
		}
		if !isWrongLast(err) {
			w.trouble("storing blocks", err)
		}
		found, err := w.resolve(blocks)
		if err != nil {
			w.trouble("looking for blocks of unknown fate", err)
			continue
		}
		if found > 0 {
			w.settle(blocks, found)
			return
		}
	}
}

// settle answers the blocks that lie from sequence first on, and moves their sources behind them.
func (w *writer) settle(blocks []*pending, first uint64) {
	for i, p := range blocks {
		src := p.of
		src.expect, src.events, src.bytes = first+uint64(i), src.sealedEvents, src.sealedBytes
		src.givenUp = nil
		w.tell(src, p.sealed, p.count)
		w.answer(p, src.expect, nil)
	}
}

func answered(blocks []*pending) bool {
	for _, p := range blocks {
		if !p.over {
			return false
		}
	}
	return true
}

// trouble counts a failed attempt, and tells of it at most once a second.
func (w *writer) trouble(what string, err error) {
	w.e.metrics.retries.Inc()
	if time.Since(w.told) < time.Second {
		return
	}
	w.told = time.Now()
	w.e.log.Warn("the log does not take blocks", slog.String("while", what), slog.Int("shard", w.shard), slog.Any("error", err))
}

// seal encodes the blocks for the subjects and totals their sources have now.
func (w *writer) seal(blocks []*pending) {
	now := time.Now().UnixMilli()
	for _, p := range blocks {
		p.of.sealedEvents, p.of.sealedBytes = p.of.events, p.of.bytes
	}
	for _, p := range blocks {
		src := p.of
		src.sealedEvents += uint64(p.count)
		if p.stored == nil {
			rand.Read(p.id[:])
			p.sealed = now
			h := header{
				id: p.id, stream: src.id, node: w.node, accepted: now,
				events: src.sealedEvents, bytes: src.sealedBytes, count: uint32(p.count), raw: uint32(len(p.records)),
			}
			p.stored = appendBlock((*storedBuffers.Get().(*[]byte))[:0], &h, p.notes, p.records)
		} else {
			retotal(p.stored, w.node, src.sealedEvents, src.sealedBytes+uint64(len(p.stored)))
		}
		src.sealedBytes += uint64(len(p.stored))
	}
}

// publish hands the blocks to the log, as one message or as one atomic batch, and waits for the answer. The sequence is
// that of the last block; those before it have the sequences before.
func (w *writer) publish(blocks []*pending) (last uint64, err error) {
	w.attempt++
	for _, p := range blocks {
		p.sent, p.of.expected = true, false
	}
	lost := w.e.appendConn.lost()
	reply := w.inbox + "." + strconv.FormatUint(w.attempt, 10)
	nc := w.e.appendConn.nc
	if len(blocks) == 1 {
		p := blocks[0]
		msg := &nats.Msg{Subject: p.of.subject, Reply: reply, Data: p.stored, Header: nats.Header{
			hdrExpected: {strconv.FormatUint(p.of.expect, 10)},
		}}
		if err := nc.PublishMsg(msg); err != nil {
			return 0, w.e.appendConn.why(w.e.ctx, err)
		}
		return w.await(reply, lost, blocks)
	}
	id := w.inbox[len("_INBOX."):] + reply[len(w.inbox):]
	for i, p := range blocks {
		msg := &nats.Msg{Subject: p.of.subject, Data: p.stored, Header: nats.Header{
			hdrBatchID:  {id},
			hdrBatchSeq: {strconv.Itoa(i + 1)},
		}}
		if !p.of.expected {
			// A second expectation for one subject in a batch is refused: the first has fenced it already.
			p.of.expected = true
			msg.Header[hdrExpected] = []string{strconv.FormatUint(p.of.expect, 10)}
		}
		if i == len(blocks)-1 {
			msg.Reply = reply
			msg.Header[hdrBatchEnd] = []string{"1"}
		}
		if err := nc.PublishMsg(msg); err != nil {
			return 0, w.e.appendConn.why(w.e.ctx, err)
		}
	}
	return w.await(reply, lost, blocks)
}

// attemptTimeout is how long one publish may go unanswered before it is looked what became of it. It is shorter than the log
// takes to elect a leader, whose loss is the usual reason; an answer that is only late costs one more look.
const attemptTimeout = time.Second

var errNoAnswer = errors.New("no answer")

// await waits for the answer to one attempt. Answers to earlier attempts are dropped: what they say is found out by
// looking at the log.
func (w *writer) await(reply string, lost <-chan struct{}, blocks []*pending) (uint64, error) {
	limit := time.NewTimer(attemptTimeout)
	defer limit.Stop()
	tick := time.NewTicker(max(w.e.cfg.Timeout/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case m := <-w.acks:
			if m.Subject != reply {
				continue
			}
			a, err := parseAck(m)
			if err != nil {
				return 0, err
			}
			if a.Err != nil {
				return 0, a.Err
			}
			return a.Seq, nil
		case <-limit.C:
			return 0, errNoAnswer
		case <-lost:
			return 0, errLost
		case now := <-tick.C:
			w.overdue(now, blocks)
		case <-w.e.abort:
			return 0, errNoAnswer
		}
	}
}

// overdue answers those who have waited for Config.Timeout, in flight and in the queue.
func (w *writer) overdue(now time.Time, blocks []*pending) {
	for _, p := range blocks {
		if now.Sub(p.since) >= w.e.cfg.Timeout {
			w.stuck.Store(true)
			if p.sent {
				w.answer(p, 0, ErrUnconfirmed)
			} else {
				w.answer(p, 0, ErrBusy)
			}
		}
	}
	w.expire(now)
}

// rest pauses between attempts. It is false when the engine gives up.
func (w *writer) rest(d time.Duration, blocks []*pending) bool {
	select {
	case <-w.e.abort:
		return false
	default:
	}
	if d == 0 {
		return true
	}
	w.overdue(time.Now(), blocks)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		w.overdue(time.Now(), blocks)
		return true
	case <-w.e.abort:
		return false
	}
}
