package filter

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// versions is an Ivy version constraint in the dialect of Airship's SDKs.
type versions struct {
	text string // without white space

	prefix string // of "1.2+" and "1.2.+"
	all    bool   // of "+"
	exact  string

	ranged           bool
	from, to         *[3]int64
	fromToo, uptoToo bool // the bound itself is in the range
}

var errVersions = errors.New("is not a version constraint, as 1.2.3, 1.2.+ or [1.0,2.0[")

var (
	exactVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
	versionRange = regexp.MustCompile(`^([\[\](])([^,\[\]()]*),([^,\[\]()]*)([\[\])])$`)
)

// parseVersions reads a constraint: a prefix, one version, or a range.
func parseVersions(s string) (versions, error) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
	v := versions{text: s}
	if s == "+" {
		v.all = true
		return v, nil
	}
	if prefix, ok := strings.CutSuffix(s, "+"); ok {
		v.prefix = release(prefix)
		return v, nil
	}
	if exact := release(s); exactVersion.MatchString(exact) {
		v.exact = exact
		return v, nil
	}
	m := versionRange.FindStringSubmatch(s)
	if m == nil {
		return v, errVersions
	}
	v.ranged = true
	open, from, to, end := m[1], m[2], m[3], m[4]
	if (open == "(") != (from == "") || (end == ")") != (to == "") {
		return v, errVersions
	}
	if from != "" {
		n, ok := components(release(from))
		if !ok {
			return v, errVersions
		}
		v.from, v.fromToo = &n, open == "["
	}
	if to != "" {
		n, ok := components(release(to))
		if !ok {
			return v, errVersions
		}
		v.to, v.uptoToo = &n, end == "]"
	}
	return v, nil
}

func (v *versions) match(s string) bool {
	s = release(s)
	switch {
	case v.all:
		return true
	case v.exact != "":
		return s == v.exact
	case !v.ranged:
		return strings.HasPrefix(s, v.prefix)
	}
	n, ok := components(s)
	if !ok {
		return false
	}
	if v.from != nil {
		if c := order(n, *v.from); c < 0 || c == 0 && !v.fromToo {
			return false
		}
	}
	if v.to != nil {
		if c := order(n, *v.to); c > 0 || c == 0 && !v.uptoToo {
			return false
		}
	}
	return true
}

// release is a version as it is compared: without white space around it and without its qualifier, which is what
// follows the first hyphen.
func release(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "-")
	return s
}

// components are the first three numbers of a version; missing ones are 0.
func components(s string) (n [3]int64, ok bool) {
	for i := range n {
		part, rest, more := strings.Cut(s, ".")
		v, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return n, false
		}
		n[i] = int64(v)
		if !more {
			break
		}
		s = rest
	}
	return n, true
}

func order(a, b [3]int64) int {
	for i := range a {
		if c := compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}
