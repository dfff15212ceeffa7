package registry_test

import (
	"testing"

	"sluice/auth"
	"sluice/relay/registry"
)

// TestAuthorize holds the law of who may use which stream. Each line is a caller, each column a stream of
// its project or another's; the letter is the verdict for that action: A allowed, F forbidden, N not
// found, D disabled.
func TestAuthorize(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	web, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	out, _ := create(t, r, p, registry.StreamSpec{Name: "out", DerivedFrom: "web", Levels: []int{1}})
	pay, _ := create(t, r, p, registry.StreamSpec{Name: "pay", Payload: "json"})
	create(t, r, p, registry.StreamSpec{Name: "off", Payload: "json"})
	off, err := r.UpdateStream(t.Context(), p, "off", registry.StreamPatch{Enabled: ptr(false)})
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := create(t, r, other, registry.StreamSpec{Name: "web", Payload: "json"})
	streams := []*registry.Stream{web, out, pay, off, foreign, nil}

	in := func(k auth.Kind, bound *registry.Stream) auth.Principal {
		who := auth.Principal{Kind: k, Project: p.ID}
		if bound != nil {
			who.Stream = bound.UUID
		}
		return who
	}
	letters := map[registry.Verdict]byte{registry.Allowed: 'A', registry.Forbidden: 'F', registry.NotFound: 'N', registry.Disabled: 'D'}
	actions := []auth.Action{auth.Send, auth.Read, auth.ReadRTDS, auth.Payload, auth.IssueTokens, auth.Manage, auth.Administer}
	for name, tc := range map[string]struct {
		who auth.Principal
		// For each action: web, derived, payload, disabled payload, another project's, none.
		want [7]string
	}{
		"nobody":      {auth.Principal{}, [7]string{"NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN"}},
		"admin":       {auth.Principal{Kind: auth.Admin}, [7]string{"AFADAN", "AAADAN", "AAADAN", "NNADAN", "AAAAAN", "AAAAAN", "AAAAAN"}},
		"user":        {in(auth.User, nil), [7]string{"AFADNN", "AAADNN", "AAADNN", "NNADNN", "AAAANN", "AAAANN", "FFFFNN"}},
		"web's own":   {in(auth.Stream, web), [7]string{"AFFFNN", "AFFFNN", "AFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"off's own":   {in(auth.Stream, off), [7]string{"FFFDNN", "FFFDNN", "FFFDNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"out's own":   {in(auth.Derived, out), [7]string{"FFFFNN", "FAFFNN", "FAFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"API key":     {in(auth.APIKey, nil), [7]string{"FFFFNN", "FFFFNN", "FFFFNN", "NNADNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"issuer":      {in(auth.Issuer, nil), [7]string{"FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "AAAANN", "FFFFNN", "FFFFNN"}},
		"integration": {in(auth.Integration, web), [7]string{"FFFFNN", "FFFFNN", "AFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"unbound":     {in(auth.Stream, nil), [7]string{"FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN", "FFFFNN"}},
		"no project":  {auth.Principal{Kind: auth.User}, [7]string{"NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN", "NNNNNN"}},
	} {
		for i, a := range actions {
			var got []byte
			for _, st := range streams {
				got = append(got, letters[r.Snapshot().Authorize(tc.who, a, st)])
			}
			if string(got) != tc.want[i] {
				t.Errorf("%s, %v: %s, want %s", name, a, got, tc.want[i])
			}
		}
	}
}

func TestAuthorizeProject(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		who    auth.Principal
		action auth.Action
		in     *registry.Project
		want   registry.Verdict
	}{
		{auth.Principal{Kind: auth.Admin}, auth.Administer, other, registry.Allowed},
		{auth.Principal{Kind: auth.Admin}, auth.Manage, nil, registry.NotFound},
		{auth.Principal{Kind: auth.User, Project: p.ID}, auth.Manage, p, registry.Allowed},
		{auth.Principal{Kind: auth.User, Project: p.ID}, auth.Manage, other, registry.NotFound},
		{auth.Principal{Kind: auth.User, Project: p.ID}, auth.Administer, p, registry.Forbidden},
		{auth.Principal{Kind: auth.Stream, Project: p.ID}, auth.Manage, p, registry.Forbidden},
		{auth.Principal{Kind: auth.Stream, Project: p.ID}, auth.Manage, other, registry.NotFound},
		{auth.Principal{}, auth.Manage, p, registry.NotFound},
	} {
		if got := r.Snapshot().AuthorizeProject(tc.who, tc.action, tc.in); got != tc.want {
			t.Errorf("%+v, %v: %v, want %v", tc.who, tc.action, got, tc.want)
		}
	}
	if registry.Verdict(0) != registry.NotFound {
		t.Error("the zero verdict gives something away")
	}
}
