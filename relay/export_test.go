package relay

import "sluice/relay/engine"

// Doubt makes the core doubt what became of an append, as after engine.ErrUnconfirmed.
func Doubt(r *Relay, id engine.StreamID) {
	s := r.seen.stream(id, r.now())
	s.release(&seenClaim{done: make(chan struct{})}, r.now(), engine.ErrUnconfirmed)
}

// Renderings is how many forms of a stream are written now.
func Renderings(r *Relay, id engine.StreamID) (n int) {
	r.mu.Lock()
	slot := r.hubs[id]
	r.mu.Unlock()
	if slot == nil {
		return 0
	}
	slot.hub.mu.Lock()
	defer slot.hub.mu.Unlock()
	for _, v := range slot.hub.views {
		n += len(v.renderings)
	}
	return n
}
