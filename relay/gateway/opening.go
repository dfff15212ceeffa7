package gateway

import "bytes"

// opening is how the request in progress begins, as it came: of one that fasthttp could not read to its end nothing else is left to say
// which API its client speaks to. Of a request that came together with the one before it, it holds some later part, which is no request
// line, or nothing.
type opening struct {
	line  [128]byte
	heard int
	whole bool // no more is wanted
}

// hear takes the next bytes of the connection.
func (o *opening) hear(p []byte) {
	if o.whole || len(p) == 0 {
		return
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p, o.whole = p[:i], true
	}
	o.heard += copy(o.line[o.heard:], p)
	o.whole = o.whole || o.heard == len(o.line)
}

var versionOne = []byte("HTTP/1.")

// path is the path that the request line names; nil where it is not known. One too long to be kept is known if its query began before.
func (o *opening) path() []byte {
	_, rest, ok := bytes.Cut(o.line[:o.heard], []byte(" "))
	target, version, ended := bytes.Cut(rest, []byte(" "))
	path, _, query := bytes.Cut(target, []byte("?"))
	switch {
	case !ok || !bytes.HasPrefix(path, []byte("/")):
		return nil
	case ended && bytes.HasPrefix(version, versionOne), !ended && query && o.heard == len(o.line):
		return path
	}
	return nil
}

// shape is how the API that the request was for says no.
func (o *opening) shape() shape {
	path := o.path()
	r, ok := routeOf(path)
	if !ok && bytes.HasPrefix(path, []byte("/v1/")) {
		return shapeManage
	}
	return r.shape
}
