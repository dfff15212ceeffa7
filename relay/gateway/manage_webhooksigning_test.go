package gateway_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/delivery/webhook"
)

// A webhook that signs with a private key shows the public one to whoever looks, and keeps its kind when the key is changed.
func TestManageWebhookPrivateKey(t *testing.T) {
	w := withWebhooks(t)
	box := &inbox{status: 204}
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	type keys struct{ Secret, PublicKey string }
	read := func(text string) (k keys) {
		t.Helper()
		w.must(json.Unmarshal([]byte(text), &k))
		return k
	}
	verified := func(n int, public string) {
		t.Helper()
		w.call(200, "POST", "/v1/webhooks/orders/test", "")
		if err := webhook.Verify(public, box.heads[n], []byte(box.bodies[n]), time.Now()); err != nil {
			t.Error(err)
		}
	}
	made := read(w.call(201, "POST", "/v1/webhooks", `{"name":"orders","stream":"web","url":"`+server.URL+`/in","signature":"v1a"}`).text)
	if !strings.HasPrefix(made.Secret, "whsk_") || !strings.HasPrefix(made.PublicKey, "whpk_") {
		t.Fatalf("made with %+v", made)
	}
	if got := read(w.call(200, "GET", "/v1/webhooks/orders", "").text); got != (keys{PublicKey: made.PublicKey}) {
		t.Errorf("GET shows %+v", got)
	}
	verified(0, made.PublicKey)
	fresh := read(w.call(200, "POST", "/v1/webhooks/orders/secret/rotate", "").text)
	if got := read(w.call(200, "GET", "/v1/webhooks/orders", "").text); got.PublicKey != fresh.PublicKey || fresh.PublicKey == made.PublicKey {
		t.Errorf("GET shows %+v after %+v", got, fresh)
	}
	verified(1, fresh.PublicKey)
	verified(2, made.PublicKey)
	shared := read(w.call(200, "POST", "/v1/webhooks/orders/secret/rotate", `{"signature":"v1"}`).text)
	if !strings.HasPrefix(shared.Secret, "whsec_") || shared.PublicKey != "" || read(w.call(200, "GET", "/v1/webhooks/orders", "").text).PublicKey != "" {
		t.Errorf("of the other kind: %+v", shared)
	}
	verified(3, shared.Secret)
	for _, body := range []string{`{"secret":"` + shared.Secret + `","signature":"v1a"}`, `{"secret":"` + fresh.Secret + `","signature":"v1"}`} {
		if a := w.call(400, "POST", "/v1/webhooks/orders/secret/rotate", body); a.message() != "signature: is of another kind than the secret: whsec_ is v1, whsk_ is v1a" {
			t.Errorf("%s: %s", body, a.message())
		}
	}
}
