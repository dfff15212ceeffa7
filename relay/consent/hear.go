package consent

import (
	"slices"
	"sync"

	"sluice/relay/engine"
)

// hearers are those who want to be told of other nodes' changes. Safe for concurrent use.
type hearers struct {
	mu  sync.Mutex
	fns []*func(engine.StreamID)
}

// OnChange has fn called with each stream whose keys another node has changed: somebody was forgotten there, the stream was
// dropped, an era began. What this node opened before with the stream's keys, and keeps in clear, may have to go; the vault
// itself no longer opens it when fn is called. fn runs on Run's goroutine, which hears nothing else meanwhile. stop ends it; a
// call that is under way may still finish.
func (v *Vault) OnChange(fn func(engine.StreamID)) (stop func()) {
	h := &v.told
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fns = append(slices.Clip(h.fns), &fn)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.fns = slices.DeleteFunc(slices.Clone(h.fns), func(other *func(engine.StreamID)) bool { return other == &fn })
	}
}

func (h *hearers) tell(id engine.StreamID) {
	h.mu.Lock()
	fns := h.fns
	h.mu.Unlock()
	for _, fn := range fns {
		(*fn)(id)
	}
}
