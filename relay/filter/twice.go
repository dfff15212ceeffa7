package filter

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// repeated finds a member that an object of the text has twice: a decoder takes the last of them, and the filter that
// was meant with the first would be gone without a word. Of a text that is not JSON it says nothing, nor of one that
// is nested deeper than maxNesting.
func repeated(text []byte) (path string, found bool) {
	s := scan{d: json.NewDecoder(bytes.NewReader(text))}
	s.d.UseNumber()
	s.value(nil)
	return s.path, s.found
}

// maxNesting is deeper than requests are: each of the levels that a predicate may have is three of JSON.
const maxNesting = 4*maxPredicateDepth + 8

// scan looks through a text for a member that is there twice.
type scan struct {
	d     *json.Decoder
	path  string
	found bool
}

// value goes through one value and tells whether to go on.
func (s *scan) value(at []string) bool {
	token, err := s.d.Token()
	opens, ok := token.(json.Delim)
	if err != nil || !ok {
		return err == nil
	}
	if len(at) > maxNesting {
		return false
	}
	names := map[string]bool{}
	for n := 0; s.d.More(); n++ {
		step := strconv.Itoa(n)
		if opens == '{' {
			name, err := s.d.Token()
			if step, ok = name.(string); err != nil || !ok {
				return false
			}
			if names[step] {
				s.path, s.found = strings.Join(append(at, step), "/"), true
				return false
			}
			names[step] = true
		}
		if !s.value(append(at, step)) {
			return false
		}
	}
	_, err = s.d.Token()
	return err == nil
}
