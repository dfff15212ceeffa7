package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where the log lies and how hard it is. The zero value of every field but Dir has a meaning.
type Config struct {
	// Dir holds the embedded log, its lock and this node's name. It is made when it is missing. With URL only the
	// name lies there, and it may be empty: then every start takes a new name.
	Dir string
	// URL of an existing JetStream cluster, as nats:// or a comma-separated list. Empty: the embedded server.
	URL string
	// Replicas of each JetStream stream; with URL 3 by default, embedded always 1.
	Replicas int
	// Shards is the number of JetStream streams that hold all Sluice streams; 4 by default, 1 to 64. It is fixed
	// when the log is first made; afterwards the stored number counts and another one is only warned of.
	Shards int
	// Durability "disk" (the default): Append returns after fsync. "os": after the operating system has it, so that
	// a power cut may take up to two minutes. It configures the embedded server; an external one has its own.
	Durability string
	// QueueBytes bounds the records that wait for their commit, in bytes over all shards; 64 MiB by default. When
	// it is full Append answers ErrBusy.
	QueueBytes int64
	// Timeout is how long an Append waits for its commit; 10 s by default.
	Timeout time.Duration
	// MaxEvent is the largest event a producer may send, in bytes; 1 MiB by default. A stored record may be twice
	// as long, for encryption makes fields longer.
	MaxEvent int
	// MinFree is how many bytes must be free on Dir's disk for events to be taken; cells take a quarter of it. 0: 1 GB
	// or 5 % of the disk, whichever is more.
	MinFree int64
	// Log is where the engine and its server write; slog.Default() when nil.
	Log *slog.Logger
	// Metrics is where the engine registers its metrics; nil for nowhere.
	Metrics prometheus.Registerer
}

const (
	defaultShards = 4
	maxShards     = 64
)

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	if c.Replicas == 0 && c.URL != "" {
		c.Replicas = 3
	}
	if c.URL == "" {
		c.Replicas = 1
	}
	if c.Durability == "" {
		c.Durability = "disk"
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxEvent == 0 {
		c.MaxEvent = 1 << 20
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Validate reports all faults at once, each with the field's name.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Dir == "" && c.URL == "" {
		fault("Dir: the embedded engine needs a folder")
	}
	if c.Shards < 0 || c.Shards > maxShards {
		fault("Shards: %d is not between 1 and %d", c.Shards, maxShards)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		fault("Replicas: %d is not between 1 and 5", c.Replicas)
	}
	if c.Durability != "" && c.Durability != "disk" && c.Durability != "os" {
		fault("Durability: %q is neither disk nor os", c.Durability)
	}
	if c.QueueBytes < 0 {
		fault("QueueBytes: %d is negative", c.QueueBytes)
	}
	if c.Timeout < 0 {
		fault("Timeout: %v is negative", c.Timeout)
	}
	if c.MaxEvent < 0 || c.MaxEvent > maxRecordBytes/2 {
		fault("MaxEvent: %d is not between 1 and %d", c.MaxEvent, maxRecordBytes/2)
	}
	if c.MinFree < 0 {
		fault("MinFree: %d is negative", c.MinFree)
	}
	return joinFaults(faults)
}

// maxStored is the longest record the log takes.
func (c *Config) maxStored() int { return 2*c.MaxEvent - recordSlack }

// maxCell is the longest value of a cell: what the key tree's parts need, however small events may be, or a record.
func (c *Config) maxCell() int { return max(c.maxStored(), minCell) }

const minCell = 512 << 10

// recordSlack is what a block needs beside its record: headers of the block and of the message.
const recordSlack = 8 << 10
