package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

const password = "the password of Ann"

func login(t *testing.T, r *registry.Registry, email, password string) registry.Session {
	t.Helper()
	s, err := r.Login(t.Context(), email, password)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUsers(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	p := defaultProject(t, r)
	u, err := r.CreateUser(t.Context(), p, "Ann@Example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := r.CreateProject(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreateUser(t.Context(), other, "ann@example.COM", password); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the same address: %v", err)
	}
	if r.Snapshot().User(p, "ann@example.com") != u || r.Snapshot().User(p, u.ID) != u || r.Snapshot().User(other, u.ID) != nil || len(r.Snapshot().Users(p)) != 1 {
		t.Error("the user is not found where it is, or where it is not")
	}

	s := login(t, r, "ann@example.com", password)
	who, err := r.Authenticate([]byte(s.Tokens.AccessToken))
	if want := (auth.Principal{Kind: auth.User, Project: p.ID, Subject: u.ID, TokenID: who.TokenID}); err != nil || who != want {
		t.Errorf("%+v, %v", who, err)
	}
	snap := r.Snapshot()
	if snap.AuthorizeProject(who, auth.Manage, p) != registry.Allowed || snap.AuthorizeProject(who, auth.Manage, other) != registry.NotFound ||
		snap.AuthorizeProject(who, auth.Administer, p) != registry.Forbidden {
		t.Error("a user may not do what it may, or more")
	}
	for name, tc := range map[string][2]string{
		"wrong": {"ann@example.com", password + "x"}, "empty": {"ann@example.com", ""}, "unknown": {"bob@example.com", password}, "nothing": {"", ""},
		"hostile": {strings.Repeat("x", 100_000), strings.Repeat("y", 100_000)},
	} {
		if _, err := r.Login(t.Context(), tc[0], tc[1]); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// The access token ends, the refresh token gives another; neither does the other's work.
	c.advance(time.Hour)
	if _, err := r.Authenticate([]byte(s.Tokens.AccessToken)); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("after an hour: %v", err)
	}
	renewed, err := r.Resume(t.Context(), s.Tokens.RefreshToken)
	if err != nil || kindOf(t, r, []byte(renewed.Tokens.AccessToken)) != auth.User {
		t.Fatal(err)
	}
	if _, err := r.Resume(t.Context(), renewed.Tokens.AccessToken); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("resumed by an access token: %v", err)
	}
	if _, err := r.ResumeStream(t.Context(), renewed.Tokens.RefreshToken); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a user's refresh token is a stream's: %v", err)
	}

	// A new password, and the end of all sessions, end what was issued before.
	for name, end := range map[string]func() error{
		"a new password": func() error {
			_, err := r.UpdateUser(t.Context(), u.ID, registry.UserPatch{Password: ptr(password)})
			return err
		},
		"the end of all sessions": func() error { return r.EndSessions(t.Context(), u.ID) },
	} {
		s := login(t, r, "ann@example.com", password)
		kindOf(t, r, []byte(s.Tokens.AccessToken))
		if err := end(); err != nil {
			t.Fatal(err)
		}
		refused(t, r, name, []byte(s.Tokens.AccessToken))
		if _, err := r.Resume(t.Context(), s.Tokens.RefreshToken); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: resumed: %v", name, err)
		}
	}
	s = login(t, r, "ann@example.com", password)
	if _, err := r.UpdateUser(t.Context(), u.ID, registry.UserPatch{Email: ptr("ann@example.org")}); err != nil {
		t.Fatal(err)
	}
	if kindOf(t, r, []byte(s.Tokens.AccessToken)) != auth.User || login(t, r, "ann@example.org", password).User.ID != u.ID {
		t.Error("a new address ended the session, or does not let in")
	}
	if _, err := r.Login(t.Context(), "ann@example.com", password); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the old address: %v", err)
	}
	if _, err := r.DeleteUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "a deleted user's", []byte(s.Tokens.AccessToken))
	if _, err := r.CreateUser(t.Context(), other, "ann@example.org", password); err != nil {
		t.Errorf("the address was not free again: %v", err)
	}
}

func TestUserInput(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	for _, tc := range []struct{ email, password, field string }{
		{"", password, "email"}, {"ann", password, "email"}, {"Ann <ann@example.com>", password, "email"}, {"ann@" + strings.Repeat("x", 255), password, "email"},
		{"ann@example.com", "", "password"}, {"ann@example.com", "short", "password"}, {"ann@example.com", strings.Repeat("x", 2000), "password"},
	} {
		var invalid *registry.Invalid
		if _, err := r.CreateUser(t.Context(), p, tc.email, tc.password); !errors.As(err, &invalid) || invalid.Field != tc.field || tc.password != "" && strings.Contains(invalid.Reason, tc.password) {
			t.Errorf("%q %q: %v", tc.email, tc.password, err)
		}
	}
}

// TestUsersAcrossNodes: who was made on one node logs in on the other at once, and after a restart; the store holds no password.
func TestUsersAcrossNodes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	u, err := one.CreateUser(t.Context(), defaultProject(t, one), "ann@example.com", password)
	if err != nil {
		t.Fatal(err)
	}
	here := login(t, two, "ann@example.com", password)
	if kindOf(t, one, []byte(here.Tokens.AccessToken)) != auth.User {
		t.Error("not a user")
	}
	cells, err := s.engine.Cells().List(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if strings.Contains(string(c.Value), password) {
			t.Errorf("cell %s holds the password", c.Key)
		}
	}
	if err := one.EndSessions(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	until(t, "ended on the other node", func() bool {
		_, err := two.Authenticate([]byte(here.Tokens.AccessToken))
		return errors.Is(err, auth.ErrInvalid)
	})
	s.close()
	login(t, node(t, openStore(t, dir), registry.Config{}), "ann@example.com", password)
}

func TestStreamSession(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	st, credentials := create(t, r, p, registry.StreamSpec{Name: "web"})
	issued, err := r.StreamSession(t.Context(), p.BillingID, credentials.ClientID, credentials.ClientSecret)
	if err != nil || kindOf(t, r, []byte(issued.AccessToken)) != auth.Stream {
		t.Fatal(err)
	}
	for name, tc := range map[string][3]string{
		"another billing id": {"default0000000000x", credentials.ClientID, credentials.ClientSecret}, "no billing id": {"", credentials.ClientID, credentials.ClientSecret},
		"another secret": {p.BillingID, credentials.ClientID, "x"}, "nobody": {p.BillingID, "x", credentials.ClientSecret},
	} {
		if _, err := r.StreamSession(t.Context(), tc[0], tc[1], tc[2]); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if again, err := r.ResumeStream(t.Context(), issued.RefreshToken); err != nil || kindOf(t, r, []byte(again.AccessToken)) != auth.Stream {
		t.Error(err)
	}
	if _, err := r.DeleteStream(t.Context(), p, st.Name, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ResumeStream(t.Context(), issued.RefreshToken); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("of a deleted stream: %v", err)
	}
}
