package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	why "github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// shown is how a member's name stands in an error: one that the schema does not know may be about a person.
func (j *jsonSchema) shown(name string) string {
	if j.names[name] {
		return shown(name)
	}
	return "*"
}

// schemaFault is one broken rule of a JSON Schema.
type schemaFault struct {
	path []string
	rule string // completes "field 'x' …"
}

// violation chooses the fault that is told: of the ones nearest to the root the first by path, so that the same event
// gets the same answer each time, though the library walks maps. It never holds a value of the event.
func (j *jsonSchema) violation(c *Contract, err *jsonschema.ValidationError) *Violation {
	var all []schemaFault
	j.collect(err, &all)
	f := slices.MinFunc(all, func(a, b schemaFault) int {
		return cmp.Or(slices.Compare(a.path, b.path), strings.Compare(a.rule, b.rule))
	})
	if len(f.path) == 0 {
		return &Violation{Text: fmt.Sprintf("Event does not match schema '%s': it %s", c.def.Ref, f.rule)}
	}
	return &Violation{Text: fmt.Sprintf("Event does not match schema '%s': field '%s' %s", c.def.Ref, strings.Join(f.path, "/"), f.rule)}
}

func (j *jsonSchema) collect(err *jsonschema.ValidationError, all *[]schemaFault) {
	path := make([]string, 0, len(err.InstanceLocation)+1)
	for _, name := range err.InstanceLocation {
		if strings.Trim(name, "0123456789") == "" {
			path = append(path, name) // of a list's element, or nobody's name
		} else {
			path = append(path, j.shown(name))
		}
	}
	add := func(format string, args ...any) {
		*all = append(*all, schemaFault{path, fmt.Sprintf(format, args...)})
	}
	switch k := err.ErrorKind.(type) {
	case *why.Type:
		add("must be %s", strings.Join(k.Want, " or "))
	case *why.Required:
		path = append(path, shown(slices.Min(k.Missing)))
		add("is missing")
	case *why.DependentRequired:
		path = append(path, shown(slices.Min(k.Missing)))
		add("is missing")
	case *why.AdditionalProperties:
		path = append(path, shown(slices.Min(k.Properties)))
		add("is not in the schema")
	case *why.FalseSchema:
		add("is not in the schema")
	case *why.Const:
		add("must be %s", literally(k.Want))
	case *why.Enum:
		add("must be one of %s", literally(k.Want...))
	case *why.Pattern:
		add("doesn't match the pattern '%s'", shown(k.Want))
	case *why.Format:
		add("must be of format '%s'", shown(k.Want))
	case *why.MinLength:
		add("must have at least %d characters", k.Want)
	case *why.MaxLength:
		add("must have at most %d characters", k.Want)
	case *why.AnyOf, *why.OneOf:
		if want := alternatives(err); want != "" {
			add("must be %s", want)
		} else {
			add("must keep the rule '%s' of the schema", keyword(err))
		}
	case *why.Not, *why.Contains, *why.PropertyNames:
		add("must keep the rule '%s' of the schema", keyword(err))
	default:
		if len(err.Causes) == 0 {
			add("must keep the rule '%s' of the schema", keyword(err))
		}
		for _, cause := range err.Causes {
			j.collect(cause, all)
		}
	}
}

// keyword is what of the schema that an error is about.
func keyword(err *jsonschema.ValidationError) string {
	return shown(strings.Join(err.ErrorKind.KeywordPath(), "/"))
}

// alternatives joins the types of alternatives that differ in nothing else, as those of an optional value.
func alternatives(err *jsonschema.ValidationError) string {
	var want []string
	for _, cause := range err.Causes {
		t, ok := cause.ErrorKind.(*why.Type)
		if !ok || len(cause.InstanceLocation) != len(err.InstanceLocation) {
			return ""
		}
		want = append(want, t.Want...)
	}
	return strings.Join(slices.Compact(want), " or ")
}

// literally writes values of the schema.
func literally(values ...any) string {
	var all []string
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return "the schema's"
		}
		all = append(all, string(text))
	}
	return shown(strings.Join(all, ", "))
}
