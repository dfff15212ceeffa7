package contract

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// graft copies the nodes along a path so that set can change the last one for this path only; everything beside the
// path stays shared. With lists, a path may lead through the elements of arrays.
func (n *node) graft(path []string, lists bool, set func(leaf *node) (*node, error)) (*node, error) {
	if len(path) == 0 {
		return set(n)
	}
	cp := *n
	var err error
	switch {
	case n.kind == kindRecord:
		k, ok := n.index[path[0]]
		switch {
		case !ok:
			return nil, errors.New("is not in the schema")
		case n.fields[k].meta:
			return nil, errors.New("must not lie in strmMeta")
		}
		cp.fields = slices.Clone(n.fields)
		cp.fields[k].node, err = n.fields[k].node.graft(path[1:], lists, set)
	case n.kind == kindUnion && len(n.branches) == 1:
		cp.branches = make([]*node, 1)
		cp.branches[0], err = n.branches[0].graft(path, lists, set)
	case n.kind == kindArray && lists:
		cp.elem, err = n.elem.graft(path, lists, set)
	default:
		return nil, errors.New("is not in the schema: what stands before it is not a record")
	}
	if err != nil {
		return nil, err
	}
	return &cp, nil
}

// noted is a copy of a node with add done to its note. What a path leads to may be optional: then the note is on
// the one branch, and null is passed over.
func noted(kinds []kind, lists bool, must string, add func(leaf *node, n *note) error) func(*node) (*node, error) {
	var set func(*node) (*node, error)
	set = func(n *node) (*node, error) {
		cp := *n
		var err error
		switch {
		case slices.Contains(kinds, n.kind):
			cp.note = new(note)
			if n.note != nil {
				*cp.note = *n.note
				cp.note.rules = slices.Clip(n.note.rules)
			}
			err = add(n, cp.note)
		case n.kind == kindUnion && len(n.branches) == 1:
			cp.branches = make([]*node, 1)
			cp.branches[0], err = set(n.branches[0])
		case n.kind == kindArray && lists:
			cp.elem, err = noted(kinds, false, must, add)(n.elem)
		default:
			err = errors.New("must be " + must)
		}
		if err != nil {
			return nil, err
		}
		return &cp, nil
	}
	return set
}

var texts = []kind{kindString}

// note changes the node at a slash path of the plan.
func (c *Contract) note(what, path string, kinds []kind, lists bool, must string, add func(leaf *node, n *note) error) error {
	if c.json != nil {
		return c.noteOpen(what, path, kinds, lists, must, add)
	}
	root, err := c.root.graft(strings.Split(path, "/"), lists, noted(kinds, lists, must, add))
	if err != nil {
		return faulty(what, "field '%s' %w", shown(path), err)
	}
	c.root = root
	return nil
}

// exists tells whether the schema has a slash path; the error completes a sentence about it.
func (c *Contract) exists(path string) error {
	if c.json != nil {
		_, err := c.json.find(path, true)
		return err
	}
	_, err := c.root.graft(strings.Split(path, "/"), true, func(n *node) (*node, error) { return n, nil })
	return err
}

const (
	oneText = "string or optional string"
	anyText = "string, optional string, or a list of these"
)

func (c *Contract) notePersonal() error {
	levels := map[string]int{}
	var order []string
	for _, path := range sortedKeys(c.def.PiiFields) {
		levels[path] = c.def.PiiFields[path]
		order = append(order, path)
	}
	described := map[string]bool{}
	for _, m := range c.def.FieldMetadata {
		path := m.FieldName
		if described[path] {
			return faulty("fieldMetadata", "field '%s' is described twice", shown(path))
		}
		described[path] = true
		if err := c.exists(path); err != nil {
			return faulty("fieldMetadata", "field '%s' %w", shown(path), err)
		}
		_, listed := levels[path]
		switch p := m.PersonalDataConfig; {
		case p == nil:
		case !p.IsPii && listed:
			delete(levels, path)
			order = slices.DeleteFunc(order, func(s string) bool { return s == path })
		case p.IsPii:
			levels[path] = p.PurposeLevel
			if !listed {
				order = append(order, path)
			}
		}
	}
	if len(order) > maxPersonal {
		return faulty("piiFields", "there are %d personal fields, at most %d are taken", len(order), maxPersonal)
	}
	for i, path := range order {
		what := "piiFields"
		if described[path] {
			what = "fieldMetadata"
		}
		level := levels[path]
		if level < 0 || level > 63 {
			return faulty(what, "field '%s' has level %d, it must be 0 to 63", shown(path), level)
		}
		err := c.note(what, path, texts, true, anyText, func(_ *node, n *note) error {
			n.personal, n.hide, n.level, n.path = true, true, uint8(level), uint8(i)
			return nil
		})
		if err != nil {
			return err
		}
		c.personal = append(c.personal, path)
		c.levels = append(c.levels, uint8(level))
	}
	return nil
}

