//go:build parts

package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/loadtest/server"
)

// verifying is a receiver as their documents have it: the raw body and the headers go to each published verifier, with each secret it
// was given. It says which of them took the delivery, and which took it with a byte more.
const verifying = `
const verifiers = [require('standardwebhooks').Webhook, require('svix').Webhook]
const takes = (body, headers) => process.argv.slice(2).flatMap(secret => verifiers.map(Verifier => {
  try { new Verifier(secret).verify(body, headers); return true } catch (e) { return false }
}))
const server = require('http').createServer((req, res) => {
  const parts = []
  req.on('data', part => parts.push(part))
  req.on('end', () => {
    const body = Buffer.concat(parts).toString()
    const spoilt = takes(body + ' ', req.headers).includes(true)
    console.log(JSON.stringify({id: req.headers['webhook-id'], body, takes: takes(body, req.headers), spoilt}))
    res.end()
  })
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({port: server.address().port})))
`

// TestPublishedVerifiers: the verifiers that receivers take from their registries accept what is delivered, by the secret that signs and
// for a day by the one before it, and nothing else.
func TestPublishedVerifiers(t *testing.T) {
	r := &rig{t: t, dir: t.TempDir()}
	install(t, r.dir, "standardwebhooks@1.0.0", "svix@1.84.1")
	if err := os.WriteFile(filepath.Join(r.dir, "verifying.js"), []byte(verifying), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	r.server, err = server.Start(t.Context(), server.Config{Binary: binary, Data: filepath.Join(t.TempDir(), "data"), Args: []string{"--webhooks-allow-cidrs", "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.server.Kill() })

	const first, second = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	p := r.run("verifying.js", first, second)
	var receiver struct{ Port int }
	said := func(n int) string {
		return p.until(fmt.Sprintf("line %d", n), func(all []string) bool { return len(all) > n })[n]
	}
	if err := json.Unmarshal([]byte(said(0)), &receiver); err != nil {
		t.Fatal(err)
	}
	r.call("POST", "/v1/streams", `{"name":"web","payload":"json"}`)
	r.call("POST", "/v1/webhooks", fmt.Sprintf(`{"name":"orders","stream":"web","url":"http://127.0.0.1:%d/in","secret":%q,"batchSize":5,"envelope":"none"}`, receiver.Port, first))

	const events = `{"name":"größer ☃","n":1}` + "\n" + `{"name":"\u0000 \"\\","n":2}` + "\n"
	took := func(n int, want ...bool) {
		t.Helper()
		var got struct {
			ID, Body string
			Takes    []bool // by the first secret, then by the second
			Spoilt   bool
		}
		if err := json.Unmarshal([]byte(said(n)), &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Takes, want) || got.Spoilt || !strings.HasPrefix(got.ID, "msg_") {
			t.Errorf("delivery %d: %+v, want %v", n, got, want)
		}
		if want := "[" + strings.ReplaceAll(strings.TrimSpace(events), "\n", ",") + "]"; got.Body != want {
			t.Errorf("delivery %d: %s, want %s", n, got.Body, want)
		}
	}
	r.call("POST", "/v1/streams/web/events", events)
	took(1, true, true, false, false)
	r.call("POST", "/v1/webhooks/orders/secret/rotate", fmt.Sprintf(`{"secret":%q}`, second))
	r.call("POST", "/v1/streams/web/events", events)
	took(2, true, true, true, true)
}
