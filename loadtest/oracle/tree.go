package oracle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Tree reads a JSON text into map[string]any, []any, json.Number, string, bool and nil. What is no JSON, not UTF-8, or holds half of a
// surrogate pair is refused, and so is an object that names a member twice; the error of that is a [Fault].
func Tree(text []byte) (any, error) {
	if !json.Valid(text) || !utf8.Valid(text) || halfPair(text) {
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := tree(d, nil)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("not one JSON value")
	}
	return v, nil
}

func tree(d *json.Decoder, path []string) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			at := append(slices.Clone(path), name.(string))
			if _, there := object[name.(string)]; there {
				return nil, Fault{Class: Twice, Field: join(at)}
			}
			if object[name.(string)], err = tree(d, at); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := tree(d, append(slices.Clone(path), strconv.Itoa(len(list))))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// halfPair tells whether a valid JSON text has an escape that is one half of a surrogate pair.
func halfPair(text []byte) bool {
	high := false // the escape before was a high half
	for i := 0; i < len(text); i++ {
		low := false
		if text[i] == '\\' {
			if text[i+1] != 'u' {
				i++
			} else {
				code, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 16) // valid JSON
				i += 5
				switch {
				case code>>10 == 0xd800>>10:
					if high {
						return true
					}
					high = true
					continue
				case code>>10 == 0xdc00>>10:
					if !high {
						return true
					}
					low = true
				}
			}
		}
		if high && !low {
			return true
		}
		high = false
	}
	return high
}

// Equal compares two trees. Numbers are compared by what they are worth: exactly where one is a long, else as doubles, for Avro has no
// others.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name := range a {
			v, there := b[name]
			if !there || !Equal(a[name], v) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, fine := new(big.Rat).SetString(string(a))
		y, too := new(big.Rat).SetString(string(b))
		if !fine || !too || x.IsInt() && x.Num().IsInt64() || y.IsInt() && y.Num().IsInt64() {
			return fine && too && x.Cmp(y) == 0
		}
		f, _ := x.Float64()
		g, _ := y.Float64()
		return f == g
	}
	return reflect.DeepEqual(a, b)
}

// Text writes a tree as compact JSON, for people and for sending.
func Text(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("a tree that is no JSON: %v", err)) // trees are made of JSON's own types
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'})
}

// Clone copies a tree.
func Clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			out[name] = Clone(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Clone(v[i])
		}
		return out
	}
	return v
}

// Leaves calls fn for every text that a slash path leads to, through lists too, and gives the tree with what fn returns in their places.
// The tree itself stays as it is.
func Leaves(v any, path []string, fn func(string) string) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Leaves(v[i], path, fn)
		}
		return out
	case map[string]any:
		if len(path) == 0 {
			return v
		}
		out := map[string]any{}
		for name, value := range v {
			if name == path[0] {
				value = Leaves(value, path[1:], fn)
			}
			out[name] = value
		}
		return out
	case string:
		if len(path) == 0 {
			return fn(v)
		}
	}
	return v
}

// texts lists the texts that a path leads to.
func texts(v any, path []string) (all []string) {
	Leaves(v, path, func(s string) string {
		all = append(all, s)
		return s
	})
	return all
}
