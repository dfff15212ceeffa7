package contract

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Violation is why an event was refused: answer 400 with its text. Error is the text the producer sees and never
// holds a personal value.
type Violation struct{ Text string }

func (v *Violation) Error() string { return v.Text }

// DefinitionError is why a contract cannot be: answer 400, nothing was made. Field is the part of the definition
// that is wrong, with the path inside it where there is one.
type DefinitionError struct {
	Field string
	Err   error
}

func (e *DefinitionError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *DefinitionError) Unwrap() error { return e.Err }

func faulty(field, format string, args ...any) error {
	return &DefinitionError{Field: field, Err: fmt.Errorf(format, args...)}
}

var (
	avroUnknownType = regexp.MustCompile(`unknown primitive "([^"]*)"`)
	yamlUnknown     = regexp.MustCompile(`field (\S+) not found in type contract\.simple(Schema|Node)`)
	yamlKind        = regexp.MustCompile(`cannot unmarshal !!\w+( \x60[^\x60]*\x60)? into (\S+)`)
)

// plainAvroError puts what the Avro library says of a schema into the words of who wrote it.
func plainAvroError(err error) string {
	text := avroUnknownType.ReplaceAllStringFunc(err.Error(), func(m string) string {
		name := avroUnknownType.FindStringSubmatch(m)[1]
		if name == "" {
			return "a 'type' is missing"
		}
		return "type '" + name + "' is neither Avro's nor defined before"
	})
	return shown(strings.ReplaceAll(text, "\n", " "))
}

// plainYAMLError does the same for a Simple Schema; what must be there has a name of its own, not that of our type.
func plainYAMLError(err error) string {
	text := yamlUnknown.ReplaceAllStringFunc(err.Error(), func(m string) string {
		found := yamlUnknown.FindStringSubmatch(m)
		if found[2] == "Node" {
			return "a node has no member '" + found[1] + "'"
		}
		return "there is no member '" + found[1] + "'"
	})
	text = yamlKind.ReplaceAllStringFunc(text, func(m string) string {
		switch found := yamlKind.FindStringSubmatch(m); found[2] {
		case "string":
			return "a text is needed here"
		case "bool":
			return "true or false is needed here"
		case "[]contract.simpleNode":
			return "a list of nodes is needed here"
		default:
			return "an object is needed here"
		}
	})
	text = strings.TrimPrefix(strings.TrimPrefix(text, "yaml: "), "unmarshal errors:\n  ")
	return shown(strings.ReplaceAll(text, "\n ", ";"))
}

// most is how many bytes of what a stranger sent stand in an error text.
const most = 200

// shown makes text that somebody sent fit for an error: bounded, on one line, without control characters.
func shown[T string | []byte](text T) string {
	s := string(text[:min(len(text), most+utf8.UTFMax)])
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == utf8.RuneError, strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// fault is why a check failed, noted without allocating; it becomes a text when the check gives up.
type fault struct {
	kind   faultKind
	pos    int    // syntax: where in the body
	reason string // syntax: what is wrong; rule: which rule is broken
	want   *node  // mismatch: what should be there
	rule   *rule  // regex
	value  []byte // regex: the value; extra: the name as sent, unescaped
	hide   bool   // regex: the value is not to be shown
	path   []string
}

type faultKind uint8

const (
	faultSyntax   faultKind = iota + 1
	faultMismatch           // a value of the wrong type
	faultMissing
	faultExtra
	faultTwice
	faultRule // reason completes "field 'x' …"
	faultRegex
	faultKey
)

// violation writes a fault's text. The path was collected from the leaf to the root.
func (f *fault) violation(c *Contract) *Violation {
	var path string
	for i := len(f.path) - 1; i >= 0; i-- {
		if path != "" {
			path += "/"
		}
		path += f.path[i]
	}
	about := func(format string, args ...any) *Violation {
		return &Violation{Text: fmt.Sprintf("Event does not match schema '%s': field '%s' %s", c.def.Ref, path, fmt.Sprintf(format, args...))}
	}
	switch f.kind {
	case faultMismatch:
		return about("must be %s", f.want.describe())
	case faultMissing:
		return about("is missing")
	case faultExtra:
		return about("is not in the schema")
	case faultTwice:
		return about("is given twice")
	case faultRule:
		return about("%s", f.reason)
	case faultRegex:
		value := "****"
		if !f.hide {
			value = shown(f.value)
		}
		return &Violation{Text: fmt.Sprintf("Field: '%s' in event with schema: '%s' with value: '%s'\n  doesn't match regex: '%s'",
			f.rule.field, c.def.Ref, value, f.rule.text)}
	case faultKey:
		return &Violation{Text: fmt.Sprintf("Key field '%s' is empty", c.def.KeyField)}
	default:
		return invalid(f.reason, f.pos)
	}
}

// invalid is the violation of a body that is not JSON; pos counts from 0.
func invalid(reason string, pos int) *Violation {
	return &Violation{Text: fmt.Sprintf("Body is not valid JSON: %s at byte %d", reason, pos)}
}
