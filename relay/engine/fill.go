package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Copied is a copy of a log, as Extent and Copy gave it.
type Copied struct {
	// Shards are the extents of all shards, by their numbers.
	Shards []Extent
	// Node is the name under which the embedded log's own node wrote. It goes on writing under it. Empty, or with
	// Config.URL: it takes a new name.
	Node string
	// Blocks gives the blocks of a shard, in order. An error ends the filling.
	Blocks func(shard int) iter.Seq2[Raw, error]
}

// fillChunk is how many bytes of a shard go to the server at a time; below the max_payload that any server has.
const fillChunk = 256 << 10

// fillPatience is how long the server may be busy with one chunk, or with making the stream when all are there.
const fillPatience = 2 * time.Minute

// breakOffPatience is how long the server may take to give up a restore.
const breakOffPatience = 10 * time.Second

// Fill makes a log of a copy: afterwards Open finds the same blocks under the same sequences, with all gaps, and no cells. When it
// returns nil an embedded log is on the disk. After an error the log is of no use: delete the folder, or a cluster's streams.
//
// ErrNotEmpty: there is a log already. ErrLocked: it is in use.
func Fill(ctx context.Context, cfg Config, from Copied) (err error) {
	cfg.Shards = len(from.Shards)
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	// Blocks are synced together at the end, not one by one.
	cfg.Durability, cfg.Metrics = "os", nil
	e := &Engine{cfg: cfg, log: cfg.Log, leader: cfg.URL != "", fatal: make(chan error, 1)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	defer func() {
		err = errors.Join(err, e.release())
		if err == nil && cfg.URL == "" {
			err = Sync(cfg.Dir)
		}
	}()
	if e.metrics, err = newMetrics(nil, e); err != nil {
		return err
	}
	if cfg.URL == "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
		if e.lock, err = lockDir(cfg.Dir); err != nil {
			return err
		}
		if from.Node != "" {
			if err := os.WriteFile(filepath.Join(cfg.Dir, "node"), []byte(from.Node+"\n"), 0o600); err != nil {
				return fmt.Errorf("node name: %w", err)
			}
		}
		if _, err := loadNode(cfg.Dir); err != nil {
			return err
		}
		srv, err := startServer(ctx, &cfg)
		if err != nil {
			return err
		}
		e.srv.Store(srv)
	}
	if err := e.patiently(ctx, func() error { return e.connect(&e.readConn, "restore") }); err != nil {
		return err
	}
	if e.js, err = jetstream.New(e.readConn.nc); err != nil {
		return err
	}
	if err := e.patiently(ctx, func() error { return e.checkEmpty(ctx, len(from.Shards)) }); err != nil {
		return err
	}
	for shard, extent := range from.Shards {
		if err := e.fill(ctx, shard, len(from.Shards), extent, from.Blocks(shard)); err != nil {
			return fmt.Errorf("filling shard %d: %w", shard, err)
		}
	}
	return nil
}

// checkEmpty is ErrNotEmpty when there is any stream of ours.
func (e *Engine) checkEmpty(ctx context.Context, shards int) error {
	names := []string{cellStream}
	for shard := range shards {
		names = append(names, shardStream(shard))
	}
	ctx, cancel := e.readConn.bounded(ctx)
	defer cancel()
	for _, name := range names {
		switch _, err := e.js.Stream(ctx, name); {
		case err == nil:
			return fmt.Errorf("%w: %s", ErrNotEmpty, name)
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("looking for %s: %w", name, err)
		}
	}
	return nil
}

// fill restores one shard by JetStream's own restore, the only way to give messages sequences of one's choice: it takes an archive
// in chunks, each answered, and after an empty one says what became of it.
func (e *Engine) fill(ctx context.Context, shard, shards int, of Extent, blocks iter.Seq2[Raw, error]) error {
	name := shardStream(shard)
	state := jetstream.StreamState{FirstSeq: of.First, LastSeq: of.Last}
	request, err := json.Marshal(struct {
		Config jetstream.StreamConfig `json:"config"`
		State  jetstream.StreamState  `json:"state"`
	}{shardConfig(&e.cfg, shard, shards), state})
	if err != nil {
		return err
	}
	var begun struct {
		Err     *apiError `json:"error"`
		Deliver string    `json:"deliver_subject"`
	}
	if err := e.ask(ctx, "$JS.API.STREAM.RESTORE."+name, request, &begun, &begun.Err); err != nil {
		return err
	}
	ours, theirs := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(theirs, state, blocks)
		theirs.CloseWithError(err)
		packed <- err
	}()
	err = e.feed(ctx, begun.Deliver, ours)
	ours.CloseWithError(errors.New("the log took no more"))
	if err = errors.Join(err, <-packed); err != nil {
		// Told that this is the end of the archive, which it is not, the server gives up now, not when it has heard nothing for 5 s. Its
		// answer is waited for: a server that is shut down before it has begun to watch over a restore never ends.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), breakOffPatience)
		defer cancel()
		var refused *apiError
		_ = e.ask(ctx, begun.Deliver, nil, &struct{}{}, &refused)
	}
	return err
}

// feed sends an archive to where the server takes it in.
func (e *Engine) feed(ctx context.Context, subject string, from io.Reader) error {
	chunk := make([]byte, fillChunk)
	for {
		n, err := io.ReadFull(from, chunk)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil // the packer says why
		}
		if n > 0 {
			var refused struct {
				Err *apiError `json:"error"`
			}
			if err := e.ask(ctx, subject, chunk[:n], &refused, &refused.Err); err != nil {
				return err
			}
		}
		if err != nil {
			break
		}
	}
	var done struct {
		Err *apiError `json:"error"`
	}
	return e.ask(ctx, subject, nil, &done, &done.Err)
}

// ask is one question whose answer may be empty, or JSON that may hold a refusal. It waits as long as ctx lasts and the
// connection is there: what the server does for it may take as long as the disk needs.
func (e *Engine) ask(ctx context.Context, subject string, body []byte, into any, refused **apiError) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fillPatience, errors.New("the log server did not answer"))
	defer cancel()
	m, err := e.readConn.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: body})
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	if len(m.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(m.Data, into); err != nil {
		return fmt.Errorf("answer of the log: %w", err)
	}
	if *refused != nil {
		return *refused
	}
	return nil
}

// pack writes blocks as the archive that JetStream restores: its state, the messages, and an empty entry at the end.
func pack(to io.Writer, state jetstream.StreamState, blocks iter.Seq2[Raw, error]) error {
	squeezed := s2.NewWriter(to, s2.WriterConcurrency(1))
	out := archive.NewWriter(squeezed)
	entry := func(h archive.Header, data []byte) error {
		h.PayloadSize = int64(len(data))
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := entry(archive.Header{Name: "state.json"}, text); err != nil {
		return err
	}
	for b, err := range blocks {
		if err != nil {
			return err
		}
		if err := entry(archive.Header{Name: b.Subject, Timestamp: b.At.UnixNano(), Sequence: b.Seq}, b.Data); err != nil {
			return err
		}
	}
	if err := entry(archive.Header{}, nil); err != nil {
		return err
	}
	return squeezed.Close()
}

// Sync has all files below a folder, and the folders, on the disk when it returns nil.
func Sync(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
