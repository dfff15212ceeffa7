package payload

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Fault says why a text is no XML document that is read here. It holds nothing of the text.
type Fault struct {
	Reason string
	Line   int // where it was noticed, from 1; 0: nowhere in particular
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return "XML cannot be read: " + f.Reason
	}
	return fmt.Sprintf("XML cannot be read: %s at line %d", f.Reason, f.Line)
}

// reasons are what is told of the decoder's errors, by how they begin. Their own texts may quote the document.
var reasons = []struct{ begins, reason string }{
	{"unexpected EOF", "it ends early"},
	{"invalid character entity", "it has an entity that XML does not define"},
	{"illegal character code", "it has a character that XML does not allow"},
	{"invalid UTF-8", "it has bytes that are not of its encoding"},
}

// faultOf is the Fault of a decoder's error.
func faultOf(err error, line int) *Fault {
	var own *Fault
	var syntax *xml.SyntaxError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF):
		return &Fault{"it ends early", line}
	case errors.As(err, &syntax):
		for _, r := range reasons {
			if strings.HasPrefix(syntax.Msg, r.begins) {
				return &Fault{r.reason, syntax.Line}
			}
		}
		return &Fault{"it is not well-formed", syntax.Line}
	}
	return &Fault{"it is not well-formed", line}
}
