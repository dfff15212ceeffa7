package auth

import (
	"fmt"
	"testing"
	"time"
)

// TestSeenIsBounded fills the table far beyond its size; only the inside shows that it stays there, and
// signing that many tokens would take a minute.
func TestSeenIsBounded(t *testing.T) {
	s := newSeen()
	now := time.Unix(1_800_000_000, 0)
	const n = 2 * seenSets * seenWays
	for i := range n {
		token := fmt.Sprint("token-", i)
		s.keep(s.sum([]byte(token)), &verified{token: token, claims: Claims{ClientID: token, Expires: now.Add(time.Duration(i+1) * time.Second)}}, now)
	}
	kept := 0
	for i := range n {
		token := []byte(fmt.Sprint("token-", i))
		if v := s.find(s.sum(token), token); v != nil {
			kept++
			if v.claims.ClientID != string(token) {
				t.Fatalf("%s is remembered as %s", token, v.claims.ClientID)
			}
		}
	}
	if kept > seenSets*seenWays || kept < seenSets*seenWays*9/10 {
		t.Errorf("%d of %d are remembered, there is room for %d", kept, n, seenSets*seenWays)
	}
	last := []byte(fmt.Sprint("token-", n-1))
	if s.find(s.sum(last), last) == nil {
		t.Error("the newest token was forgotten")
	}
}

// TestSeenComparesWholeTokens: an equal sum alone is no hit.
func TestSeenComparesWholeTokens(t *testing.T) {
	s := newSeen()
	now := time.Unix(1_800_000_000, 0)
	sum := s.sum([]byte("genuine"))
	s.keep(sum, &verified{token: "genuine", claims: Claims{ClientID: "a", Expires: now.Add(time.Hour)}}, now)
	if s.find(sum, []byte("genuinx")) != nil || s.find(sum, []byte("genuine-and-more")) != nil || s.find(sum, []byte("genui")) != nil {
		t.Error("another token with the same sum was taken for the genuine one")
	}
	if s.find(sum, []byte("genuine")) == nil {
		t.Error("the genuine one was not found")
	}
}

// TestSeenReplacesExpired: what is expired makes room first.
func TestSeenReplacesExpired(t *testing.T) {
	s := newSeen()
	now := time.Unix(1_800_000_000, 0)
	for i := range seenWays { // all in one set
		expires := now.Add(time.Hour)
		if i == 2 {
			expires = now
		}
		token := fmt.Sprint("t", i)
		s.keep(5, &verified{token: token, claims: Claims{Expires: expires}}, now.Add(-time.Hour))
	}
	s.keep(5, &verified{token: "new", claims: Claims{Expires: now.Add(time.Minute)}}, now)
	for token, want := range map[string]bool{"t0": true, "t1": true, "t2": false, "t3": true, "new": true} {
		if got := s.find(5, []byte(token)) != nil; got != want {
			t.Errorf("%s remembered: %v", token, got)
		}
	}
}
