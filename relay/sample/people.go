package sample

// spelling is one first name as JSON text, in two spellings that decode to the same string.
type spelling struct{ plain, escaped string }

// firstNames are what is in front of a person's number: ASCII, accents, other scripts, an emoji
// outside the basic plane, a quote and a backslash. A person is written now in one spelling, now in
// the other, and is the same person.
var firstNames = [...]spelling{
	{`anna`, `\u0061nna`},
	{`zoë`, `zo\u00eb`},
	{`jürgen`, `j\u00FCrgen`},
	{`李雷`, `\u674e\u96f7`},
	{`олена`, `\u043e\u043b\u0435\u043d\u0430`},
	{`😀max`, `\ud83d\ude00max`},
	{`o\"neil`, `o\u0022neil`},
	{`back\\slash`, `back\u005cslash`},
	{`a/b`, `a\/b`},
	{`tab\there`, `tab\u0009here`},
}

// person draws one of the crowd.
func (g *Generator) person() uint32 { return g.rng.Uint32N(g.people) }

// appendPerson writes the person's id, a JSON string with its quotes.
func (g *Generator) appendPerson(dst []byte, person uint32) []byte {
	name := firstNames[int(person)%len(firstNames)]
	dst = append(dst, '"')
	if g.chance(4) {
		dst = append(dst, name.escaped...)
	} else {
		dst = append(dst, name.plain...)
	}
	dst = append(dst, '-')
	dst = appendPadded(dst, uint64(person), 6)
	return append(dst, '"')
}

// appendSession writes the id of one of the person's sessions, a JSON string with its quotes.
func (g *Generator) appendSession(dst []byte, person uint32) []byte {
	dst = append(dst, `"session-`...)
	dst = appendPadded(dst, uint64(person), 6)
	dst = append(dst, '-', byte('a'+g.rng.Uint32N(sessionsPerPerson)))
	return append(dst, '"')
}
