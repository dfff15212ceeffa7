package sample

// Example appends an event of the demo contract. Marker: notSensitiveValue. Personal, all of them
// beside it: uniqueIdentifier, consistentValue, the key field, and someSensitiveValue; the first and
// the last are now and then null, and the last is sometimes empty.
func (g *Generator) Example(dst []byte, m Marker) []byte {
	person := g.person()
	dst = g.meta(dst, ExampleRef)
	dst = append(dst, `,"uniqueIdentifier":`...)
	if g.chance(12) {
		dst = append(dst, `null`...)
	} else {
		dst = g.appendPerson(dst, person)
	}
	dst = append(dst, `,"consistentValue":`...)
	dst = g.appendSession(dst, person)
	dst = append(dst, `,"someSensitiveValue":`...)
	switch g.rng.Uint32N(16) {
	case 0:
		dst = append(dst, `null`...)
	case 1:
		dst = append(dst, `""`...)
	default:
		dst = append(dst, `"sensitive-`...)
		dst = appendPadded(dst, uint64(g.rng.Uint32N(100)), 2)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"notSensitiveValue":"`...)
	if m == (Marker{}) {
		dst = append(dst, `not-sensitive-`...)
		dst = appendPadded(dst, uint64(g.rng.Uint32N(100)), 2)
	} else {
		dst = m.Append(dst)
	}
	return append(dst, `"}`...)
}
