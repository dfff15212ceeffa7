package registry

import (
	"hash/maphash"
	"iter"
)

const indexParts = 256

// index is a map that is never changed, only followed by another that shares most of its parts: adding one
// entry to ten thousand copies the forty that lie in the same part. The zero index is empty. Safe for
// concurrent reading.
type index[K comparable, V any] struct {
	seed  maphash.Seed
	parts *[indexParts]map[K]V
}

func (x index[K, V]) part(k K) int { return int(maphash.Comparable(x.seed, k) % indexParts) }

// get gives the entry of k, the zero V if there is none. It allocates nothing.
func (x index[K, V]) get(k K) V {
	if x.parts == nil {
		var none V
		return none
	}
	return x.parts[x.part(k)][k]
}

// all gives every entry, in no order.
func (x index[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if x.parts == nil {
			return
		}
		for _, part := range x.parts {
			for k, v := range part {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// edit begins a successor of x; nothing done to it shows in x.
func (x index[K, V]) edit() *edit[K, V] { return &edit[K, V]{from: x} }

// edit is a successor in the making. One goroutine.
type edit[K comparable, V any] struct {
	from  index[K, V]
	parts *[indexParts]map[K]V
	own   [indexParts]bool // this part was copied already
}

func (e *edit[K, V]) get(k K) V {
	if e.parts == nil {
		return e.from.get(k)
	}
	return e.parts[e.from.part(k)][k]
}

func (e *edit[K, V]) set(k K, v V) { e.writable(k)[k] = v }

func (e *edit[K, V]) remove(k K) { delete(e.writable(k), k) }

func (e *edit[K, V]) writable(k K) map[K]V {
	if e.parts == nil {
		e.parts = new([indexParts]map[K]V)
		if e.from.parts == nil {
			e.from.seed = maphash.MakeSeed()
		} else {
			*e.parts = *e.from.parts
		}
	}
	i := e.from.part(k)
	if !e.own[i] {
		e.own[i] = true
		copied := make(map[K]V, len(e.parts[i])+1)
		for k, v := range e.parts[i] {
			copied[k] = v
		}
		e.parts[i] = copied
	}
	return e.parts[i]
}

// done ends the edit and gives the successor.
func (e *edit[K, V]) done() index[K, V] {
	if e.parts == nil {
		return e.from
	}
	return index[K, V]{seed: e.from.seed, parts: e.parts}
}
