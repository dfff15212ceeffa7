package main

import (
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/tidwall/gjson"
)

// TestWalk2021 types what "Creating Streams and Exporters with the CLI" of 2021 tells to type, in its order, with the host and the program's
// name replaced, against an S3 of this process, and holds what is printed to what it shows.
func TestWalk2021(t *testing.T) {
	const bucket = "bvandeenen-streammachine-bucket"
	store := s3mem.New()
	s3 := httptest.NewServer(gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(s3.Close)
	if err := store.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	w := newWalker(t, []string{"SLUICE_EXPORT_MIN_INTERVAL=1s"})

	// First create an account, which is the operator's to do; then log in with its e-mail address and password.
	w.run(`echo correct-horse-battery | sluice create user strm-bart@example.com --password-stdin`)
	w.set("SLUICE_TOKEN", "")
	if said := w.run(`echo correct-horse-battery | sluice auth login strm-bart@example.com --password-stdin`); said != "Succesfully logged in as strm-bart@example.com\n" {
		t.Errorf("login says %q", said)
	}
	if f, err := os.Stat(filepath.Join(w.dir, ".config", "sluice", "credentials.json")); err != nil || f.Mode().Perm() != 0o600 {
		t.Errorf("the file of the login: %v %v", f, err)
	}
	shown := regexp.MustCompile(`^Credentials for strm-bart@example\.com\nBilling id = default\d{10}\nCurrent token valid until = \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d UTC\n$`)
	if said := w.run(`sluice auth show`); !shown.MatchString(said) {
		t.Errorf("auth show says %q", said)
	}
	session := w.run(`sluice auth show --json`)
	w.like(session, `{"email": "strm-bart@example.com", "billingId": "<any>", "expiresAt": 0, "idToken": "<secret>", "refreshToken": "<secret>"}`, false)

	// Command completion.
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := w.run(`sluice --generate-completion ` + shell)
		if !strings.Contains(script, "sluice") {
			t.Errorf("no completion for %s", shell)
		}
		if _, err := exec.LookPath(shell); err == nil {
			w.file("completion", script)
			w.run(shell + ` -n completion`)
		}
	}

	// Creating a stream.
	w.like(w.run(`sluice streams list`), `[]`, false)
	made := w.run(`sluice streams create bart`)
	w.like(made, `{"name": "bart", "tags": [], "credentials": {"clientId": "<client>", "clientSecret": "<secret>"}}`, false)

	// Creating decrypted streams: every option and argument of the help is there.
	help := w.run(`sluice outputs create --help`)
	for _, word := range []string{
		"-cl", "--consent-level ", "-clt", "--consent-level-type", "GRANULAR", "CUMULATIVE", "-d, --description", "-t, --tag", "-dn", "--decrypter-name", "-h, --help", "create STREAM",
	} {
		if !strings.Contains(help, word) {
			t.Errorf("%q is not in the help:\n%s", word, help)
		}
	}
	w.like(w.run(`sluice outputs create bart level0-1 -cl 0 -cl 1 -clt GRANULAR`), `{
	  "linkedStream": "bart",
	  "name": "level0-1",
	  "tags": [],
	  "credentials": {"clientId": "<id>", "clientSecret": "<secret>"},
	  "consentLevelType": "GRANULAR",
	  "consentLevels": [0, 1],
	  "decrypterName": "default"
	}`, false)

	// Exporting to S3, with the file that aws iam create-access-key prints.
	w.file("s3.json", `{"AccessKey": {"UserName": "streammachine-bucket1", "AccessKeyId": "AKIDEXAMPLE", "Status": "Active",
	  "SecretAccessKey": "a-secret-that-nobody-sees", "CreateDate": "2021-01-15T09:00:00+00:00"}}`)
	w.set("S3", s3.URL)
	sink := w.run(`sluice sinks create s3 s3-bart --bucket-name ` + bucket + ` -cf s3.json --endpoint $S3 --region us-east-1 --path-style`)
	w.like(sink, `{"sinkType": "S3", "sinkName": "s3-bart", "bucketName": "`+bucket+`"}`, true)
	w.like(w.run(`sluice sinks list`), `[{"sinkType": "S3", "sinkName": "s3-bart", "bucketName": "`+bucket+`"}]`, true)
	for _, word := range []string{"-en", "--exporter-name", "-sn", "--sink-name", "-st", "--sink-type", "-i, --interval", "-pp", "--path-prefix", "create STREAM"} {
		if help := w.run(`sluice exporters create --help`); !strings.Contains(help, word) {
			t.Errorf("%q is not in the help:\n%s", word, help)
		}
	}
	w.like(w.run(`sluice exporters create -en s3 -sn s3-bart -st S3 -i 30 -pp level01 level0-1`), `{
	  "name": "s3",
	  "linkedStream": "level0-1",
	  "sinkName": "s3-bart",
	  "sinkType": "S3",
	  "intervalSecs": 30,
	  "type": "BATCH",
	  "pathPrefix": "level01"
	}`, false)

	// A simulator is running, and files are in the bucket; with a shorter interval, for half a minute is long.
	w.run(`sluice exporters delete level0-1 s3`)
	w.run(`sluice exporters create -en s3 -sn s3-bart -st S3 -i 1 -pp level01 level0-1`)
	header := map[string]string{"Authorization": "Bearer " + w.streamToken(gjson.Get(made, "credentials")), "Strm-Schema-Ref": "strmprivacy/example/1.5.0"}
	for _, levels := range []string{"0,1,2", "1", "0,1"} {
		event := `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":[` + levels + `]},"uniqueIdentifier":"heel mooi",
		  "consistentValue":"session-1","someSensitiveValue":"sensitive-1","notSensitiveValue":"not-sensitive-1"}`
		if got := w.send("POST", "/event", header, event); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	name := regexp.MustCompile(`^level01/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-stream-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\{0\}\.jsonl$`)
	var lines []string
	for deadline := time.Now().Add(30 * time.Second); len(lines) < 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d events are in the bucket", len(lines))
		}
		lines = nil
		list, err := store.ListBucket(bucket, &gofakes3.Prefix{HasPrefix: true, Prefix: "level01/"}, gofakes3.ListBucketPage{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Contents {
			if !name.MatchString(o.Key) {
				t.Errorf("an object is called %s", o.Key)
			}
			lines = append(lines, strings.Split(strings.TrimSpace(w.object(store, bucket, o.Key)), "\n")...)
		}
	}
	if len(lines) != 2 {
		t.Errorf("the bucket has %q", lines)
	}
	for i, levels := range []string{"[0, 1, 2]", "[0, 1]"} {
		w.like(lines[i], `{"strmMeta": {"eventContractRef": "strmprivacy/example/1.5.0", "nonce": 0, "timestamp": 0, "keyLink": "<uuid>", "consentLevels": `+levels+`},
		  "uniqueIdentifier": "heel mooi", "consistentValue": "<ciphertext>", "someSensitiveValue": "<ciphertext>", "notSensitiveValue": "not-sensitive-1"}`, false)
	}

	// And having a look inside one of the files: an event of a contract with a short id, which keeps it.
	w.set("SLUICE_TOKEN", walkToken)
	w.file("kiosk.json", kioskSchema)
	w.file("contract.json", `{"shortId": "nps_unified_v1", "keyField": "device_id", "piiFields": {"device_id": 1}}`)
	w.run(`sluice create data-contract walk/nps-unified/1.0.0 --schema-definition kiosk.json --contract-definition contract.json`)
	w.run(`sluice activate data-contract walk/nps-unified/1.0.0`)
	w.set("SLUICE_TOKEN", "")
	header = map[string]string{"Authorization": header["Authorization"], "Strm-Schema-Id": "nps_unified_v1"}
	if got := w.send("POST", "/event", header, strings.Replace(kioskEvent, "<meta>", `"nonce": 0, "timestamp": 0, `, 1)); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	line := w.run(`sluice listen events level0-1 --from=-1 --limit 1`)
	w.like(line, strings.Replace(kioskEvent, "<meta>", `"nonce": 0, "timestamp": 0, "keyLink": "<uuid>", "billingId": `+gjson.Get(session, "billingId").Raw+`, `, 1), false)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		list, err := store.ListBucket(bucket, &gofakes3.Prefix{HasPrefix: true, Prefix: "level01/2"}, gofakes3.ListBucketPage{})
		if err != nil {
			t.Fatal(err)
		}
		if last := list.Contents[len(list.Contents)-1]; w.object(store, bucket, last.Key) == line {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the event of the short id is not in the bucket")
		}
	}

	// Using the OpenApi user interface: without a token a 401, with that of the cli what there is.
	const unauthorized = `{"error": {"code": 401, "status": "Unauthorized", "message": "The request could not be authorized"}}`
	if got := w.send("GET", "/v1/streams", nil, ""); got.status != 401 {
		t.Errorf("%d without a token", got.status)
	} else {
		w.like(got.body, unauthorized, false)
	}
	token := strings.TrimSpace(w.run(`sluice auth print-access-token`))
	if got := w.send("GET", "/v1/streams?shape=2021", map[string]string{"Authorization": "Bearer " + token}, ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	} else {
		w.like(got.body, `[{"name": "bart", "tags": [], "credentials": {"clientId": "<client>"}}]`, false)
	}
	if got := w.send("GET", "/docs", nil, ""); got.status != 200 || !strings.Contains(got.body, "openapi") {
		t.Errorf("/docs is %d", got.status)
	}
}

