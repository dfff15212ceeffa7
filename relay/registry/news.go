package registry

import "sync"

// news tells everybody who waits that there is a new Snapshot. The zero news is ready. Safe for concurrent use.
type news struct {
	mu   sync.Mutex
	next chan struct{} // closed by tell; nil while nobody waits
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

func (n *news) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

// Changed gives a channel that is closed when the next Snapshot is there. Who takes the channel first and the Snapshot second misses
// nothing.
func (r *Registry) Changed() <-chan struct{} { return r.news.wait() }
