package gateway_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

const tokenPath = "/auth/realms/streams/protocol/openid-connect/token"

func TestToken(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	other := e.stream("default", registry.StreamSpec{Name: "other"})
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	escaped := func(s string) string { // what a careful client makes of any text
		var b strings.Builder
		for _, c := range []byte(s) {
			b.WriteString("%" + strings.ToUpper(hexByte(c)))
		}
		return b.String()
	}
	grant := url.Values{"grant_type": {"client_credentials"}}
	with := func(more ...string) string {
		v := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v.Encode()
	}
	for _, path := range []string{tokenPath, "/oauth2/token"} {
		for name, send := range map[string]func() answer{
			"Basic": func() answer {
				return e.send("POST", path, "", grant.Encode(), "Authorization", basic(st.ClientID, st.ClientSecret), "Content-Type", "application/x-www-form-urlencoded")
			},
			"Basic, escaped, with a scope": func() answer {
				return e.send("POST", path, "", with("scope", "offline_access"), "Authorization", basic(escaped(st.ClientID), escaped(st.ClientSecret)))
			},
			"form": func() answer {
				return e.send("POST", path, "", with("client_id", st.ClientID, "client_secret", st.ClientSecret))
			},
		} {
			a := send()
			var got auth.Issued
			if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}
			if got.TokenType != "Bearer" || got.ExpiresIn != 3600 || got.RefreshToken == "" || got.ExpiresAt < time.Now().Unix()+3500 {
				t.Errorf("%s: %s", name, a.body)
			}
			if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", name, a.header)
			}
			e.want(204, "POST", "/event", got.AccessToken, strings.TrimSpace(clicks(0, 1)))

			a = e.want(200, "POST", path, "", with("grant_type", "refresh_token", "client_id", st.ClientID, "client_secret", st.ClientSecret, "refresh_token", got.RefreshToken))
			var again auth.Issued
			if err := json.Unmarshal([]byte(a.body), &again); err != nil {
				t.Fatal(err)
			}
			e.want(204, "POST", "/event", again.AccessToken, strings.TrimSpace(clicks(0, 1)))

			// One client's refresh token is nothing in another's hands.
			a = e.want(400, "POST", path, "", with("grant_type", "refresh_token", "client_id", other.ClientID, "client_secret", other.ClientSecret, "refresh_token", got.RefreshToken))
			if !strings.HasPrefix(a.body, `{"error":"invalid_grant","error_description":"`) {
				t.Errorf("%s", a.body)
			}
		}
	}

	for _, row := range []struct {
		name, body, authorization string
		status                    int
		code                      string
	}{
		{"nothing", "", "", 401, "invalid_client"},
		{"no client", grant.Encode(), "", 401, "invalid_client"},
		{"wrong secret", grant.Encode(), basic(st.ClientID, "x"), 401, "invalid_client"},
		{"wrong secret in the form", with("client_id", st.ClientID, "client_secret", st.ClientSecret+"x"), "", 401, "invalid_client"},
		{"another's secret", grant.Encode(), basic(st.ClientID, other.ClientSecret), 401, "invalid_client"},
		{"no colon", grant.Encode(), "Basic " + base64.StdEncoding.EncodeToString([]byte(st.ClientID)), 401, "invalid_client"},
		{"no base64", grant.Encode(), "Basic !", 401, "invalid_client"},
		{"a bearer", grant.Encode(), "Bearer " + st.token, 401, "invalid_client"},
		{"no grant", "", basic(st.ClientID, st.ClientSecret), 400, "invalid_request"},
		{"other grant", "grant_type=password", basic(st.ClientID, st.ClientSecret), 400, "unsupported_grant_type"},
		{"no refresh token", "grant_type=refresh_token", basic(st.ClientID, st.ClientSecret), 400, "invalid_grant"},
		{"access for refresh", "grant_type=refresh_token&refresh_token=" + st.token, basic(st.ClientID, st.ClientSecret), 400, "invalid_grant"},
		{"bad form", "grant_type=%zz", basic(st.ClientID, st.ClientSecret), 400, "invalid_request"},
		{"large", strings.Repeat("x", 17<<10), "", 413, "invalid_request"},
	} {
		headers := []string{}
		if row.authorization != "" {
			headers = []string{"Authorization", row.authorization}
		}
		a := e.want(row.status, "POST", tokenPath, "", row.body, headers...)
		var no struct {
			Error string
			Text  string `json:"error_description"`
		}
		if err := json.Unmarshal([]byte(a.body), &no); err != nil || no.Error != row.code || no.Text == "" {
			t.Errorf("%s: %s", row.name, a.body)
		}
		if row.status == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", row.name)
		}
		for _, secret := range []string{st.ClientSecret, other.ClientSecret, st.token} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s: the answer repeats a secret", row.name)
			}
		}
	}
	e.want(405, "GET", tokenPath, "", "")

	// A deleted stream's client gets nothing more.
	if _, err := e.reg.DeleteStream(t.Context(), other.Project, "other", false); err != nil {
		t.Fatal(err)
	}
	e.want(401, "POST", tokenPath, "", grant.Encode(), "Authorization", basic(other.ClientID, other.ClientSecret))
}

func hexByte(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

func TestTokenDocuments(t *testing.T) {
	e := newEdge(t, nil)
	var keys struct {
		Keys []struct{ Kty, Kid, Alg, N, E string }
	}
	a := e.want(200, "GET", "/auth/realms/streams/protocol/openid-connect/certs", "", "")
	if err := json.Unmarshal([]byte(a.body), &keys); err != nil || len(keys.Keys) == 0 || keys.Keys[0].Kty != "RSA" {
		t.Errorf("%s", a.body)
	}
	var about map[string]any
	a = e.want(200, "GET", "/auth/realms/streams/.well-known/openid-configuration", "", "")
	if err := json.Unmarshal([]byte(a.body), &about); err != nil || !strings.HasSuffix(about["token_endpoint"].(string), tokenPath) {
		t.Errorf("%s", a.body)
	}
	e.want(405, "POST", "/auth/realms/streams/protocol/openid-connect/certs", "", "")
}
