package consent

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

const (
	materialSize = 64 // AES256_SIV: 32 bytes for the tag, 32 for the encryption

	// A sealed value is tinkPrefix ‖ key id, 4 bytes big-endian ‖ synthetic IV, 16 bytes ‖ ciphertext.
	tinkPrefix = 0x01
	headSize   = 5
	overhead   = headSize + block

	tinkType = "type.googleapis.com/google.crypto.tink.AesSivKey"

	// reloadWait bounds how long Open waits for the store when it must look again whether its key
	// still lives.
	reloadWait = 5 * time.Second
)

// Key encrypts and decrypts the personal fields of one person, key field value and window.
//
// A value is sealed as Google Tink's deterministic AEAD seals it (AES256_SIV, TINK prefix, empty
// associated data) in padded standard base64: equal plaintexts give equal texts, and any Tink library
// opens them with Keyset. Safe for concurrent use. A Key may be held as long as one likes: once its
// person is forgotten Open answers ErrForgotten. It prints as nothing but its type.
type Key struct {
	siv      siv
	id       uint32
	material [materialSize]byte

	stream *stream // nil: a key that stands alone and is never erased
	era    uint32
	leaf   uint64
	epoch  atomic.Uint64 // the stream's epoch at which this key was last known to live
}

func newKey(material *[materialSize]byte, id uint32) (*Key, error) {
	k := &Key{id: id, material: *material}
	// RFC 5297 tells no associated data from one empty component. Tink always has one.
	if err := k.siv.init(material[:], []byte{}); err != nil {
		return nil, err
	}
	return k, nil
}

// Seal appends the sealed plaintext to dst: 4*⌈(21+len(plaintext))/3⌉ bytes of base64. plaintext must
// not lie in the spare capacity of dst. Allocates nothing for plaintexts below 1 KiB when dst has room.
func (k *Key) Seal(dst, plaintext []byte) []byte {
	sc := getScratch()
	raw := sc.bytes(overhead + len(plaintext))
	raw[0] = tinkPrefix
	binary.BigEndian.PutUint32(raw[1:], k.id)
	k.siv.tag(sc, plaintext)
	copy(raw[headSize:], sc.x[:])
	k.siv.crypt(sc, &sc.x, raw[overhead:], plaintext)

	n := base64.StdEncoding.EncodedLen(len(raw))
	dst = slices.Grow(dst, n)
	base64.StdEncoding.Encode(dst[len(dst):len(dst)+n], raw)
	sc.put()
	return dst[:len(dst)+n]
}

// Open appends the plaintext of a sealed text to dst. text must not lie in the spare capacity of dst.
//
// ErrForgotten: the key was erased. ErrValue: the text is not this key's. ErrCutOff: ask again later. With an error dst comes back
// as it was and nothing of the plaintext is left in it. When somebody of the stream was forgotten
// since the key was last used, Open may wait for the store, at most 5 s.
func (k *Key) Open(dst, text []byte) ([]byte, error) {
	if err := k.alive(nil); err != nil {
		return dst, err
	}
	sc := getScratch()
	defer sc.put()
	raw := sc.bytes(base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(raw, text)
	if err != nil || n < overhead {
		return dst, ErrValue
	}
	raw = raw[:n]
	if raw[0] != tinkPrefix || binary.BigEndian.Uint32(raw[1:]) != k.id {
		return dst, ErrValue
	}
	iv := (*[block]byte)(raw[headSize:])
	size := n - overhead
	dst = slices.Grow(dst, size)
	plain := dst[len(dst) : len(dst)+size]
	k.siv.crypt(sc, iv, plain, raw[overhead:])
	k.siv.tag(sc, plain)
	if subtle.ConstantTimeCompare(sc.x[:], iv[:]) != 1 {
		clear(plain)
		return dst, ErrValue
	}
	return dst[:len(dst)+size], nil
}

// alive is nil while the key's person is not forgotten. ctx nil: it waits at most reloadWait.
//
// A forgetting first publishes what goes, then moves the stream's epoch, and only then returns. So a
// key whose epoch is the stream's has not been forgotten by any Forget that returned, and the usual
// case costs two loads. On another epoch the key looks for its leaf in the tree again; the epoch it
// then notes was read before it looked.
func (k *Key) alive(ctx context.Context) error {
	if k.stream == nil {
		return nil
	}
	if err := k.stream.vault.Ready(); err != nil {
		return err
	}
	now := k.stream.epoch.Load()
	if k.epoch.Load() == now {
		return nil
	}
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.Background(), reloadWait)
		defer cancel()
	}
	if _, _, err := k.stream.above(ctx, k.era, k.leaf); err != nil {
		return err
	}
	k.epoch.Store(now)
	return nil
}

// Keyset is the key as a Tink keyset in JSON, in clear: whoever has it opens this person's fields of
// this window for ever, also after Forget. ErrForgotten when the key was erased.
func (k *Key) Keyset() ([]byte, error) {
	if err := k.alive(nil); err != nil {
		return nil, err
	}
	type keyData struct {
		TypeURL string `json:"typeUrl"`
		Value   []byte `json:"value"`
		Kind    string `json:"keyMaterialType"`
	}
	type key struct {
		Data   keyData `json:"keyData"`
		Status string  `json:"status"`
		ID     uint32  `json:"keyId"`
		Prefix string  `json:"outputPrefixType"`
	}
	type keyset struct {
		Primary uint32 `json:"primaryKeyId"`
		Keys    []key  `json:"key"`
	}
	// The protobuf of AesSivKey: field 2, 64 bytes long.
	value := append([]byte{0x12, materialSize}, k.material[:]...)
	return json.Marshal(keyset{k.id, []key{{
		Data: keyData{tinkType, value, "SYMMETRIC"}, Status: "ENABLED", ID: k.id, Prefix: "TINK",
	}}})
}

// Format prints the type for every verb, for fmt would otherwise print the secret fields.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "consent.Key") }

// LogValue keeps the key out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue("consent.Key") }
