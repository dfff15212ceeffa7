package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Engine is the log and the cells of one node. All methods may be called from any number of goroutines.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	shards  int
	leader  bool // reads that must see every write have to ask the leader: the log is a cluster

	lock *os.File
	srv  atomic.Pointer[server.Server] // nil with an external log; see restart

	// One connection for each kind of traffic, so that a reader of old blocks cannot hold up an acknowledgement.
	appendConn, tailConn, readConn, cellConn link
	js, tailJS, cellJS                       jetstream.JetStream // administration over readConn, tailConn, cellConn

	node       nodeID
	writers    []*writer
	queued     atomic.Int64 // bytes of records in the writers' queues and in flight
	tails      []*tail
	cells      *Cells
	disk       diskGuard
	told       atomic.Pointer[func(Stored)] // who hears of stored blocks
	smallShard uint64                       // see the constant
	cuts       []cuts                       // of each shard
	reading    chan struct{}                // one slot for each question for many blocks that is under way

	closing    atomic.Bool
	restarting atomic.Bool
	closed     chan struct{} // closed when Close begins
	abort      chan struct{} // closed when Close has waited long enough for commits
	ctx        context.Context
	cancel     context.CancelFunc // ends tails and guard
	parts      sync.WaitGroup
	fatal      chan error // the first part that died
	once       sync.Once
	closeIs    error
}

// maxReading bounds what all cursors together have on the way: so many times cursorBytes.
const maxReading = 16

// Open brings the log up and returns when it can be written to and read, or says why not; for a cluster that is coming up it
// waits for up to openPatience. With a folder that a killed process left behind it first finishes what that one had begun. ctx
// bounds the opening only.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg: cfg, log: cfg.Log, leader: cfg.URL != "",
		smallShard: smallShard, reading: make(chan struct{}, maxReading),
		closed: make(chan struct{}), abort: make(chan struct{}), fatal: make(chan error, 1),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if err := e.open(ctx); err != nil {
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) (err error) {
	if e.metrics, err = newMetrics(e.cfg.Metrics, e); err != nil {
		return err
	}
	if e.cfg.Dir != "" {
		if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		if e.lock, err = lockDir(e.cfg.Dir); err != nil {
			return err
		}
	}
	if e.node, err = loadNode(e.cfg.Dir); err != nil {
		return err
	}
	if e.cfg.URL == "" {
		srv, err := startServer(ctx, &e.cfg)
		if err != nil {
			return err
		}
		e.srv.Store(srv)
	}
	for _, c := range []struct {
		link *link
		name string
	}{{&e.appendConn, "append"}, {&e.tailConn, "tail"}, {&e.readConn, "read"}, {&e.cellConn, "cells"}} {
		if err = e.patiently(ctx, func() error { return e.connect(c.link, c.name) }); err != nil {
			return err
		}
	}
	if got := e.appendConn.nc.MaxPayload(); e.cfg.URL != "" && got < int64(2*e.cfg.MaxEvent) {
		return fmt.Errorf("max_payload of the log server is %d bytes: it must be at least twice ingest.max_event_bytes, which is %d", got, e.cfg.MaxEvent)
	}
	for _, j := range []struct {
		js *jetstream.JetStream
		nc *nats.Conn
	}{{&e.js, e.readConn.nc}, {&e.tailJS, e.tailConn.nc}, {&e.cellJS, e.cellConn.nc}} {
		if *j.js, err = jetstream.New(j.nc); err != nil {
			return err
		}
	}
	err = e.patiently(ctx, func() (err error) {
		ctx, cancel := e.readConn.bounded(ctx)
		defer cancel()
		e.shards, err = prepareStreams(ctx, e.js, &e.cfg)
		return err
	})
	if err != nil {
		return err
	}
	e.cells = newCells(e)
	e.cuts = make([]cuts, e.shards)
	e.tails = make([]*tail, e.shards)
	e.writers = make([]*writer, e.shards)
	for i := range e.shards {
		e.tails[i] = &tail{e: e, shard: i}
		if e.writers[i], err = newWriter(e, i); err != nil {
			return err
		}
	}
	e.disk.start(e.cfg.Dir, e.cfg.URL == "", e.cfg.MinFree)
	e.disk.check()
	e.disk.ballast = ballastOf(e.cfg.Dir, e.disk.floor.Load())
	e.part("disk guard", e.watchDisk)
	e.part("log watch", e.watchLog)
	for _, w := range e.writers {
		e.part("appender", w.run)
	}
	return nil
}

