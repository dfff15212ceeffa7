package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"sluice/relay/engine"
)

const (
	nodePrefix = "delivery.node"
	subPrefix  = "delivery.sub"
)

// members knows who is alive. Safe for concurrent use.
//
// All times are of this process's monotonic clock: when a beat was heard, and when a beat of our own was sent that was stored. Two clocks
// are never compared, so none has to be right.
type members struct {
	cells *engine.Cells
	name  string
	log   *slog.Logger

	mu    sync.Mutex
	since time.Time // when the watch had told all there was: who is not known is dead deadAfter later
	heard map[string]heardOf
	own   time.Time // when our last stored beat was sent
}

type heardOf struct {
	at       time.Time
	revision uint64
}

func newMembers(cells *engine.Cells, name string, log *slog.Logger) *members {
	return &members{cells: cells, name: name, log: log, heard: map[string]heardOf{}}
}

// alive tells whether this node may act on what it owns.
func (m *members) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.own.IsZero() && time.Since(m.own) < aliveFor
}

// dead tells whether a node that is written in a cell as its owner can be passed over.
func (m *members) dead(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node == m.name || node == "" {
		return true // what is written under our own name and is not held was lost before
	}
	if h, ok := m.heard[node]; ok {
		return time.Since(h.at) >= deadAfter
	}
	return !m.since.IsZero() && time.Since(m.since) >= deadAfter
}

// live lists the nodes that are alive by name, this one among them as long as it beats; nil before the others are known.
func (m *members) live() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() || m.own.IsZero() || time.Since(m.own) >= aliveFor {
		return nil
	}
	nodes := []string{m.name}
	for node, h := range m.heard {
		if node != m.name && time.Since(h.at) < deadAfter {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// chosen is the node that should own a subscription: the one with the highest hash of its name and the key, so that a node that comes or
// goes moves only what it gets or had.
func chosen(nodes []string, key string) string {
	var best string
	var most uint64
	for _, node := range nodes {
		sum := sha256.Sum256([]byte(node + "\x00" + key))
		if w := binary.BigEndian.Uint64(sum[:]); best == "" || w > most {
			best, most = node, w
		}
	}
	return best
}

// watch hears the others' beats until ctx ends.
func (m *members) watch(ctx context.Context) error {
	for {
		err := m.cells.Watch(ctx, nodePrefix, m.hear, func() {
			m.mu.Lock()
			if m.since.IsZero() {
				m.since = time.Now()
			}
			m.mu.Unlock()
		})
		if ctx.Err() != nil {
			return nil
		}
		m.log.Warn("the watch of the other nodes' beats broke off and begins anew", "error", err)
		select {
		case <-time.After(beatEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *members) hear(c engine.Cell) {
	node := c.Key[len(nodePrefix)+1:]
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Gone {
		// A node that went in order gave up everything before; long ago is as good as never.
		m.heard[node] = heardOf{at: time.Now().Add(-deadAfter), revision: 0}
		return
	}
	m.heard[node] = heardOf{at: time.Now(), revision: c.Revision}
}

// beat beats until ctx ends, and then until stop ends: work in hand needs a living node. At the end it takes its cell away, so that the
// others need not wait.
func (m *members) beat(ctx context.Context) {
	key := nodePrefix + "." + m.name
	var revision uint64
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for n := 1; ; n++ {
		sent := time.Now()
		revision = m.beatOnce(ctx, key, n, revision, sent)
		m.forgetDead(ctx)
		select {
		case <-ticker.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	if err := m.cells.Erase(last, key, revision); err != nil && !errors.Is(err, engine.ErrConflict) {
		m.log.Warn("this node's beat is left behind; the others wait for it to fall silent", "error", err)
	}
}

// beatOnce stores one beat and gives the cell's revision.
func (m *members) beatOnce(ctx context.Context, key string, n int, revision uint64, sent time.Time) uint64 {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	next, err := m.cells.Put(ctx, key, []byte(strconv.Itoa(n)), revision)
	if err == nil {
		m.mu.Lock()
		m.own = sent
		m.mu.Unlock()
		return next
	}
	if ctx.Err() == nil || !errors.Is(ctx.Err(), context.Canceled) {
		m.log.Warn("this node's beat was not stored", "error", err)
	}
	// It may have been; or somebody who thought us dead erased it. The cell says where to go on.
	cell, err := m.cells.Get(ctx, key)
	switch {
	case err == nil:
		return cell.Revision
	case errors.Is(err, engine.ErrNotFound):
		return 0
	}
	return revision
}

// forgetDead erases the beats of nodes that have been silent for long.
func (m *members) forgetDead(ctx context.Context) {
	m.mu.Lock()
	var gone []engine.Cell
	for node, h := range m.heard {
		if node == m.name || time.Since(h.at) < forgetAfter {
			continue
		}
		if h.revision != 0 {
			gone = append(gone, engine.Cell{Key: nodePrefix + "." + node, Revision: h.revision})
		}
		delete(m.heard, node)
	}
	m.mu.Unlock()
	for _, c := range gone {
		if err := m.cells.Erase(ctx, c.Key, c.Revision); err != nil && !errors.Is(err, engine.ErrConflict) && ctx.Err() == nil {
			m.log.Warn("the beat of a dead node is left behind", "cell", c.Key, "error", err)
		}
	}
}
