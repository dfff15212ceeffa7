package registry

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"sluice/auth"
	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
)

// What a new stream may take.
const (
	DefaultEventRate  = 999_999     // events per second
	DefaultEventCount = 999_999_999 // events per calendar month UTC
)

const (
	minName, maxName = 2, 100 // characters
	maxTags          = 20
	maxTag           = 100  // characters
	maxDescription   = 1000 // characters
	maxLevels        = 50

	maxEventRate      = 1_000_000_000
	maxEventCount     = 1_000_000_000_000_000 // below 2^53, for JavaScript
	minRetention      = time.Minute
	maxRetention      = 10 * 366 * 24 * time.Hour
	minRetentionBytes = 1 << 20

	secretLength   = 40
	publicIDLength = 8
	clientIDLength = 28
	appKeyLength   = 22

	lowerAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	urlSafe    = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// checkName holds the name of a stream to its rule. A name is part of addresses and file names.
func checkName(name string) error { return checkNameFrom(minName, name) }

// checkNameFrom is checkName for a name of at least so many characters.
func checkNameFrom(least int, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case name == "":
		return &Invalid{"name", "is missing"}
	case n < least || n > maxName:
		return &Invalid{"name", fmt.Sprintf("has %d characters, it must have %d to %d", n, least, maxName)}
	case !printable(name):
		return &Invalid{"name", "has a character that cannot be printed"}
	case strings.Contains(name, "/"):
		return &Invalid{"name", "has a '/', which no name may have"}
	case strings.TrimSpace(name) != name:
		return &Invalid{"name", "begins or ends with a space"}
	case name == ".." || name == ".":
		return &Invalid{"name", "is a way in an address; choose another"}
	}
	return nil
}

// checkProjectName is stricter, for the name is sent as the value of a header.
func checkProjectName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if name == ".." {
		return &Invalid{"name", "must not be '..': folders are called by it"}
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return &Invalid{"name", "has a character that is not visible ASCII, and it is sent in a header"}
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

func checkDescription(text string) error {
	if n := utf8.RuneCountInString(text); n > maxDescription {
		return &Invalid{"description", fmt.Sprintf("has %d characters, at most %d are kept", n, maxDescription)}
	}
	if !utf8.ValidString(text) {
		return &Invalid{"description", "is not UTF-8"}
	}
	return nil
}

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return &Invalid{"tags", fmt.Sprintf("there are %d, at most %d are kept", len(tags), maxTags)}
	}
	for i, tag := range tags {
		switch {
		case tag == "":
			return &Invalid{"tags", "one is empty"}
		case utf8.RuneCountInString(tag) > maxTag:
			return &Invalid{"tags", fmt.Sprintf("one has more than %d characters", maxTag)}
		case !printable(tag):
			return &Invalid{"tags", "one has a character that cannot be printed"}
		case slices.Contains(tags[:i], tag):
			return &Invalid{"tags", fmt.Sprintf("%q is there twice", tag)}
		}
	}
	return nil
}

// consentRule holds the levels of a derived stream to their rule and makes it.
func consentRule(levels []int, levelType string) (consent.Rule, error) {
	if levelType == "" {
		levelType = consent.Cumulative.String()
	}
	t, err := consent.ParseType(levelType)
	if err != nil {
		return consent.Rule{}, &Invalid{"consentLevelType", "must be CUMULATIVE or GRANULAR"}
	}
	rule := consent.Rule{Type: t}
	switch {
	case len(levels) == 0:
		return rule, &Invalid{"consentLevels", "a derived stream needs at least one"}
	case len(levels) > maxLevels:
		return rule, &Invalid{"consentLevels", fmt.Sprintf("there are %d, at most %d are allowed", len(levels), maxLevels)}
	}
	for _, l := range levels {
		if l < 0 || l > consent.MaxLevel {
			return rule, &Invalid{"consentLevels", fmt.Sprintf("%d is not a level from 0 to %d", l, consent.MaxLevel)}
		}
		if rule.Levels>>l&1 == 1 {
			return rule, &Invalid{"consentLevels", fmt.Sprintf("%d is there twice", l)}
		}
		rule.Levels |= 1 << l
	}
	if t == consent.Cumulative && bits.OnesCount64(rule.Levels) != 1 {
		return rule, &Invalid{"consentLevels", "CUMULATIVE takes exactly one level, which stands for those below it too; name one, or use GRANULAR"}
	}
	return rule, nil
}

// derivedName is what a derived stream is called that was given no name: the levels in the order they were named, behind
// an M where fields are masked.
func derivedName(source string, levels []int, masked bool) string {
	name, before := source, "-"
	if masked {
		before = "-M"
	}
	for _, l := range levels {
		name += before + strconv.Itoa(l)
		before = "-"
	}
	return name
}

func checkLimit(field string, n, most int64) error {
	if n < 1 || n > most {
		return &Invalid{field, fmt.Sprintf("must be from 1 to %d", most)}
	}
	return nil
}

// reserved are the handles of the built-in contracts.
var reserved = [...]string{"strmprivacy", "airship"}

// parseRef splits handle/name/version after holding it to its grammar; line is handle/name.
func parseRef(ref string) (line, version string, err error) {
	if err := contract.CheckRef(ref); err != nil {
		return "", "", invalidContract(err)
	}
	i := strings.LastIndexByte(ref, '/')
	return ref[:i], ref[i+1:], nil
}

// invalidContract tells which part of a definition is wrong.
func invalidContract(err error) error {
	var wrong *contract.DefinitionError
	if errors.As(err, &wrong) {
		return &Invalid{wrong.Field, wrong.Err.Error()}
	}
	return &Invalid{"contract", err.Error()}
}

// checkNewRef is parseRef for a contract that is to be made.
func checkNewRef(ref string) (line, version string, err error) {
	line, version, err = parseRef(ref)
	if err != nil {
		return "", "", err
	}
	handle, _, _ := strings.Cut(line, "/")
	if slices.Contains(reserved[:], strings.ToLower(handle)) || strings.Contains(strings.ToLower(handle), "strm") {
		return "", "", &Invalid{"ref", fmt.Sprintf("handle %q is reserved; choose another", handle)}
	}
	return line, version, nil
}

// compareVersions orders by number: 1.10.0 is behind 1.9.0.
func compareVersions(a, b string) int {
	return slices.Compare(versionNumbers(a), versionNumbers(b))
}

func versionNumbers(version string) []int {
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return numbers
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// compareRefs orders by handle and name, the versions of one ascending.
func compareRefs(a, b string) int {
	i, j := strings.LastIndexByte(a, '/'), strings.LastIndexByte(b, '/')
	if i < 0 || j < 0 || a[:i] != b[:j] {
		return strings.Compare(a, b)
	}
	return compareVersions(a[i+1:], b[j+1:])
}

// billingID is the letters and digits of a name and ten digits, in the shape that accounts of 2021 had.
func billingID(name string) string {
	letters := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return -1
	}, name)
	return letters + auth.NewRandom(10, "0123456789")
}

func parseStreamID(text string) (engine.StreamID, error) {
	id, err := uuid.Parse(text)
	return engine.StreamID(id), err
}

// listed puts things in a sentence: "a", "a and b", "a, b and c", "a, b, c, d and 7 more".
func listed(names []string) string {
	const shown = 4
	switch {
	case len(names) > shown+1:
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	case len(names) > 1:
		return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	return strings.Join(names, "")
}
