package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// TestRoutesAreDocumented holds both routers to the document, and the document to them: nothing answers that it does not
// describe, but for /metrics and the documents themselves, and nothing is described that does not answer.
func TestRoutesAreDocumented(t *testing.T) {
	app := newManagement(manageConfig{})
	res, err := app.Test(httptest.NewRequest("GET", "/openapi.json", nil))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, item := range doc.Paths {
		for method := range item {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	routed := map[string]bool{}
	for _, r := range app.GetRoutes(true) {
		if r.Method == fiber.MethodHead || !strings.HasPrefix(r.Path, "/v1") {
			continue
		}
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		routed[r.Method+" "+strings.Join(parts, "/")] = true
	}
	if len(routed) == 0 {
		t.Error("the management API has no routes")
	}
	for _, n := range natives {
		for _, path := range append(n.aliases, n.path) {
			if r, ok := routeOf([]byte(regexp.MustCompile(`\{.*\}`).ReplaceAllString(path, "x"))); !ok || (r.get == nil) != (n.get == nil) || (r.post == nil) != (n.post == nil) {
				t.Errorf("%s is not routed as the table says", path)
			}
		}
		if n.get != nil {
			routed["GET "+n.path] = true
		}
		if n.post != nil {
			routed["POST "+n.path] = true
		}
	}
	for at := range routed {
		if !described[at] {
			t.Errorf("%s is not described", at)
		}
	}
	for at := range described {
		if !routed[at] {
			t.Errorf("%s is described, but nothing answers there", at)
		}
	}
	for at := range nativeSaid(huma.NewMapRegistry("#/", huma.DefaultSchemaNamer)) {
		if !routed[at] {
			t.Errorf("%s is told of, but is no native route", at)
		}
	}
}

// TestManagePanic makes handlers fail in ways that must not end the process or show anything.
func TestManagePanic(t *testing.T) {
	var logs strings.Builder
	app := newManagement(manageConfig{Log: slog.New(slog.NewJSONHandler(&logs, nil))})
	// Without a registry whatever looks at it panics.
	req := httptest.NewRequest("DELETE", "/v1/data-subjects/somebody-secret", nil)
	req.Header.Set("Authorization", "Bearer token-secret")
	res, err := app.Test(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"error":{"code":500,"status":"Internal Server Error","message":"The server could not complete the request; its log says why"}}`
	if res.StatusCode != 500 || string(body) != want || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
	}
	if got := logs.String(); !strings.Contains(got, "nil pointer") || strings.Contains(got, "secret") {
		t.Errorf("log: %s", got)
	}
}

func TestManageErrorTable(t *testing.T) {
	cases := []struct {
		err    error
		status int
		text   string
		hidden bool // the cause is for the log
	}{
		{&registry.Invalid{Field: "name", Reason: "is missing"}, 400, "name: is missing", false},
		{&contract.DefinitionError{Field: "schema", Err: errors.New("is none")}, 400, "schema: is none", false},
		{registry.ErrNotFound, 404, "", false},
		{registry.ErrExists, 409, "", false},
		{&registry.InUse{Text: "Cannot delete stream a: …"}, 409, "Cannot delete stream a: …", false},
		{engine.ErrConflict, 409, "", false},
		{engine.ErrTooLarge, 413, "", false},
		{engine.ErrBusy, 503, "", true},
		{engine.ErrClosed, 503, "", true},
		{engine.ErrDiskFull, 503, "", true},
		{fmt.Errorf("%w: %w", engine.ErrNoLog, context.DeadlineExceeded), 503, "The log does not answer", true},
		{registry.ErrContended, 503, "", true},
		{engine.ErrUnconfirmed, 504, "", true},
		{registry.ErrBehind, 504, "", true},
		{context.DeadlineExceeded, 504, "", true},
		{fmt.Errorf("%w: %w", registry.ErrBehind, context.DeadlineExceeded), 504, "The change is stored", true},
		{errors.New("something with a secret"), 500, "", true},
		{manageErrorf(418, "tea"), 418, "tea", false},
	}
	for _, c := range cases {
		got := manageErrorOf(fmt.Errorf("while trying: %w", c.err))
		if got.Err.Code != c.status || !strings.HasPrefix(got.Err.Message, c.text) || (got.cause != nil) != c.hidden {
			t.Errorf("%v: %+v", c.err, got)
		}
		if strings.Contains(got.Err.Message, "secret") || strings.Contains(got.Err.Message, "while trying") {
			t.Errorf("%v: message %q", c.err, got.Err.Message)
		}
		if retry := got.GetHeaders().Get("Retry-After"); (retry != "") != (c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, retry)
		}
	}
	if got := manageTaken(registry.ErrExists, "Stream", "a").Error(); got != "Stream 'a' exists already" {
		t.Errorf("taken: %s", got)
	}
	if got := manageTaken(fmt.Errorf("'a-2' %w", registry.ErrExists), "Stream", "").Error(); got != "Stream 'a-2' exists already" {
		t.Errorf("a name that the core chose: %s", got)
	}
	if got := manageTaken(registry.ErrNotFound, "Stream", "a"); !errors.Is(got, registry.ErrNotFound) {
		t.Errorf("not taken: %v", got)
	}
}

func TestManageProblem(t *testing.T) {
	many := make([]error, 0, 9)
	for i := range 9 {
		many = append(many, &huma.ErrorDetail{Location: fmt.Sprintf("body.m%d", i), Message: "unexpected property", Value: "secret"})
	}
	cases := []struct {
		status int
		detail string
		errs   []error
		want   int
		text   string
	}{
		{422, "validation failed", many[:1], 400, "m0: is not known here"},
		{422, "validation failed", many, 400, "m0: is not known here; m1: is not known here; m2: is not known here; m3: is not known here; m4: is not known here; and 4 more"},
		{422, "validation failed", []error{&huma.ErrorDetail{Location: "query.shape", Message: "expected value to be one of \"2021\""}}, 400, "query parameter shape: must be one of 2021"},
		{422, "validation failed", []error{&huma.ErrorDetail{Location: "body.ref", Message: "expected required property name to be present"}}, 400, "ref.name: is missing"},
		{422, "validation failed", []error{&huma.ErrorDetail{Location: "body", Message: "expected object"}}, 400, "The body must be an object"},
		{400, "bad", []error{&huma.ErrorDetail{Location: "body", Message: "is not valid JSON"}}, 400, "The body is not valid JSON"},
		{400, "request body is required", nil, 400, "The body is missing"},
		{413, "too large", nil, 413, "The body is larger than this route takes"},
		{413, "request body is too large limit=65537 bytes", nil, 413, "The body is larger than this route takes, 65536 bytes"},
		{500, "cannot read request body", []error{errors.New("secret")}, 500, "The server could not complete the request; its log says why"},
	}
	for _, c := range cases {
		got := manageProblem(huma.NewError(c.status, c.detail, c.errs...).(*huma.ErrorModel))
		if got.Err.Code != c.want || got.Err.Message != c.text {
			t.Errorf("got %d %q, want %d %q", got.Err.Code, got.Err.Message, c.want, c.text)
		}
	}
}

func TestManageSpans(t *testing.T) {
	good := map[string]time.Duration{
		"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "0d": 0, "0s": 0, "90m": 90 * time.Minute, "106751d": 106751 * manageDay,
	}
	for text, want := range good {
		got, err := manageParseSpan(text)
		if err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
		if back, err := manageParseSpan(manageSpan(want)); err != nil || back != want {
			t.Errorf("%v is written %s", want, manageSpan(want))
		}
	}
	if got := manageSpan(168 * time.Hour); got != "7d" {
		t.Errorf("a week is written %s", got)
	}
	for _, bad := range []string{"", "d", "7", "-1h", "-1d", "1d-1h", "7days", "1.5d", "106752d", "106751d24h", "99999999999999999999d", "+1d", " 7d"} {
		if got, err := manageParseSpan(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestManageSizes(t *testing.T) {
	good := map[string]int64{
		"0": 0, "1": 1, "512B": 512, "1KiB": 1024, "1kb": 1000, "100GB": 100e9, "100 GB": 100e9, "20GiB": 20 << 30, "1TiB": 1 << 40,
		"9223372036854775807": math.MaxInt64,
	}
	for text, want := range good {
		got, err := manageParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
		if back, err := manageParseSize(manageSize(want)); err != nil || back != want {
			t.Errorf("%d is written %s", want, manageSize(want))
		}
	}
	if got := manageSize(100e9); got != "100GB" {
		t.Errorf("written %s", got)
	}
	for _, bad := range []string{"", "B", "GB", "-1", "1.5GB", "1XB", "9223372036854775808", "9999999TiB", "+1", "1e3"} {
		if got, err := manageParseSize(bad); err == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}

func FuzzManageValues(f *testing.F) {
	for _, s := range []string{"7d", "1d12h30m", "100GB", "20 gib", "0", "106751d", "-1d", "1dd", "9223372036854775807B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := manageParseSpan(s); err == nil {
			if d < 0 {
				t.Errorf("%q is %v", s, d)
			}
			if back, err := manageParseSpan(manageSpan(d)); err != nil || back != d {
				t.Errorf("%q is %v, written %s, read %v %v", s, d, manageSpan(d), back, err)
			}
		}
		if n, err := manageParseSize(s); err == nil {
			if n < 0 {
				t.Errorf("%q is %d", s, n)
			}
			if back, err := manageParseSize(manageSize(n)); err != nil || back != n {
				t.Errorf("%q is %d, written %s, read %d %v", s, n, manageSize(n), back, err)
			}
		}
	})
}
