package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names in JetStream. A shard's subjects are subjectRoot, shard, stream and writing node; a cell's is cellRoot and
// its key.
const (
	shardPrefix = "SLUICE-LOG-"
	cellStream  = "SLUICE-CELLS"
	subjectRoot = "sluice.log."
	cellRoot    = "sluice.cell."

	metaShards = "sluice.shards"
	metaFormat = "sluice.format"
	format     = "1"
)

func shardStream(shard int) string { return shardPrefix + strconv.Itoa(shard) }

// streamSubjects matches all blocks of a stream, whichever node wrote them.
func streamSubjects(s Stream) string { return nodeSubject(s.Shard, s.ID, "*") }

func nodeSubject(shard int, id StreamID, node string) string {
	var b [32]byte
	hex.Encode(b[:], id[:])
	return subjectRoot + strconv.Itoa(shard) + "." + string(b[:]) + "." + node
}

// subjectStream reads the stream's id out of a block's subject.
func subjectStream(subject string) (id StreamID, ok bool) {
	rest, ok := strings.CutPrefix(subject, subjectRoot)
	if !ok {
		return id, false
	}
	_, rest, ok = strings.Cut(rest, ".")
	if !ok || len(rest) < 33 || rest[32] != '.' {
		return id, false
	}
	var text [32]byte
	copy(text[:], rest)
	_, err := hex.Decode(id[:], text[:])
	return id, err == nil
}

// prepareStreams makes what is missing of the JetStream streams and returns how many shards there are. The number is
// kept with the first shard: a stream's shard never changes, so a later wish for another number cannot be granted.
func prepareStreams(ctx context.Context, js jetstream.JetStream, cfg *Config) (int, error) {
	shards := cfg.Shards
	if shards == 0 {
		shards = defaultShards
	}
	for i := 0; i < shards; i++ {
		s, err := js.Stream(ctx, shardStream(i))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = createStream(ctx, js, shardConfig(cfg, i, shards))
		}
		if err != nil {
			return 0, fmt.Errorf("log stream %s: %w", shardStream(i), err)
		}
		meta := s.CachedInfo().Config.Metadata
		if meta[metaFormat] != format {
			return 0, fmt.Errorf("log stream %s has format %q, this version writes %q", shardStream(i), meta[metaFormat], format)
		}
		warnReplicas(cfg, s)
		if i > 0 {
			continue
		}
		n, err := strconv.Atoi(meta[metaShards])
		if err != nil || n < 1 || n > maxShards {
			return 0, fmt.Errorf("log stream %s does not say how many shards there are", shardStream(i))
		}
		if n != shards && cfg.Shards != 0 {
			cfg.Log.Warn("the log was made with another number of shards, which stays", slog.Int("shards", n), slog.Int("configured", cfg.Shards))
		}
		shards = n
	}
	s, err := js.Stream(ctx, cellStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = createStream(ctx, js, cellConfig(cfg))
	}
	if err != nil {
		return 0, fmt.Errorf("log stream %s: %w", cellStream, err)
	}
	warnReplicas(cfg, s)
	return shards, nil
}

// warnReplicas tells of a log that survives less, or costs more, than its settings say. It stays as it is: two nodes with
// different settings would change it to and fro. `nats stream edit NAME --replicas N` changes it while everything runs.
func warnReplicas(cfg *Config, s jetstream.Stream) {
	if n := s.CachedInfo().Config.Replicas; n != cfg.Replicas {
		cfg.Log.Warn("the log has another number of replicas, which stays", slog.String("stream", s.CachedInfo().Config.Name),
			slog.Int("replicas", n), slog.Int("configured", cfg.Replicas))
	}
}

// createStream makes a stream, or finds the one that another node has just made.
func createStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := js.CreateStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return js.Stream(ctx, cfg.Name)
	}
	if refused := (*jetstream.APIError)(nil); errors.As(err, &refused) && refused.ErrorCode == codeNotClustered {
		err = fmt.Errorf("engine.replicas is %d and the log server is alone: set engine.replicas to 1, or engine.url to a cluster: %w", cfg.Replicas, err)
	}
	return s, err
}

const codeNotClustered = 10074

func shardConfig(cfg *Config, shard, shards int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               shardStream(shard),
		Description:        "Sluice: blocks of events",
		Subjects:           []string{subjectRoot + strconv.Itoa(shard) + ".*.*"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew, // without limits nothing is ever discarded; a limit set from outside must refuse, not eat events
		Replicas:           cfg.Replicas,
		Duplicates:         100 * time.Millisecond, // the smallest there is: retries rest on expected sequences instead
		AllowDirect:        true,
		AllowAtomicPublish: true,
		MaxMsgs:            -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Metadata: map[string]string{metaShards: strconv.Itoa(shards), metaFormat: format},
	}
}

func cellConfig(cfg *Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               cellStream,
		Description:        "Sluice: the control plane's cells",
		Subjects:           []string{cellRoot + ">"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardOld, // the old value of a cell makes room for the new one
		Replicas:           cfg.Replicas,
		Duplicates:         100 * time.Millisecond,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		AllowMsgTTL:        true, // for the marks of erased cells
		MaxMsgs:            -1, MaxBytes: -1, MaxMsgsPerSubject: 1, MaxMsgSize: -1, MaxConsumers: -1,
		Metadata: map[string]string{metaFormat: format},
	}
}

// loadNode reads this node's name from dir, or gives it one. A node keeps its name so that the subjects of a stream
// do not become more with each restart.
func loadNode(dir string) (nodeID, error) {
	var id nodeID
	if dir == "" {
		rand.Read(id[:])
		return id, nil
	}
	path := filepath.Join(dir, "node")
	text, err := os.ReadFile(path)
	if err == nil {
		if raw, derr := hex.DecodeString(strings.TrimSpace(string(text))); derr == nil && len(raw) == len(id) {
			return nodeID(raw), nil
		}
		return id, fmt.Errorf("node name in %s is not 16 hexadecimal digits", path)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return id, fmt.Errorf("node name: %w", err)
	}
	rand.Read(id[:])
	// Written beside and renamed: a crash in between must not leave half a name, which would refuse every start.
	if err := os.WriteFile(path+".new", []byte(id.String()+"\n"), 0o600); err != nil {
		return id, fmt.Errorf("node name: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return id, fmt.Errorf("node name: %w", err)
	}
	return id, nil
}