func (c *Contract) noteValidations() error {
	if len(c.def.Validations) > maxValidations {
		return faulty("validations", "there are %d, at most %d are taken", len(c.def.Validations), maxValidations)
	}
	for i, v := range c.def.Validations {
		what := fmt.Sprintf("validations/%d", i)
		if v.Type != "regex" {
			return faulty(what, "field '%s' has type '%s', it must be regex", shown(v.Field), shown(v.Type))
		}
		if len(v.Value) > maxRegexBytes {
			return faulty(what, "the regex of field '%s' has %d bytes, at most %d are taken", shown(v.Field), len(v.Value), maxRegexBytes)
		}
		p, err := compilePattern(v.Value)
		if err != nil {
			return faulty(what, "the regex of field '%s' does not compile: %w", shown(v.Field), err)
		}
		err = c.note(what, v.Field, texts, true, anyText, func(_ *node, n *note) error {
			n.rules = append(n.rules, rule{field: v.Field, text: v.Value, pattern: p})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Contract) noteKey() error {
	if c.def.KeyField == "" {
		return faulty("keyField", "it is missing")
	}
	c.hasKey = true
	return c.note("keyField", c.def.KeyField, texts, false, oneText, func(_ *node, n *note) error {
		n.capture |= captureKey
		return nil
	})
}

func (c *Contract) noteSubject() error {
	if c.def.DataSubjectField == "" {
		return nil
	}
	return c.note("dataSubjectField", c.def.DataSubjectField, texts, false, oneText, func(_ *node, n *note) error {
		n.capture |= captureSubject
		n.hide = true
		return nil
	})
}

// cutMeta checks that the schema has strmMeta and puts a node in its place that takes every form that strmMeta had
// over the years: whatever of it the gateway overwrites need not be sent, or may be sent as null.
func (c *Contract) cutMeta() error {
	if c.json != nil {
		return c.cutOpenMeta()
	}
	k, ok := c.root.index["strmMeta"]
	if !ok {
		return faulty("schema", "field 'strmMeta' is missing")
	}
	n := c.root.fields[k].node
	if n.kind != kindRecord {
		return faulty("schema", "field 'strmMeta' must be a record")
	}
	plain := meta()
	for _, f := range n.fields {
		if _, ok := plain.index[f.name]; !ok {
			return faulty("schema", "field 'strmMeta/%s' is not known; strmMeta has eventContractRef or schemaId, nonce, timestamp, keyLink, billingId, consentLevels", shown(f.name))
		}
	}
	levels, ok := n.index["consentLevels"]
	if !ok {
		return faulty("schema", "field 'strmMeta/consentLevels' is missing")
	}
	if l := n.fields[levels].node; l.kind != kindArray || l.elem.kind != kindInt {
		return faulty("schema", "field 'strmMeta/consentLevels' must be a list of int")
	}
	for _, name := range []string{"eventContractRef", "schemaId"} {
		ref, ok := n.index[name]
		if !ok {
			continue
		}
		if r := n.fields[ref].node; r.kind != kindString && (r.kind != kindUnion || len(r.branches) != 1 || r.branches[0].kind != kindString) {
			return faulty("schema", "field 'strmMeta/%s' must be %s", name, oneText)
		}
		if c.metaRef == "" {
			c.metaRef = name
		}
	}
	if c.metaRef == "" {
		return faulty("schema", "field 'strmMeta/eventContractRef' is missing")
	}
	root := *c.root
	root.fields = slices.Clone(root.fields)
	root.fields[k] = field{name: "strmMeta", token: root.fields[k].token, node: plain, meta: true}
	c.root = &root
	return nil
}

func meta() *node {
	optional := func(name string, c capture, kinds ...kind) field {
		u := &node{kind: kindUnion, nullable: true}
		for _, k := range kinds {
			b := &node{kind: k, name: map[kind]string{kindString: "string", kindInt: "int", kindLong: "long"}[k]}
			if c != 0 {
				b.note = &note{capture: c}
			}
			u.branches = append(u.branches, b)
		}
		return field{name: name, token: []byte(`"` + name + `":`), node: u, fill: []byte("null")}
	}
	levels := &node{kind: kindLevels, elem: &node{kind: kindInt, name: "int"}}
	n := &node{kind: kindRecord, name: "StrmMeta", index: map[string]int{}, fields: []field{
		optional("eventContractRef", captureRef, kindString),
		optional("schemaId", captureSchemaID, kindString),
		optional("nonce", 0, kindInt),
		optional("timestamp", 0, kindLong),
		optional("keyLink", 0, kindString, kindInt),
		optional("billingId", 0, kindString),
		{name: "consentLevels", token: []byte(`"consentLevels":`), node: levels},
	}}
	for k := range n.fields {
		n.index[n.fields[k].name] = k
	}
	return n
}

// checkDefaults holds the defaults to the validations: an event that leaves the member out could never be taken.
func (c *Contract) checkDefaults() error {
	visited := map[*node]bool{}
	o := Checked{c: c}
	var walk func(n *node) error
	walk = func(n *node) error {
		if n == nil || visited[n] {
			return nil
		}
		visited[n] = true
		for i := range n.fields {
			f := &n.fields[i]
			if f.fill != nil {
				o.reset(c, f.fill)
				if o.value(f.node, 0) < 0 {
					o.at(f.name)
					return faulty("schema", "the default of '%s' is refused: %w", f.name, o.fault.violation(c))
				}
			}
			if err := walk(f.node); err != nil {
				return err
			}
		}
		for _, b := range n.branches {
			if err := walk(b); err != nil {
				return err
			}
		}
		return walk(n.elem)
	}
	if err := walk(c.root); err != nil {
		return err
	}
	for i := range c.root.fields {
		c.grow += len(c.root.fields[i].fill) + len(c.root.fields[i].token) + 1
	}
	return nil
}

// noteEnvelope puts the parts of the Airship envelope where they can be taken in passing; what only gjson
// understands is asked of gjson, when there is nothing personal that it could find.
func (c *Contract) noteEnvelope() error {
	e := c.def.Envelope
	if e == nil {
		return nil
	}
	for _, part := range []struct {
		name, path string
		capture    capture
		kinds      []kind
		must       string
	}{
		{"type", e.Type, captureType, []kind{kindString, kindEnum}, "string or enum, or one of these and null"},
		{"id", e.ID, captureID, []kind{kindString, kindInt, kindLong}, "string, int or long, or one of these and null"},
		{"occurred", e.Occurred, captureOccurred, []kind{kindString, kindLong}, "string or long, or one of these and null"},
		{"device", e.Device, captureDevice, []kind{kindRecord, kindMap}, "a record or map, or one of these and null"},
		{"user", e.User, captureUser, []kind{kindRecord, kindMap}, "a record or map, or one of these and null"},
	} {
		what := "envelope/" + part.name
		object := part.capture&(captureDevice|captureUser) != 0
		switch {
		case part.path == "":
			continue
		case len(part.path) > most:
			return faulty(what, "it has %d bytes, at most %d are taken", len(part.path), most)
		case !plainPath(part.path):
			if object || len(c.personal) > 0 || c.def.DataSubjectField != "" {
				return faulty(what, "'%s' must be member names joined by dots", shown(part.path))
			}
			c.queries = append(c.queries, query{path: part.path, capture: part.capture})
			continue
		}
		err := c.note(what, strings.ReplaceAll(part.path, ".", "/"), part.kinds, false, part.must, func(_ *node, n *note) error {
			if n.hide {
				return errors.New("is personal: it must not leave the event")
			}
			n.capture |= part.capture
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func plainPath(path string) bool {
	for _, r := range path {
		if r != '.' && r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') {
			return false
		}
	}
	for _, name := range strings.Split(path, ".") {
		if name == "" || '0' <= name[0] && name[0] <= '9' {
			return false
		}
	}
	return true
}

// query is a part of the envelope whose path is more than member names.
type query struct {
	path    string
	capture capture
}

func (q *query) run(o *Checked) bool {
	r := gjson.GetBytes(o.out, q.path)
	n := node{kind: kindString, note: &note{capture: q.capture}}
	switch {
	case !r.Exists() || r.Type == gjson.Null:
		return true
	case r.Type == gjson.String:
		if o.take(&n, []byte(r.Str)) {
			return true
		}
	case r.Type == gjson.Number && q.capture != captureType && !strings.ContainsAny(r.Raw, ".eE"):
		n.kind = kindLong
		if o.take(&n, []byte(r.Raw)) {
			return true
		}
	default:
		o.broken("must be a string or a whole number")
	}
	o.at(q.path)
	return false
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
