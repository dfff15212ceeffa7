package webhook_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"sluice/delivery/webhook"
)

// The vector of the Standard Webhooks libraries.
const (
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

	vectorPrivate    = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	vectorPublic     = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	vectorAsymmetric = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

var vectorTime = time.Unix(1614265330, 0)

func vectorHeader(id, at, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", signature)
	return h
}

func TestSign(t *testing.T) {
	key, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := webhook.Sign([]webhook.Key{key}, vectorID, vectorTime, []byte(vectorBody)); got != vectorSignature {
		t.Errorf("signature %s, want %s", got, vectorSignature)
	}
	other, err := webhook.ParseSecret(webhook.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	both := webhook.Sign([]webhook.Key{other, key}, vectorID, vectorTime, []byte(vectorBody))
	if err := webhook.Verify(secret, vectorHeader(vectorID, "1614265330", both), []byte(vectorBody), vectorTime); err != nil {
		t.Errorf("the second of two signatures: %v", err)
	}
}

// Signed with a private key, and checked with the public one, beside one of the other kind in the same header.
func TestSignWithPrivateKey(t *testing.T) {
	key, err := webhook.ParseSecret(vectorPrivate)
	if err != nil {
		t.Fatal(err)
	}
	if got := webhook.Sign([]webhook.Key{key}, vectorID, vectorTime, []byte(vectorBody)); got != vectorAsymmetric || key.PublicKey() != vectorPublic {
		t.Errorf("signature %s, want %s; public key %s, want %s", got, vectorAsymmetric, key.PublicKey(), vectorPublic)
	}
	shared, err := webhook.ParseSecret(secret)
	if err != nil || shared.PublicKey() != "" {
		t.Fatalf("%q %v", shared.PublicKey(), err)
	}
	both := vectorHeader(vectorID, "1614265330", webhook.Sign([]webhook.Key{key, shared}, vectorID, vectorTime, []byte(vectorBody)))
	for _, by := range []string{secret, vectorPrivate, vectorPublic} {
		if err := webhook.Verify(by, both, []byte(vectorBody), vectorTime); err != nil {
			t.Errorf("by %s: %v", by, err)
		}
		if err := webhook.Verify(by, both, []byte(vectorBody+" "), vectorTime); !errors.Is(err, webhook.ErrSignature) {
			t.Errorf("another body by %s: %v", by, err)
		}
	}
	other, err := webhook.ParseSecret(webhook.NewPrivateKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(other.PublicKey(), both, []byte(vectorBody), vectorTime); !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("by another's public key: %v", err)
	}
	half := vectorPrivate[:len(vectorPrivate)-8] + "AAAAAA==" // the public half is not the private one's
	for _, text := range []string{half, vectorPublic, "whsk_", "whsk_" + secret[6:], vectorPrivate[5:]} {
		if _, err := webhook.ParseSecret(text); !errors.Is(err, webhook.ErrSecret) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestVerify(t *testing.T) {
	good := vectorHeader(vectorID, "1614265330", vectorSignature)
	for name, c := range map[string]struct {
		secret string
		header http.Header
		body   string
		now    time.Time
		want   error
	}{
		"good":              {secret, good, vectorBody, vectorTime.Add(299 * time.Second), nil},
		"any age":           {secret, good, vectorBody, time.Time{}, nil},
		"among others":      {secret, vectorHeader(vectorID, "1614265330", "v1a,xx v1,AAAA "+vectorSignature), vectorBody, vectorTime, nil},
		"old":               {secret, good, vectorBody, vectorTime.Add(301 * time.Second), webhook.ErrTimestamp},
		"from the future":   {secret, good, vectorBody, vectorTime.Add(-301 * time.Second), webhook.ErrTimestamp},
		"another body":      {secret, good, vectorBody + " ", vectorTime, webhook.ErrSignature},
		"another id":        {secret, vectorHeader("msg_other", "1614265330", vectorSignature), vectorBody, vectorTime, webhook.ErrSignature},
		"another time":      {secret, vectorHeader(vectorID, "1614265331", vectorSignature), vectorBody, vectorTime, webhook.ErrSignature},
		"another version":   {secret, vectorHeader(vectorID, "1614265330", "v2"+vectorSignature[2:]), vectorBody, vectorTime, webhook.ErrSignature},
		"no time":           {secret, vectorHeader(vectorID, "yesterday", vectorSignature), vectorBody, vectorTime, webhook.ErrHeaders},
		"no id":             {secret, vectorHeader("", "1614265330", vectorSignature), vectorBody, vectorTime, webhook.ErrHeaders},
		"secret too short":  {"whsec_MfKQ9r8GKYqrTwjUPD8I", good, vectorBody, vectorTime, webhook.ErrSecret},
		"secret unprefixed": {secret[6:], good, vectorBody, vectorTime, webhook.ErrSecret},
	} {
		if err := webhook.Verify(c.secret, c.header, []byte(c.body), c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
