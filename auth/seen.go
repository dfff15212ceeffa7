package auth

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

const (
	seenSets = 1 << 13 // a power of two: the sum's low bits choose the set
	seenWays = 4
)

// seen remembers verified tokens. It is a table of fixed size, sets of four places each, read and written
// without locks, so that it is bounded whatever is sent: 32,768 tokens of at most maxToken bytes, of
// which only ones that we signed ourselves get in (some 900 bytes, 30 MB in all). When a set is full the
// token that expires first makes room; a token that was pushed out is verified anew.
type seen struct {
	seed maphash.Seed
	sets [seenSets][seenWays]atomic.Pointer[verified]
}

// verified is a token that was found good. Immutable.
type verified struct {
	sum    uint64
	token  string
	claims Claims
}

func newSeen() *seen { return &seen{seed: maphash.MakeSeed()} }

func (s *seen) sum(token []byte) uint64 { return maphash.Bytes(s.seed, token) }

// find gives what is known of exactly this token, nil if nothing. The sum only chooses where to look and
// spares most comparisons; the whole token is compared, for a sum of 64 bits proves nothing.
func (s *seen) find(sum uint64, token []byte) *verified {
	set := &s.sets[sum%seenSets]
	for i := range set {
		if v := set[i].Load(); v != nil && v.sum == sum && v.token == string(token) {
			return v
		}
	}
	return nil
}

// keep remembers v. Two that keep the same token at once may store it twice, or one may push out what the
// other just stored: both cost a verification later and nothing else.
func (s *seen) keep(sum uint64, v *verified, now time.Time) {
	v.sum = sum
	set := &s.sets[sum%seenSets]
	place := &set[0]
	for i := range set {
		old := set[i].Load()
		if old == nil || !now.Before(old.claims.Expires) {
			place = &set[i]
			break
		}
		if first := place.Load(); first != nil && old.claims.Expires.Before(first.claims.Expires) {
			place = &set[i]
		}
	}
	place.Store(v)
}
