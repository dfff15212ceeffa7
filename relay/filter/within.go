package filter

import (
	"slices"
)

// Scope is which types of events a consumer may see. The zero scope is all.
type Scope struct {
	Types   []string // nil: all
	Without []string // of these none, whatever Types says
}

// Includes tells whether the scope has a type.
func (s Scope) Includes(eventType string) bool {
	return (s.Types == nil || slices.Contains(s.Types, eventType)) && !slices.Contains(s.Without, eventType)
}

// Outside are the types that the request names and the scope has not, sorted.
func (r *Request) Outside(s Scope) []string {
	var all []string
	for _, t := range r.Types {
		if !s.Includes(t) {
			all = append(all, t)
		}
	}
	return all
}

// Within is the filter that passes what f passes and the scope has. f may be nil.
func (f *Filter) Within(s Scope) *Filter {
	if s.Types == nil && len(s.Without) == 0 {
		return f
	}
	in := &Filter{clauses: []clause{{latency: -1}}}
	if f != nil {
		in = &Filter{clauses: f.clauses, types: f.types, key: f.key}
	}
	if s.Types != nil {
		in.only = set(s.Types...)
	}
	in.without = set(s.Without...)
	types := in.types
	if types == nil {
		types = sorted(in.only)
	}
	if in.types != nil || in.only != nil {
		in.types = slices.DeleteFunc(slices.Clone(types), func(t string) bool { return !s.Includes(t) })
	}
	in.key = "within" + canonical(quoted(sorted(in.only))) + "but" + canonical(quoted(sorted(in.without))) + in.key
	return in
}

// inScope tells whether the filter's scope has the type.
func (f *Filter) inScope(eventType []byte) bool {
	return (f.only == nil || f.only[string(eventType)]) && !f.without[string(eventType)]
}
