package contract

// CompilePattern gives tests a pattern's verdict, and whether it became an automaton.
func CompilePattern(text string) (match func([]byte) bool, automaton bool, err error) {
	p, err := compilePattern(text)
	return p.match, p.dfa != nil, err
}
