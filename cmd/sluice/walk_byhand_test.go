package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

const clickstreamRef = "strmprivacy/clickstream/1.0.0"

// demoEvent is the click event of the tutorial, whose url is first one that the contract forbids.
const demoEvent = `{
  "strmMeta": {
    "eventContractRef": "strmprivacy/clickstream/1.0.0",
    "consentLevels": [0]
  },
  "producerSessionId": "producer",
  "url": "url",
  "eventType": "click",
  "referrer": "referrer-id",
  "userAgent": "user-agent",
  "conversion": 0,
  "customer": {
    "id": "customer-id"
  },
  "abTests": ["a", "b"]
}
`

// TestWalkByHand types what "Sending and receiving manually" tells to type, in its order, with the host and the program's name replaced, and
// holds what is printed to what it shows.
func TestWalkByHand(t *testing.T) {
	w := newWalker(t, nil, "--tls-self-signed")

	// First create a stream.
	made := w.run(`sluice create stream by-hand --save`)
	w.like(made, `{
	  "ref": {"name": "by-hand", "projectId": "<uuid>"},
	  "enabled": true,
	  "limits": {"eventRate": "999999", "eventCount": "999999999"},
	  "credentials": [{"clientId": "<client>", "clientSecret": "<secret>", "projectId": "<uuid>"}],
	  "masked_fields": {}
	}`, true)
	id, secret := gjson.Get(made, "credentials.0.clientId").Str, gjson.Get(made, "credentials.0.clientSecret").Str

	// Request an access token with the client credentials grant.
	const tokenPath = "/auth/realms/streams/protocol/openid-connect/token"
	var issued string
	if w.curl {
		w.set("client", id+":"+secret)
		issued = w.run(`curl -sS -X POST -u "$client" -d "grant_type=client_credentials" "$SLUICE_URL` + tokenPath + `"`)
	} else {
		issued = w.send("POST", tokenPath, map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode()).body
	}
	w.like(issued, `{"access_token": "<secret>", "token_type": "Bearer", "expires_in": 3600}`, true)
	token := gjson.Get(issued, "access_token").Str
	if parts := strings.Split(token, "."); len(parts) != 3 {
		t.Errorf("the token cannot be looked at in jwt.io: %q", token)
	}
	w.set("accessToken", token)

	// Send demo.json with httpie: 400, as expected, and in two lines.
	header := map[string]string{"Authorization": "Bearer " + token, "Strm-Schema-Ref": clickstreamRef, "Content-Type": "application/json"}
	got := w.send("POST", "/event", header, demoEvent)
	const rule = `^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]`
	want := "Field: 'url' in event with schema: '" + clickstreamRef + "' with value: 'url'\n  doesn't match regex: '" + rule + "'"
	if got.status != 400 || strings.TrimRight(got.body, "\n") != want {
		t.Errorf("a bad url gives %d\n%s\nwant\n%s", got.status, got.body, want)
	}

	// Modify the url, and send it again.
	good := strings.Replace(demoEvent, `"url": "url"`, `"url": "https://strmprivacy.io"`, 1)
	if got := w.send("POST", "/event", header, good); got.status != 204 || got.body != "" {
		t.Errorf("a good event gives %d %s", got.status, got.body)
	}

	// cURL instead of httpie.
	w.file("demo.json", good)
	if w.curl && strings.Contains(w.run(`curl --version`), "HTTP2") {
		said := w.run(`curl -v $SLUICE_URL/event \
    -H "authorization: Bearer $accessToken" \
    -H "Strm-Schema-Ref:strmprivacy/clickstream/1.0.0" --data-binary @demo.json 2>&1`)
		for _, line := range []string{"> POST /event HTTP/2", "> Strm-Schema-Ref:strmprivacy/clickstream/1.0.0", "> content-length: ", "< HTTP/2 204"} {
			if !strings.Contains(strings.ToLower(said), strings.ToLower(line)) {
				t.Errorf("curl -v does not say %q:\n%s", line, said)
			}
		}
	} else if got := w.send("POST", "/event", header, good); got.status != 204 {
		t.Errorf("again it gives %d %s", got.status, got.body)
	}

	// Decrypting data: first, create a derived stream.
	derived := w.run(`sluice create stream --derived-from by-hand --levels 2 --save`)
	w.like(derived, `{
	  "ref": {"name": "by-hand-2", "projectId": "<uuid>"},
	  "consentLevels": [2],
	  "consentLevelType": "CUMULATIVE",
	  "enabled": true,
	  "linkedStream": "by-hand",
	  "tags": [],
	  "credentials": [{"clientId": "<id>", "clientSecret": "<secret>", "projectId": "<uuid>"}]
	}`, false)

	// Listen to both, and send an event of the demo contract. What a listener does not show is known when the next event is there.
	source, two := w.listen("listen", "web-socket", "by-hand", "--from", "EARLIEST"), w.listen("listen", "web-socket", "by-hand-2")
	w.connected("by-hand-2") // it begins with what comes from then on
	header["Strm-Schema-Ref"] = "strmprivacy/example/1.3.0"
	example := `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.3.0","consentLevels":[0,1,2,3]},"uniqueIdentifier":"unique-14",
	 "consistentValue":"session-740","someSensitiveValue":"sensitive-14","notSensitiveValue":"not-sensitive-39"}`
	if got := w.send("POST", "/event", header, example); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w.like(two.next(), `{
	  "strmMeta": {"eventContractRef": "strmprivacy/example/1.3.0", "nonce": 0, "timestamp": 0, "keyLink": "<uuid>", "consentLevels": [0, 1, 2, 3]},
	  "uniqueIdentifier": "unique-14",
	  "consistentValue": "session-740",
	  "someSensitiveValue": "<ciphertext>",
	  "notSensitiveValue": "not-sensitive-39"
	}`, false)
	source.next() // that of httpie, which is as that of curl
	w.like(source.next(), `{
	  "strmMeta": {"eventContractRef": "strmprivacy/clickstream/1.0.0", "nonce": 0, "timestamp": 0, "keyLink": "<uuid>", "consentLevels": [0]},
	  "producerSessionId": "<ciphertext>", "url": "https://strmprivacy.io", "eventType": "click", "referrer": "referrer-id",
	  "userAgent": "user-agent", "conversion": 0, "customer": {"id": "<ciphertext>"}, "abTests": ["a", "b"]
	}`, false)
	w.like(source.next(), `{
	  "strmMeta": {"eventContractRef": "strmprivacy/example/1.3.0", "nonce": 0, "timestamp": 0, "keyLink": "<uuid>", "consentLevels": [0, 1, 2, 3]},
	  "uniqueIdentifier": "<ciphertext>", "consistentValue": "<ciphertext>", "someSensitiveValue": "<ciphertext>", "notSensitiveValue": "not-sensitive-39"
	}`, false)
	source.interrupt()
	two.interrupt()

	// And finally, clean up: everything that has been deleted is returned.
	gone := w.run(`sluice delete stream by-hand --recursive`)
	w.like(gone, `{"stream": {"ref": {"name": "by-hand", "projectId": "<uuid>"}, "enabled": true, "limits": {"eventRate": "999999", "eventCount": "999999999"},
	  "credentials": [{"clientId": "<client>", "projectId": "<uuid>"}], "masked_fields": {}},
	  "derived": [{"ref": {"name": "by-hand-2", "projectId": "<uuid>"}, "consentLevels": [2], "consentLevelType": "CUMULATIVE", "enabled": true,
	  "linkedStream": "by-hand", "credentials": [{"clientId": "<id>", "projectId": "<uuid>"}]}]}`, true)
	w.like(w.run(`sluice list streams`), `[]`, false)
}
