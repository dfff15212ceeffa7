package contract

// union reads a value that may be of several types, plain or wrapped, and writes it plain.
func (o *Checked) union(n *node, i int) int {
	s := o.src
	if i >= len(s) {
		return o.syntax(unexpected(s, i))
	}
	if s[i] == '{' {
		return o.object(n, i)
	}
	if n.nullable && isWord(s, i, "null") {
		o.out = append(o.out, "null"...)
		return i + 4
	}
	// Branches of one JSON kind, as int and double, are tried in their order. These values hold no others, so a
	// second try costs no more than the first; only of arrays there is one at most.
	for _, b := range n.branches {
		if !b.begins(s[i]) {
			continue
		}
		end := o.value(b, i)
		if end >= 0 || b.kind == kindArray || o.fault.kind != faultMismatch {
			return end
		}
		o.fault.kind = 0 // what is of the wrong type has not been written
	}
	return o.mismatch(n, i)
}

// begins tells whether a JSON value that begins with c can be of the branch's kind.
func (n *node) begins(c byte) bool {
	switch c {
	case '"':
		return n.kind == kindString || n.kind == kindEnum || n.kind == kindBytes || n.kind == kindFixed
	case '{':
		return n.kind == kindRecord || n.kind == kindMap
	case '[':
		return n.kind == kindArray
	case 't', 'f':
		return n.kind == kindBoolean
	default:
		return (n.kind == kindInt || n.kind == kindLong || n.kind == kindFloat) && (c == '-' || '0' <= c && c <= '9')
	}
}

// object reads an object given for a union. The package comment says when it is the wrapped form.
func (o *Checked) object(n *node, i int) int {
	s := o.src
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	wrapped, at := n.wrapped(s, i)
	if wrapped == nil {
		o.depth--
		b := n.plainObject(s, i)
		if b == nil {
			return o.mismatch(n, i)
		}
		return o.value(b, i)
	}
	end := o.value(wrapped, at)
	if end < 0 {
		return -1
	}
	if end = skipSpace(s, end); end >= len(s) || s[end] != '}' {
		return o.mismatch(n, i)
	}
	o.depth--
	return end + 1
}

// wrapped finds the branch that the object at i names, and where its value is.
func (n *node) wrapped(s []byte, i int) (branch *node, at int) {
	eachMember(s, i, func(name []byte, value int) bool {
		if b := n.branch(name); b != nil && b.begins(s[value]) {
			branch, at = b, value
		}
		return false
	})
	if branch == nil || n.sureToWrap() {
		return branch, at
	}
	// A record may have a field of that name: then there are others.
	if eachMember(s, i, func([]byte, int) bool { return true }) != 1 {
		return nil, 0
	}
	return branch, at
}

// sureToWrap tells whether no branch is an object, so that an object can only be the wrapped form and need not be
// read ahead.
func (n *node) sureToWrap() bool {
	for _, b := range n.branches {
		if b.begins('{') {
			return false
		}
	}
	return true
}

// branch is the branch of that name. Some writers add the logical type to it, as long.timestamp-millis.
func (n *node) branch(name []byte) *node {
	for _, b := range n.branches {
		if string(name) == b.name {
			return b
		}
		if k := len(b.name); b.logical != "" && len(name) == k+1+len(b.logical) &&
			string(name[:k]) == b.name && name[k] == '.' && string(name[k+1:]) == b.logical {
			return b
		}
	}
	return nil
}

// plainObject chooses the branch for an object that is not wrapped.
func (n *node) plainObject(s []byte, i int) *node {
	var only, fitting *node
	count := 0
	for _, b := range n.branches {
		if !b.begins('{') {
			continue
		}
		only = b
		count++
	}
	if count <= 1 {
		return only
	}
	for _, b := range n.branches {
		switch {
		case b.kind == kindRecord && b.hasMembers(s, i):
			return b
		case b.kind == kindMap:
			fitting = b
		}
	}
	return fitting
}

// hasMembers tells whether the object at i names only fields of the record, and all that have no default.
func (n *node) hasMembers(s []byte, i int) bool {
	need := 0
	for k := range n.fields {
		if n.fields[k].fill == nil {
			need++
		}
	}
	all := true
	count := eachMember(s, i, func(name []byte, _ int) bool {
		k, ok := n.index[string(name)]
		if all = ok; ok && n.fields[k].fill == nil {
			need--
		}
		return ok
	})
	return count >= 0 && all && need <= 0
}