// kioskSchema is of the kind that events had before there were contracts: strmMeta names the schema.
const kioskSchema = `{"type": "record", "name": "Kiosk", "fields": [
	{"name": "strmMeta", "type": {"type": "record", "name": "StrmMeta", "fields": [
		{"name": "schemaId", "type": "string"}, {"name": "nonce", "type": "int"}, {"name": "timestamp", "type": "long"},
		{"name": "keyLink", "type": ["null", "int"], "default": null}, {"name": "billingId", "type": ["null", "string"], "default": null},
		{"name": "consentLevels", "type": {"type": "array", "items": "int"}}]}},
	{"name": "platform", "type": "string"}, {"name": "device_id", "type": "string"}, {"name": "swimlane_rank", "type": "int"},
	{"name": "followable_type_value", "type": "boolean"}, {"name": "followable_clicked", "type": "boolean"}]}`

const kioskEvent = `{"strmMeta": {"schemaId": "nps_unified_v1", <meta>"consentLevels": [0, 1, 2]},
	"platform": "", "device_id": "heel mooi", "swimlane_rank": 8, "followable_type_value": false, "followable_clicked": true}`

// streamToken is an access token for a stream's credentials.
func (w *walker) streamToken(credentials gjson.Result) string {
	w.t.Helper()
	got := w.send("POST", "/auth", map[string]string{"Content-Type": "application/json"},
		`{"billingId":`+gjson.Get(w.run(`sluice auth show --json`), "billingId").Raw+`,"clientId":`+credentials.Get("clientId").Raw+`,"clientSecret":`+credentials.Get("clientSecret").Raw+`}`)
	token := gjson.Get(got.body, "idToken").Str
	if got.status != 200 || token == "" {
		w.t.Fatalf("/auth answers %d %s", got.status, got.body)
	}
	return token
}

// object is what an object of a bucket holds.
func (w *walker) object(store *s3mem.Backend, bucket, key string) string {
	w.t.Helper()
	o, err := store.GetObject(bucket, key, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer o.Contents.Close()
	text, err := io.ReadAll(o.Contents)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}
