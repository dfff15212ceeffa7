package auth_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"sluice/auth"
)

func TestNewSecret(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	seen := map[string]bool{}
	count := map[rune]int{}
	const n, length = 2000, 40
	for range n {
		secret := auth.NewSecret(length)
		if len(secret) != length || strings.Trim(secret, alphabet) != "" || seen[secret] {
			t.Fatalf("secret %q", secret)
		}
		seen[secret] = true
		for _, c := range secret {
			count[c]++
		}
	}
	// Each letter is expected 1,290 times with a deviation of 36: six of them are missed once in 10^8 runs.
	for _, c := range alphabet {
		if count[c] < 1290-220 || count[c] > 1290+220 {
			t.Errorf("%q came up %d times, about 1290 are expected", c, count[c])
		}
	}
}

func TestHash(t *testing.T) {
	// SHA-256 of "abc" as FIPS 180-4 gives it.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := auth.Hash("abc"); got != abc {
		t.Errorf("Hash = %s", got)
	}
	for _, tc := range []struct {
		hash, secret string
		want         bool
	}{
		{abc, "abc", true}, {strings.ToUpper(abc), "abc", true},
		{abc, "abd", false}, {abc, "", false}, {"", "", false}, {"", "abc", false},
		{abc[:62], "abc", false}, {abc + "00", "abc", false}, {strings.Repeat("z", 64), "abc", false},
	} {
		if got := auth.Equal(tc.hash, tc.secret); got != tc.want {
			t.Errorf("Equal(%q, %q) = %v", tc.hash, tc.secret, got)
		}
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"":                  "",
		"Bearer":            "",
		"Bearer ":           "",
		"Bearer abc":        "abc",
		"bearer abc":        "abc",
		"BEARER   abc  ":    "abc",
		"Bearer\tabc":       "abc",
		"  Bearer abc":      "abc",
		"Bearerabc":         "",
		"Basic abc":         "",
		"abc":               "",
		"Bearer abc def":    "abc def",
		"Bearer a.b-c_d~+/": "a.b-c_d~+/",
	} {
		got := auth.Bearer([]byte(header))
		if string(got) != want || (want == "") != (got == nil) {
			t.Errorf("Bearer(%q) = %q", header, got)
		}
	}
	header := []byte("Bearer abc")
	if n := testing.AllocsPerRun(100, func() { auth.Bearer(header) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func TestBasicCredentials(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for header, want := range map[string][]auth.Candidate{
		basic("stream-a:secret"):                 {{"stream-a", "secret"}},
		basic("id:sec#ret(1"):                    {{"id", "sec#ret(1"}},
		basic("id:sec%23ret%281"):                {{"id", "sec%23ret%281"}, {"id", "sec#ret(1"}},
		basic("i%3Ad:a%3Ab"):                     {{"i%3Ad", "a%3Ab"}, {"i:d", "a:b"}},
		basic("id:a:b"):                          {{"id", "a:b"}},
		basic("id:100%"):                         {{"id", "100%"}},
		basic("id%:a%20b"):                       {{"id%", "a%20b"}},
		basic("id:a+b"):                          {{"id", "a+b"}, {"id", "a b"}},
		basic(":"):                               {{"", ""}},
		"bAsIc aWQ6c2VjcmV0":                     {{"id", "secret"}},
		"Basic aWQ6c2VjcmV0cw":                   {{"id", "secrets"}}, // without the padding
		basic("no colon"):                        nil,
		"Basic !!!":                              nil,
		"Basic":                                  nil,
		"Bearer aWQ6c2VjcmV0":                    nil,
		"":                                       nil,
		basic(strings.Repeat("a", 9<<10) + ":b"): nil,
	} {
		if got := auth.BasicCredentials([]byte(header)); !slices.Equal(got, want) {
			t.Errorf("BasicCredentials(%.60q) = %q, want %q", header, got, want)
		}
	}
}
