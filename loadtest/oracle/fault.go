package oracle

import (
	"fmt"
	"strings"
)

// Class is what is wrong with an event, as a producer is told it.
type Class string

// The classes.
const (
	NoJSON  Class = "no JSON"
	NoDatum Class = "no datum"
	Twice   Class = "twice"
	Missing Class = "missing"
	Extra   Class = "extra"
	Kind    Class = "kind" // another type, another symbol, out of range: what it must be is for the gateway to word
	Level   Class = "level"
	Ref     Class = "ref" // the event names another contract
	Regex   Class = "regex"
	NoKey   Class = "key"
)

// Fault is one reason to refuse an event with 400.
type Fault struct {
	Class Class
	Field string // slash path
	Value string // of Regex: what did not match, **** where nobody may see it
	Rule  string // of Regex: the expression
}

func (f Fault) Error() string { return fmt.Sprintf("%s %s", f.Class, f.Field) }

// Says tells whether a gateway's text, for an event held to a contract of that ref, is this fault's: it names the field and the rule.
func (f Fault) Says(ref, text string) bool {
	about := fmt.Sprintf("Event does not match schema '%s': field '%s' ", ref, f.Field)
	switch f.Class {
	case NoJSON:
		return strings.HasPrefix(text, "Body is not valid JSON: ") && strings.Contains(text, " at byte ")
	case NoDatum:
		return text == "Body is not an Avro datum of schema '"+ref+"'"
	case Twice:
		return text == about+"is given twice"
	case Missing:
		return text == about+"is missing"
	case Extra:
		return text == about+"is not in the schema"
	case Kind:
		return strings.HasPrefix(text, about) && !strings.HasSuffix(text, "is missing") && !strings.HasSuffix(text, "is not in the schema")
	case Level:
		return strings.HasPrefix(text, about+"must ")
	case Ref:
		return strings.HasPrefix(text, about+"must be '"+ref+"'")
	case Regex:
		return text == fmt.Sprintf("Field: '%s' in event with schema: '%s' with value: '%s'\n  doesn't match regex: '%s'", f.Field, ref, f.Value, f.Rule)
	case NoKey:
		return text == "Key field '"+f.Field+"' is empty"
	}
	return false
}

func join(path []string) string { return strings.Join(path, "/") }
