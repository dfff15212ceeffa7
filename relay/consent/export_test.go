package consent

import (
	"context"

	"sluice/relay/engine"
)

// What the external tests need of the inside.

// SIV is the AES-SIV core with any associated data.
type SIV struct{ s siv }

func NewSIV(key []byte, ad ...[]byte) (*SIV, error) {
	s := &SIV{}
	return s, s.s.init(key, ad...)
}

func (s *SIV) Seal(plain []byte) []byte {
	sc := getScratch()
	defer sc.put()
	out := make([]byte, block+len(plain))
	s.s.tag(sc, plain)
	copy(out, sc.x[:])
	s.s.crypt(sc, &sc.x, out[block:], plain)
	return out
}

func NewKey(material [64]byte, id uint32) (*Key, error) { return newKey(&material, id) }

// SetFault has a commit stop at a step as if the process had died there.
func (v *Vault) SetFault(f func(step string) error) { v.fault = f }

// Deafen makes the vault one of a node that hears nothing of others and acts all the same, and that nobody waits for.
func (v *Vault) Deafen() { v.peers = nil }

// CutOff has the node find that it has not heard of the others for too long.
func (v *Vault) CutOff() { v.peers.until.Store(0) }

// WordCell is the cell in which the node says whom of a stream it is forgetting.
func (v *Vault) WordCell(s engine.StreamID) string { return v.peers.word(s).cell }

// NodePrefix is the prefix of the names of the nodes' beats.
const NodePrefix = nodePrefix

// DropCaches forgets every hot key, so that the next call derives it.
func (v *Vault) DropCaches() { v.cache.drop(func(*Key) bool { return true }) }

// DropViews has every stream read again.
func (v *Vault) DropViews() {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.streams {
		s.invalidate()
	}
}

// CoverBytes is the memory of the loaded tree parts.
func (v *Vault) CoverBytes() int64 {
	v.covers.mu.Lock()
	defer v.covers.mu.Unlock()
	return v.covers.size
}

// PartPrefix is the prefix of the names of a stream's tree parts.
func PartPrefix(s engine.StreamID) string { return partPrefix + "." + s.String() }

// Opens tells what somebody can read who holds some erase keys and a heap of sealed cells of any
// revision, by opening every cell with every key that is found. It gives the tree nodes of an era that
// come out, with the seeds of eras as nodes of depth 0.
func Opens(erase []EraseKey, heap []engine.Cell, s engine.StreamID) (nodes []FoundNode) {
	b := bucketOf(s)
	var tops []*top
	for _, c := range heap {
		for _, k := range erase {
			if plain, err := unseal(&k.key, topName, k.id, c.Value); c.Key == topName && err == nil {
				t, _ := decodeTop(plain)
				tops = append(tops, t)
			}
		}
	}
	var streams []node
	for _, c := range heap {
		for _, t := range tops {
			if plain, err := unseal(&t[b], bucketName(b), "", c.Value); c.Key == bucketName(b) && err == nil {
				bucket, _ := decodeBucket(plain)
				if i, ok := bucket.find(s); ok {
					streams = append(streams, bucket[i].key)
				}
			}
		}
	}
	var eras []eraEntry
	for _, c := range heap {
		for _, k := range streams {
			if plain, err := unseal(&k, streamName(s), "", c.Value); c.Key == streamName(s) && err == nil {
				r, _ := decodeRecord(plain)
				eras = append(eras, r.eras...)
			}
		}
	}
	var parts []*part
	numbers := map[*part]uint32{}
	for _, entry := range eras {
		if !entry.cut {
			nodes = append(nodes, FoundNode{Era: entry.number})
			continue
		}
		for _, c := range heap {
			if plain, err := unseal(&entry.secret, eraName(s, entry.number), "", c.Value); c.Key == eraName(s, entry.number) && err == nil {
				e := &era{eraEntry: entry}
				decodeEra(e, plain)
				for _, p := range e.parts {
					numbers[p] = entry.number
				}
				parts = append(parts, e.parts...)
			}
		}
	}
	for _, p := range parts {
		if p.cell == 0 {
			nodes = append(nodes, FoundNode{numbers[p], p.start, p.depth})
			continue
		}
		name := partName(s, numbers[p], p.cell)
		for _, c := range heap {
			if plain, err := unseal(&p.secret, name, "", c.Value); c.Key == name && err == nil {
				cover, _ := decodeCover(plain)
				for i := range cover.nodes {
					nodes = append(nodes, FoundNode{numbers[p], cover.starts[i], cover.depths[i]})
				}
			}
		}
	}
	return nodes
}

// EraseKey is an erase key by its id.
type EraseKey = eraseKey

// SplitAt has tree parts split at a size that a test can reach.
func (v *Vault) SplitAt(bytes int) { v.partBytes = bytes }

// KeptEraseKeys are the erase keys that are here.
func (v *Vault) KeptEraseKeys(ctx context.Context) ([]EraseKey, error) {
	ids, err := v.keeper.list(ctx)
	if err != nil {
		return nil, err
	}
	var out []EraseKey
	for _, id := range ids {
		key, err := v.keeper.get(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, eraseKey{id, key})
	}
	return out, nil
}

// FoundNode is a node of an era's tree, by the leaves it gives.
type FoundNode struct {
	Era   uint32
	Start uint64
	Depth uint8
}

// Gives tells whether the key at a locator can be derived from the node.
func (n FoundNode) Gives(at engine.Locator) bool {
	return n.Era == at.Era && at.Leaf-n.Start <= span(n.Depth)
}

// CachedKeys is the number of entries for people in the cache.
func (v *Vault) CachedKeys() (n int) {
	v.cache.people.drop(func(*person) bool { n++; return false })
	return n
}
