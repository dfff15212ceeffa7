package contract

// seen is the set of a record's fields that an event has named. A record of up to 64 fields needs no memory for it.
type seen struct {
	word uint64
	base int // of the words in Checked.wide, for larger records
}

// maxFilled is how many bytes of defaults an event gets, for a short list of empty records could ask for gigabytes.
const maxFilled = 1 << 20

func (o *Checked) mark(n *node, s *seen, k int) (first bool) {
	if len(n.fields) <= 64 {
		bit := uint64(1) << k
		first = s.word&bit == 0
		s.word |= bit
		return first
	}
	w := &o.wide[s.base+k>>6]
	bit := uint64(1) << (k & 63)
	first = *w&bit == 0
	*w |= bit
	return first
}

func (o *Checked) record(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '{' {
		return o.mismatch(n, i)
	}
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	got := seen{base: len(o.wide)}
	if len(n.fields) > 64 {
		for range (len(n.fields) + 63) / 64 {
			o.wide = append(o.wide, 0)
		}
	}
	count := 0
	start := len(o.out)
	o.out = append(o.out, '{')
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		i++
	} else {
		k := -1
		for {
			// Producers write members in the order of the schema.
			if k++; k < len(n.fields) && isToken(s, i, n.fields[k].token) {
				i += len(n.fields[k].token)
			} else if k, i = o.member(n, i); i < 0 {
				return -1
			}
			i = skipSpace(s, i)
			f := &n.fields[k]
			if !o.mark(n, &got, k) {
				o.fault.kind = faultTwice
				return o.at(f.name)
			}
			count++
			before := len(o.out)
			if before > start+1 {
				o.out = append(o.out, ',')
			}
			o.out = append(o.out, f.token...)
			next := o.value(f.node, i)
			if next < 0 {
				return o.at(f.name)
			}
			if f.meta {
				o.out = o.out[:before]
			}
			if i = skipSpace(s, next); i >= len(s) {
				return o.syntax(unexpected(s, i))
			}
			if s[i] == '}' {
				i++
				break
			}
			if s[i] != ',' {
				return o.syntax(unexpected(s, i))
			}
			i = skipSpace(s, i+1)
		}
	}
	if count < len(n.fields) && !o.fill(n, &got, start) {
		return -1
	}
	o.wide = o.wide[:got.base]
	o.out = append(o.out, '}')
	o.depth--
	if n.note != nil {
		o.span(n.note.capture, start)
	}
	return i
}

func isToken(s []byte, i int, token []byte) bool {
	return i+len(token) <= len(s) && string(s[i:i+len(token)]) == string(token)
}

// member reads a member's name and colon at i and finds its field.
func (o *Checked) member(n *node, i int) (k, next int) {
	s := o.src
	if i >= len(s) || s[i] != '"' {
		return 0, o.syntax(unexpected(s, i))
	}
	end, escaped := scanString(s, i+1)
	if end < 0 {
		return 0, o.syntax(stringFault(s, i+1))
	}
	name := s[i+1 : end : end]
	if escaped {
		name = o.unescape(name)
	}
	k, ok := n.index[string(name)]
	if !ok {
		o.fault.kind = faultExtra
		return 0, o.at(shown(name))
	}
	i = skipSpace(s, end+1)
	if i >= len(s) || s[i] != ':' {
		return 0, o.syntax(unexpected(s, i))
	}
	return k, i + 1
}

// fill appends the defaults of the members that the event left out. A default is read like a value that was sent,
// for it may be personal, validated or the key.
func (o *Checked) fill(n *node, got *seen, start int) bool {
	src := o.src
	for k := range n.fields {
		if !o.mark(n, got, k) {
			continue
		}
		f := &n.fields[k]
		if f.fill == nil {
			o.fault.kind = faultMissing
			o.at(f.name)
			return false
		}
		if o.filled += len(f.fill); o.filled > maxFilled {
			o.broken("is left out too often: an event gets 1 MiB of defaults at most")
			o.at(f.name)
			return false
		}
		before := len(o.out)
		if before > start+1 {
			o.out = append(o.out, ',')
		}
		o.out = append(o.out, f.token...)
		o.src = f.fill
		end := o.value(f.node, 0)
		o.src = src
		if end < 0 {
			o.at(f.name)
			return false
		}
		if f.meta {
			o.out = o.out[:before]
		}
	}
	return true
}
