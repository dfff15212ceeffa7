package payload

// AppendJSON appends the whole document as one compact JSON object.
func (d *Document) AppendJSON(dst []byte) []byte {
	const root = 1
	dst = append(dst, '{')
	dst = d.appendName(dst, root)
	dst = d.appendValue(dst, root)
	return append(dst, '}')
}

func (d *Document) appendName(dst []byte, id int32) []byte {
	dst = append(dst, '"')
	dst = AppendEscaped(dst, d.nodes[id].name)
	return append(dst, '"', ':')
}

func (d *Document) appendValue(dst []byte, id int32) []byte {
	n := &d.nodes[id]
	if n.first == 0 {
		dst = append(dst, '"')
		dst = AppendEscaped(dst, d.text[n.from:n.to])
		return append(dst, '"')
	}
	dst = append(dst, '{')
	for at := n.first; at != 0; at = d.nodes[at].next {
		if at != n.first {
			dst = append(dst, ',')
		}
		dst = d.appendName(dst, at)
		if d.nodes[at].peer == 0 {
			dst = d.appendValue(dst, at)
			continue
		}
		dst = append(dst, '[')
		for p := at; p != 0; p = d.nodes[p].peer {
			if p != at {
				dst = append(dst, ',')
			}
			dst = d.appendValue(dst, p)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// AppendEscaped writes valid UTF-8 as the inside of a JSON string. Ours rather than encoding/json's, which would also escape <, > and & and
// allocate.
func AppendEscaped[T string | []byte](dst []byte, text T) []byte {
	done := 0
	for i := range len(text) {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, text[done:]...)
}
