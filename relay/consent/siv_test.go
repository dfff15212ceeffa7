package consent_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/relay/consent"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The two vectors of RFC 5297, appendix A. They are for AES-128, so they test the core below Key.
func TestSIVVectorsOfRFC5297(t *testing.T) {
	for _, c := range []struct {
		name, key, plain, sealed string
		ad                       []string
	}{
		{
			name:   "A.1 deterministic",
			key:    "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
			ad:     []string{"101112131415161718191a1b1c1d1e1f2021222324252627"},
			plain:  "112233445566778899aabbccddee",
			sealed: "85632d07c6e8f37f950acd320a2ecc93 40c02b9690c4dc04daef7f6afe5c",
		},
		{
			name: "A.2 with nonce",
			key:  "7f7e7d7c7b7a79787776757473727170 404142434445464748494a4b4c4d4e4f",
			ad: []string{
				"00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
				"102030405060708090a0",
				"09f911029d74e35bd84156c5635688c0",
			},
			plain: "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
			sealed: "7bdb6e3b432667eb06f4d14bff2fbd0f cb900f2fddbe404326601965c889bf17" +
				"dba77ceb094fa663b7a3f748ba8af829 ea64ad544a272e9c485b62a3fd5c0d",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ad [][]byte
			for _, a := range c.ad {
				ad = append(ad, unhex(t, a))
			}
			s, err := consent.NewSIV(unhex(t, c.key), ad...)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := s.Seal(unhex(t, c.plain)), unhex(t, c.sealed); !bytes.Equal(got, want) {
				t.Errorf("sealed %x, want %x", got, want)
			}
		})
	}
}

func TestSIVRefusesOtherKeySizes(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 63, 65, 128} {
		if _, err := consent.NewSIV(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes was taken", n)
		}
	}
}

const (
	vectorKey = "EkBKGzBuy9C3UUmWaOzpe7NBEg6QK21FRhZ9MjuD5hpa0+hPJy0kn1HngA9QUT5aGbTNQQyow0V6qJCFoFRQNNTH"
	vectorID  = 714921229
)

