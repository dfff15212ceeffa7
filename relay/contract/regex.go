package contract

import "regexp"

// pattern is a compiled regular expression: a byte automaton where that is small, else Go's own.
type pattern struct {
	dfa *automaton
	re  *regexp.Regexp
}

// compilePattern compiles RE2 syntax for an unanchored search in valid UTF-8.
func compilePattern(text string) (pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return pattern{}, err
	}
	return pattern{dfa: automatonOf(text), re: re}, nil
}

// match tells whether the text contains a match.
func (p *pattern) match(text []byte) bool {
	if p.dfa != nil {
		return p.dfa.match(text)
	}
	return p.re.Match(text)
}