// part runs fn until the engine closes. An error of fn ends Run with it.
func (e *Engine) part(name string, fn func(ctx context.Context) error) {
	e.parts.Add(1)
	go func() {
		defer e.parts.Done()
		if err := fn(e.ctx); err != nil && e.ctx.Err() == nil {
			select {
			case e.fatal <- fmt.Errorf("%s: %w", name, err):
			default: // another part died first, and Run tells of that one
			}
		}
	}()
}

// Run supervises the engine's parts: it returns nil after ctx ends or the engine is closed, and the error of the first
// part that died. The engine works without Run too; Close ends it.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.closed:
			return nil
		case err := <-e.fatal:
			return err
		case <-tick.C:
			if e.stopped() && !e.closing.Load() {
				return errors.New("the embedded log server has stopped")
			}
		}
	}
}

// Ready is nil when writes can be taken; else it says what is missing.
func (e *Engine) Ready() error {
	switch {
	case e.closing.Load():
		return ErrClosed
	case e.restarting.Load():
		return errRestarting
	case e.stopped():
		return errors.New("the embedded log server has stopped")
	case !e.appendConn.nc.IsConnected() || !e.readConn.nc.IsConnected() || !e.tailConn.nc.IsConnected() || !e.cellConn.nc.IsConnected():
		return errors.New("no connection to the log")
	case e.disk.low.Load():
		return e.disk.full()
	}
	for _, w := range e.writers {
		if w.stuck.Load() {
			return fmt.Errorf("shard %d: %w", w.shard, ErrUnconfirmed)
		}
	}
	return e.cells.fresh()
}

// Cells are this engine's small values.
func (e *Engine) Cells() *Cells { return e.cells }

// Shards is the number of shards the log was made with.
func (e *Engine) Shards() int { return e.shards }

// NewStream gives a new stream its place in the log: its shard, and from where on that shard's sequences are its own.
// Nothing is stored by it; the caller keeps the Stream. home is the name users know the stream by: a stream that is
// made anew under its old name comes into the old shard, where Since tells its offsets from those of the former one.
func (e *Engine) NewStream(ctx context.Context, id StreamID, home string) (Stream, error) {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(home)) // a hash takes everything
	shard := int(sum.Sum32() % uint32(e.shards))
	last, err := e.lastSeq(ctx, shard)
	if err != nil {
		return Stream{}, err
	}
	return Stream{ID: id, Shard: shard, Since: last}, nil
}

// has says whether a stream lies in one of the log's shards.
func (e *Engine) has(s Stream) bool { return s.Shard >= 0 && s.Shard < e.shards }

// lastSeq asks the leader for a shard's last sequence.
func (e *Engine) lastSeq(ctx context.Context, shard int) (uint64, error) {
	state, err := e.shardState(ctx, shard)
	return state.LastSeq, err
}

func (e *Engine) shardState(ctx context.Context, shard int) (jetstream.StreamState, error) {
	if !e.has(Stream{Shard: shard}) {
		return jetstream.StreamState{}, ErrStream
	}
	var s jetstream.Stream
	err := e.readConn.askLeader(ctx, func(ctx context.Context) (err error) {
		s, err = e.js.Stream(ctx, shardStream(shard))
		return err
	})
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("state of shard %d: %w", shard, unanswered(err))
	}
	return s.CachedInfo().State, nil
}

// Close takes no more writes, waits up to Config.Timeout for those in hand, and shuts the log down. Appends that are
// still unresolved then get ErrUnconfirmed. A second Close waits for the first and returns its error.
func (e *Engine) Close() error {
	e.once.Do(func() {
		e.closing.Store(true)
		close(e.closed)
		patience := time.AfterFunc(e.cfg.Timeout, func() { close(e.abort) })
		for _, w := range e.writers {
			<-w.done
		}
		patience.Stop()
		e.closeIs = e.release()
	})
	return e.closeIs
}

// release frees whatever of the engine exists.
func (e *Engine) release() error {
	e.cancel()
	for _, l := range []*link{&e.appendConn, &e.tailConn, &e.readConn, &e.cellConn} {
		if l.nc != nil {
			l.nc.Close()
		}
	}
	e.parts.Wait()
	if srv := e.srv.Load(); srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
	e.metrics.unregister()
	if e.lock != nil {
		return e.lock.Close()
	}
	return nil
}

func joinFaults(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("engine settings: %w", errors.Join(faults...))
}
