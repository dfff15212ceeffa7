package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sluice/auth"
	"sluice/relay"
	"sluice/relay/backup"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

const manageAdmin = "management-test-admin-token"

// manageWorld is a gateway over a real log and registry, and a client that holds every answer to the OpenAPI document.
type manageWorld struct {
	t      *testing.T
	base   string
	reg    *registry.Registry
	relay  *relay.Relay
	vault  *consent.Vault
	doc    *manageDoc
	client *http.Client
	logs   *manageLog
	dir    string
	token  string // what calls carry unless they say otherwise
}

// manageLog collects log lines. Safe for concurrent use.
type manageLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *manageLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *manageLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newManageWorld(t *testing.T) *manageWorld {
	t.Helper()
	return newManageWorldWith(t, nil)
}

// newManageWorldWith is newManageWorld with further parts: more, if not nil, starts them and puts them into the edge's configuration.
func newManageWorldWith(t *testing.T, more func(*manageWorld, *engine.Engine, func(func(context.Context) error), *gateway.Config)) *manageWorld {
	t.Helper()
	w := &manageWorld{t: t, logs: &manageLog{}, dir: t.TempDir(), token: manageAdmin}
	log := slog.New(slog.NewJSONHandler(w.logs, nil))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	run := func(part func(context.Context) error) {
		running.Go(func() {
			if err := part(ctx); err != nil {
				t.Errorf("a part ended: %v", err)
			}
		})
	}
	e, err := engine.Open(ctx, engine.Config{Dir: filepath.Join(w.dir, "log"), MinFree: 1 << 20, Log: log})
	w.must(err)
	t.Cleanup(func() {
		cancel()
		running.Wait()
		w.must(e.Close())
	})
	run(e.Run)
	v, err := consent.Open(ctx, e.Cells(), consent.Config{Dir: w.dir, Log: log})
	w.must(err)
	run(v.Run)
	w.vault = v
	w.reg, err = registry.Open(ctx, e, v, registry.Config{AdminToken: manageAdmin, Log: log})
	w.must(err)
	run(w.reg.Run)
	w.relay = relay.New(e, v, w.reg, relay.Config{Log: log})
	run(w.relay.Run)
	edge := gateway.Config{Listen: "127.0.0.1:0", Registry: w.reg, Relay: w.relay, Version: "1.2.3", Log: log}
	edge.Backup = &backup.Source{Engine: e, Vault: v, Version: "1.2.3"}
	if more != nil {
		more(w, e, run, &edge)
	}
	g, err := gateway.Open(edge)
	w.must(err)
	run(g.Run)
	w.base = "http://" + g.Addr().String()
	w.client = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(w.client.CloseIdleConnections)
	w.doc = readManageDoc(t, w.client, w.base)
	return w
}

func (w *manageWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// manageAnswer is an answer, held to the document already.
type manageAnswer struct {
	status int
	header http.Header
	text   string
	json   any
}

// finerTime is a time with more than milliseconds.
var finerTime = regexp.MustCompile(`[0-9]T[0-9:]{8}\.[0-9]{4,}`)

// send makes a request to path, which is percent-encoded already, with a token ("": none) and a body ("": none).
func (w *manageWorld) send(method, path, token, body string, headers ...string) manageAnswer {
	w.t.Helper()
	var sent io.Reader
	if body != "" {
		sent = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, w.base+path, sent)
	w.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.client.Do(req)
	w.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	w.must(err)
	a := manageAnswer{status: res.StatusCode, header: res.Header, text: string(text)}
	if len(text) > 0 {
		if ct := res.Header.Get("Content-Type"); ct != "application/json" {
			w.t.Errorf("%s %s: Content-Type is %q", method, path, ct)
		}
		if err := json.Unmarshal(text, &a.json); err != nil {
			w.t.Fatalf("%s %s: the answer is not JSON: %s", method, path, text)
		}
		w.doc.check(w.t, method, req.URL.EscapedPath(), a)
		if fine := finerTime.FindString(a.text); fine != "" {
			w.t.Errorf("%s %s: a time is shown finer than all others: %s", method, path, fine)
		}
	}
	return a
}

// call is send with the world's token; it wants the status.
func (w *manageWorld) call(want int, method, path, body string, headers ...string) manageAnswer {
	w.t.Helper()
	a := w.send(method, path, w.token, body, headers...)
	if a.status != want {
		w.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, want, a.text)
	}
	return a
}

