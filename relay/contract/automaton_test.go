package contract_test

import (
	"regexp"
	"testing"
	"unicode/utf8"

	"sluice/relay/contract"
)

const urlPattern = `^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]`

var patterns = []string{
	urlPattern, `^.+$`, ``, `a`, `^a`, `a$`, `^a$`, `\Aab*\z`, `a|^b`, `(?i)straße`, `(?i)k`, `[^a]`, `.`, `(?s).`, `\bfoo\b`, `\B`, `\Bo\B`,
	`(?m)^b$`, `(?m)^$`, `^$`, `\p{Greek}+\d`, `[à-ü]{2}`, `[^\x00-\x{10FFFF}]`, `(a|b)*abb`, `x{2,5}y`, `^[\w.+-]+@[\w-]+\.[\w.]+$`, `(?U)a+`,
	`[\x{10000}-\x{10FFFF}]`, `^[^ ]*\z`, `\b`, `\x{7ff}|\x{800}|\x{ffff}`, `[߿-ࠀ]`, `(^a)?b`, `^\b`, `$^`, `a{0}`,
	`(a*)*b`, `(?:)`, `^\d{4}-\d{2}-\d{2}$`,
}

func TestAutomaton(t *testing.T) {
	texts := []string{"", "a", "b", "ab", "ba", "aab", "\n", "a\nb", "a\nb\n", "\nb", "foo", " foo ", "foobar", "oo", "é", "aéa", "éa", "STRASSE", "straße", "STRAẞE",
		"K", "\u212a", "ü", "àü", "x", "xxy", "xxxxxxy", "jan@x.nl", "https://strmprivacy.io", "url", "ftp://", "😀", "a😀b", "\u07ff", "\u0800", "\uffff", "٣", "é٣", "2026-01-02", "\xef\xbf\xbd"}
	for _, p := range patterns {
		match, automaton, err := contract.CompilePattern(p)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if !automaton {
			t.Errorf("%s is no automaton", p)
		}
		re := regexp.MustCompile(p)
		for _, s := range texts {
			if got, want := match([]byte(s)), re.MatchString(s); got != want {
				t.Errorf("%q in %q: got %t, want %t", p, s, got, want)
			}
		}
	}
	// What would take too many states is left to regexp, and is still right.
	for _, p := range []string{`(a|b)*a(a|b){12}`, `\pL+\d`, `^(\pL{1,200}\pN?){1,5}$`} {
		match, automaton, err := contract.CompilePattern(p)
		if err != nil || automaton {
			t.Errorf("%s: automaton %t, %v", p, automaton, err)
		}
		if match([]byte("-")) {
			t.Errorf("%s matches -", p)
		}
	}
}

// FuzzAutomaton holds the automaton to regexp.
func FuzzAutomaton(f *testing.F) {
	for _, p := range patterns {
		f.Add(p, "https://foo.bar/é\nab")
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if !utf8.ValidString(s) || len(p) > 100 {
			return
		}
		re, err := regexp.Compile(p)
		match, automaton, cerr := contract.CompilePattern(p)
		if (err == nil) != (cerr == nil) {
			t.Fatalf("%q: regexp says %v, we say %v", p, err, cerr)
		}
		if err != nil || !automaton {
			return
		}
		if got, want := match([]byte(s)), re.MatchString(s); got != want {
			t.Fatalf("%q in %q: got %t, want %t", p, s, got, want)
		}
	})
}

func BenchmarkPattern(b *testing.B) {
	text := []byte("https://www.strmprivacy.io")
	match, _, _ := contract.CompilePattern(urlPattern)
	re := regexp.MustCompile(urlPattern)
	b.Run("automaton", func(b *testing.B) {
		for b.Loop() {
			match(text)
		}
	})
	b.Run("regexp", func(b *testing.B) {
		for b.Loop() {
			re.Match(text)
		}
	})
}
