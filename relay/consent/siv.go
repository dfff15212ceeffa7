package consent

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"sync"
)

const (
	block = aes.BlockSize

	// streamFrom is the plaintext size from which the library's stream mode, which enciphers many
	// blocks at once but allocates, beats one block after the other.
	streamFrom = 1024
)

// siv is AES-SIV of RFC 5297 with its associated data fixed: S2V over those components is done once
// for the key. Immutable, safe for concurrent use.
type siv struct {
	mac   cipher.Block // K1 of the RFC
	ctr   cipher.Block // K2 of the RFC
	whole [block]byte  // CMAC subkey for a full last block
	part  [block]byte  // CMAC subkey for a padded last block
	ad    [block]byte  // S2V's D after the associated data
	short [block]byte  // dbl(ad) ^ whole: what a plaintext below 16 bytes is added to
}

// init takes a key of 32, 48 or 64 bytes (AES-128, -192, -256) and the components of associated data.
func (s *siv) init(key []byte, ad ...[]byte) error {
	half := len(key) / 2
	if len(key)%2 != 0 {
		return fmt.Errorf("AES-SIV takes a key of 32, 48 or 64 bytes, not %d", len(key))
	}
	var err error
	if s.mac, err = aes.NewCipher(key[:half]); err != nil {
		return fmt.Errorf("AES-SIV takes a key of 32, 48 or 64 bytes, not %d", len(key))
	}
	if s.ctr, err = aes.NewCipher(key[half:]); err != nil {
		return err
	}
	sc := getScratch()
	defer sc.put()

	sc.x = [block]byte{}
	s.mac.Encrypt(sc.x[:], sc.x[:])
	s.whole = dbl(sc.x)
	s.part = dbl(s.whole)

	s.cmac(sc, make([]byte, block))
	s.ad = sc.x
	for _, a := range ad {
		s.cmac(sc, a)
		d := dbl(s.ad)
		xor(&d, &sc.x)
		s.ad = d
	}
	s.short = dbl(s.ad)
	xor(&s.short, &s.whole)
	return nil
}

// cmac leaves the CMAC (RFC 4493) of msg in sc.x.
func (s *siv) cmac(sc *scratch, msg []byte) {
	sc.x = [block]byte{}
	for len(msg) > block {
		s.absorb(sc, msg)
		msg = msg[block:]
	}
	s.last(sc, msg)
}

func (s *siv) absorb(sc *scratch, b []byte) {
	xor(&sc.x, (*[block]byte)(b))
	s.mac.Encrypt(sc.x[:], sc.x[:])
}

// last absorbs the final block of at most 16 bytes.
func (s *siv) last(sc *scratch, b []byte) {
	if len(b) == block {
		xor(&sc.x, &s.whole)
	} else {
		for i := range b {
			sc.x[i] ^= b[i]
		}
		sc.x[len(b)] ^= 0x80
		xor(&sc.x, &s.part)
		b = nil
	}
	if b != nil {
		xor(&sc.x, (*[block]byte)(b))
	}
	s.mac.Encrypt(sc.x[:], sc.x[:])
}

// tag leaves the synthetic IV of a plaintext in sc.x.
func (s *siv) tag(sc *scratch, plain []byte) {
	n := len(plain)
	if n < block {
		sc.x = s.short
		for i := range plain {
			sc.x[i] ^= plain[i]
		}
		sc.x[n] ^= 0x80
		s.mac.Encrypt(sc.x[:], sc.x[:])
		return
	}
	sc.x = [block]byte{}
	// D is added to the last 16 bytes, which lie across the last two blocks unless the length is a
	// multiple of 16; only those are copied.
	for len(plain) > 2*block {
		s.absorb(sc, plain)
		plain = plain[block:]
	}
	tail := sc.tail[:copy(sc.tail[:], plain)]
	xor((*[block]byte)(tail[len(tail)-block:]), &s.ad)
	if len(tail) > block {
		s.absorb(sc, tail)
		tail = tail[block:]
	}
	s.last(sc, tail)
}

// crypt adds the key stream of the synthetic IV to src. dst and src are the same memory or apart.
func (s *siv) crypt(sc *scratch, iv *[block]byte, dst, src []byte) {
	sc.count = *iv
	sc.count[8] &= 0x7f
	sc.count[12] &= 0x7f
	if len(src) >= streamFrom {
		cipher.NewCTR(s.ctr, sc.count[:]).XORKeyStream(dst, src)
		return
	}
	for len(src) > 0 {
		s.ctr.Encrypt(sc.pad[:], sc.count[:])
		n := subtle.XORBytes(dst, src, sc.pad[:])
		dst, src = dst[n:], src[n:]
		// With its top bit cleared the last word cannot overflow below 2^31 blocks.
		binary.BigEndian.PutUint32(sc.count[12:], binary.BigEndian.Uint32(sc.count[12:])+1)
	}
}

// dbl is multiplication by x in GF(2^128) as CMAC has it. The branch-free form does not tell the top
// bit by its time.
func dbl(b [block]byte) (d [block]byte) {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	carry := -(hi >> 63) & 0x87
	binary.BigEndian.PutUint64(d[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(d[8:], lo<<1^carry)
	return d
}

func xor(x, y *[block]byte) {
	a, b := binary.NativeEndian.Uint64(x[:8]), binary.NativeEndian.Uint64(x[8:])
	binary.NativeEndian.PutUint64(x[:8], a^binary.NativeEndian.Uint64(y[:8]))
	binary.NativeEndian.PutUint64(x[8:], b^binary.NativeEndian.Uint64(y[8:]))
}

// scratch is the memory that one operation of this package works in. What is handed to a
// cipher.Block or hash behind an interface would move to the heap on every call, so it is pooled.
type scratch struct {
	x, count, pad [block]byte
	tail          [2 * block]byte
	buf           []byte
}

// keepScratch bounds the buffer that the pool keeps: above it a value is rare enough to allocate.
const keepScratch = 1 << 20

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 512)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (sc *scratch) put() {
	if cap(sc.buf) <= keepScratch {
		scratches.Put(sc)
	}
}

// bytes is n bytes of the scratch buffer, with any content.
func (sc *scratch) bytes(n int) []byte {
	if cap(sc.buf) < n {
		sc.buf = make([]byte, n, n+n/4)
	}
	sc.buf = sc.buf[:n]
	return sc.buf
}