// at digs a value out of an answer: members by name, elements by number.
func (a manageAnswer) at(path ...string) any {
	v := a.json
	for _, p := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[p]
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func (a manageAnswer) str(path ...string) string {
	s, _ := a.at(path...).(string)
	return s
}

func (a manageAnswer) message() string { return a.str("error", "message") }

var manageUUID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// want compares the answer with JSON text in which "<uuid>" stands for a UUID, "<…>" for any other text that is not
// empty, and in which all members there may be are listed.
func (a manageAnswer) want(t *testing.T, text string) {
	t.Helper()
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !manageSame(want, a.json) {
		t.Errorf("got  %s\nwant %s", a.text, text)
	}
}

func manageSame(want, got any) bool {
	switch want := want.(type) {
	case string:
		got, ok := got.(string)
		switch {
		case want == "<uuid>":
			return manageUUID.MatchString(got)
		case strings.HasPrefix(want, "<"):
			return got != ""
		default:
			return ok && got == want
		}
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for k, v := range want {
			if have, there := got[k]; !there || !manageSame(v, have) {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for i, v := range want {
			if !manageSame(v, got[i]) {
				return false
			}
		}
		return true
	default:
		return want == got
	}
}

// streamToken makes an access token for a stream's own credentials, as they stand in an answer.
func (w *manageWorld) streamToken(created manageAnswer) string {
	w.t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {created.str("credentials", "0", "clientId")},
		"client_secret": {created.str("credentials", "0", "clientSecret")},
	}
	res, err := w.client.PostForm(w.base+"/auth/realms/streams/protocol/openid-connect/token", form)
	w.must(err)
	defer res.Body.Close()
	var issued auth.Issued
	w.must(json.NewDecoder(res.Body).Decode(&issued))
	if issued.AccessToken == "" {
		w.t.Fatalf("no token: status %d", res.StatusCode)
	}
	return issued.AccessToken
}

// manageDoc is the OpenAPI document as a client sees it.
type manageDoc struct {
	raw      map[string]any
	compiler *jsonschema.Compiler
	paths    []managePath
	mu       sync.Mutex
	seen     map[string]bool // method, path and status that answered
}

type managePath struct {
	template string
	match    *regexp.Regexp
}

const manageDocURL = "https://sluice.test/openapi.json"

var manageParam = regexp.MustCompile(`\\\{[a-z-]+\\\}`)

func readManageDoc(t *testing.T, client *http.Client, base string) *manageDoc {
	t.Helper()
	res, err := client.Get(base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parsed, err := jsonschema.UnmarshalJSON(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	d := &manageDoc{raw: parsed.(map[string]any), compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(manageDocURL, parsed); err != nil {
		t.Fatal(err)
	}
	for template := range d.raw["paths"].(map[string]any) {
		pattern := manageParam.ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		d.paths = append(d.paths, managePath{template, regexp.MustCompile("^" + pattern + "$")})
	}
	return d
}

// check holds an answer to what the document says of its path, method and status. Answers of paths or methods that the
// document does not know must be errors in our shape.
func (d *manageDoc) check(t *testing.T, method, path string, a manageAnswer) {
	t.Helper()
	schema := "/components/schemas/Error"
	for _, p := range d.paths {
		if !p.match.MatchString(path) {
			continue
		}
		op, ok := d.raw["paths"].(map[string]any)[p.template].(map[string]any)[strings.ToLower(method)].(map[string]any)
		if !ok {
			break
		}
		status := strconv.Itoa(a.status)
		responses := op["responses"].(map[string]any)
		if _, ok := responses[status]; !ok {
			status = "default"
		}
		d.mu.Lock()
		d.seen[strings.Join([]string{method, p.template, status}, " ")] = true
		d.mu.Unlock()
		at := strings.ReplaceAll(strings.ReplaceAll(p.template, "~", "~0"), "/", "~1")
		at = url.PathEscape(at)
		schema = "/paths/" + at + "/" + strings.ToLower(method) + "/responses/" + status + "/content/application~1json/schema"
		break
	}
	d.mu.Lock()
	compiled, err := d.compiler.Compile(manageDocURL + "#" + schema)
	d.mu.Unlock()
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s %s: %d is not as documented: %v\n%s", method, path, a.status, err, a.text)
	}
	if a.status >= 400 {
		code, _ := a.at("error", "code").(float64)
		if int(code) != a.status || a.str("error", "status") != http.StatusText(a.status) || a.message() == "" {
			t.Errorf("%s %s: %d with %s", method, path, a.status, a.text)
		}
	}
}
