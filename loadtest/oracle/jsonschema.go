package oracle

import (
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// checkJSON holds a value to the part of JSON Schema that the corpus uses: type, enum, properties, required, additionalProperties false,
// items, pattern, minimum, maximum, minLength, maxLength.
func checkJSON(schema any, v any, path []string, tell func(Fault)) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	wrong := func() { tell(Fault{Class: Kind, Field: join(path)}) }
	if kind, there := s["type"]; there {
		kinds, several := kind.([]any)
		if !several {
			kinds = []any{kind}
		}
		if !slices.ContainsFunc(kinds, func(k any) bool { return isJSON(k.(string), v) }) {
			wrong()
			return
		}
	}
	if enum, there := s["enum"].([]any); there && !slices.ContainsFunc(enum, func(e any) bool { return Equal(e, v) }) {
		wrong()
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, there := v[name.(string)]; !there {
				tell(Fault{Class: Missing, Field: join(append(slices.Clone(path), name.(string)))})
			}
		}
		for name, value := range v {
			at := append(slices.Clone(path), name)
			if sub, known := properties[name]; known {
				checkJSON(sub, value, at, tell)
			} else if s["additionalProperties"] == false {
				tell(Fault{Class: Extra, Field: join(at)})
			}
		}
	case []any:
		for i := range v {
			checkJSON(s["items"], v[i], append(slices.Clone(path), strconv.Itoa(i)), tell)
		}
	case string:
		if p, there := s["pattern"].(string); there && !regexp.MustCompile(p).MatchString(v) {
			wrong()
		}
		if n, there := s["minLength"].(json.Number); there && utf8.RuneCountInString(v) < int(float(n)) {
			wrong()
		}
		if n, there := s["maxLength"].(json.Number); there && utf8.RuneCountInString(v) > int(float(n)) {
			wrong()
		}
	case json.Number:
		if n, there := s["minimum"].(json.Number); there && float(v) < float(n) {
			wrong()
		}
		if n, there := s["maximum"].(json.Number); there && float(v) > float(n) {
			wrong()
		}
	}
}

func isJSON(kind string, v any) bool {
	switch v := v.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	case json.Number:
		n, ok := new(big.Rat).SetString(string(v))
		return kind == "number" || kind == "integer" && ok && n.IsInt()
	}
	return false
}