func vector(t testing.TB) *consent.Key {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(vectorKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := consent.NewKey([64]byte(b[2:]), vectorID)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyVectorOfTheWireContract(t *testing.T) {
	k := vector(t)
	const text = "ASqc1Q0QalDEN+LHeyZSfGHE+s9Lqu4o+jM="
	if got := string(k.Seal([]byte("x="), []byte("17850"))); got != "x="+text {
		t.Errorf("sealed %s, want x=%s", got, text)
	}
	got, err := k.Open([]byte("y="), []byte(text))
	if err != nil || string(got) != "y=17850" {
		t.Errorf("opened %q, %v", got, err)
	}
}

// tinkOf is Tink's own primitive for a key.
func tinkOf(t testing.TB, k *consent.Key) tink.DeterministicAEAD {
	t.Helper()
	text, err := k.Keyset()
	if err != nil {
		t.Fatal(err)
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		t.Fatalf("Tink does not read the keyset: %v", err)
	}
	d, err := daead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func randomKey(t testing.TB) *consent.Key {
	t.Helper()
	var m [64]byte
	rand.Read(m[:])
	k, err := consent.NewKey(m, 0x89abcdef)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sameAsTink seals with both and opens each other's text.
func sameAsTink(t *testing.T, k *consent.Key, d tink.DeterministicAEAD, plain []byte) {
	t.Helper()
	raw, err := d.EncryptDeterministically(plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := base64.StdEncoding.EncodeToString(raw)
	got := k.Seal(nil, plain)
	if string(got) != want {
		t.Fatalf("%d bytes: sealed %s, Tink %s", len(plain), got, want)
	}
	back, err := k.Open(nil, got)
	if err != nil || !bytes.Equal(back, plain) {
		t.Fatalf("%d bytes: opened %d bytes, %v", len(plain), len(back), err)
	}
}

func TestKeySealsAsTink(t *testing.T) {
	k := randomKey(t)
	d := tinkOf(t, k)
	plain := make([]byte, 5000)
	rand.Read(plain)
	for n := 0; n <= 200; n++ {
		sameAsTink(t, k, d, plain[:n])
	}
	for _, n := range []int{1007, 1008, 1023, 1024, 1025, 1039, 1040, 4096, 5000} {
		sameAsTink(t, k, d, plain[:n])
	}
}

func FuzzSIV(f *testing.F) {
	f.Add([]byte("key"), []byte(""))
	f.Add([]byte("key"), []byte("17850"))
	f.Add([]byte(""), bytes.Repeat([]byte{0xff}, 16))
	f.Add([]byte{0x80}, bytes.Repeat([]byte("abc"), 700))
	f.Fuzz(func(t *testing.T, seed, plain []byte) {
		var m [64]byte
		for i, b := range seed {
			m[i%len(m)] ^= b + byte(i)
		}
		k, err := consent.NewKey(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		sameAsTink(t, k, tinkOf(t, k), plain)
	})
}

// FuzzOpen opens any text: Tink over the decoded base64 is the oracle.
func FuzzOpen(f *testing.F) {
	k := vector(f)
	d := tinkOf(f, k)
	f.Add([]byte("ASqc1Q0QalDEN+LHeyZSfGHE+s9Lqu4o+jM="))
	f.Add([]byte("ASqc1Q0QalDEN+LHeyZSfGHE+s9Lqu4o+jN="))
	f.Add([]byte("ASqc1Q0Q"))
	f.Add([]byte(""))
	f.Add([]byte("ASqc1Q=="))
	f.Add(k.Seal(nil, nil))
	f.Add(k.Seal(nil, bytes.Repeat([]byte("z"), 2000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var want []byte
		raw, wantErr := base64.StdEncoding.DecodeString(string(text))
		if wantErr == nil {
			want, wantErr = d.DecryptDeterministically(raw, nil)
		}
		got, err := k.Open([]byte("before"), text)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("opened with %v, Tink with %v", err, wantErr)
		}
		if err != nil {
			if !errors.Is(err, consent.ErrValue) || string(got) != "before" {
				t.Fatalf("refused with %v and %q", err, got)
			}
			return
		}
		if string(got) != "before"+string(want) {
			t.Fatalf("opened %q, Tink %q", got, want)
		}
	})
}

func TestOpenRefusesEveryChangedBit(t *testing.T) {
	k := randomKey(t)
	raw, _ := base64.StdEncoding.DecodeString(string(k.Seal(nil, []byte("a plaintext longer than one block"))))
	buf := make([]byte, 0, 256)
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			got, err := k.Open(buf, []byte(base64.StdEncoding.EncodeToString(changed)))
			if !errors.Is(err, consent.ErrValue) || len(got) != 0 {
				t.Fatalf("byte %d bit %d: %q, %v", i, bit, got, err)
			}
			if bytes.Contains(buf[:cap(buf)], []byte("plaintext")) {
				t.Fatalf("byte %d bit %d: the plaintext was left behind dst", i, bit)
			}
		}
	}
	if _, err := randomKey(t).Open(nil, k.Seal(nil, []byte("x"))); !errors.Is(err, consent.ErrValue) {
		t.Errorf("another key opened it: %v", err)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	k := vector(t)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("m", "key", k)
	asJSON, _ := json.Marshal(struct{ K *consent.Key }{k})
	texts := []string{logged.String(), string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		texts = append(texts, fmt.Sprintf(verb, k), fmt.Sprintf(verb, struct{ K *consent.Key }{k}))
	}
	// The first key bytes, as fmt and encoders would show them.
	for _, secret := range []string{"4a1b306e", "74 27 48 110", "74, 27", "0x4a, 0x1b", "Shswbs", "SJ"} {
		for _, text := range texts {
			if strings.Contains(strings.ToLower(text), secret) {
				t.Errorf("%q shows the key: %s", secret, text)
			}
		}
	}
	if got := fmt.Sprintf("%+v", k); got != "consent.Key" {
		t.Errorf("printed %q", got)
	}
}
