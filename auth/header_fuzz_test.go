package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sluice/auth"
)

// FuzzBasicCredentials holds the header's reading to net/http's and the decoding to net/url's.
func FuzzBasicCredentials(f *testing.F) {
	for _, s := range []string{"Basic aWQ6c2VjcmV0", "basic aWQ6c2VjJTIzcmV0", "Basic ", "Basic Og==", "Bearer x", "Basic !", "Basic aWQ6KyUyMCU="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if strings.ContainsAny(header, "\r\n") || len(header) > 8<<10 {
			return // no header has a line break, and longer ones are refused
		}
		got := auth.BasicCredentials([]byte(header))
		id, secret, ok := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
		if ok && (len(got) == 0 || got[0] != auth.Candidate{ID: id, Secret: secret}) {
			t.Fatalf("%q: %q, net/http reads %q %q", header, got, id, secret)
		}
		if len(got) > 2 {
			t.Fatalf("%q: %d readings", header, len(got))
		}
		if len(got) == 2 {
			id, err := url.QueryUnescape(got[0].ID)
			if err != nil || id != got[1].ID {
				t.Fatalf("%q: id %q from %q", header, got[1].ID, got[0].ID)
			}
			secret, err := url.QueryUnescape(got[0].Secret)
			if err != nil || secret != got[1].Secret || got[0] == got[1] {
				t.Fatalf("%q: secret %q from %q", header, got[1].Secret, got[0].Secret)
			}
		}
		if len(got) > 0 && auth.Bearer([]byte(header)) != nil {
			t.Fatalf("%q is Basic and Bearer", header)
		}
	})
}
