package filter

import (
	"fmt"
	"strconv"
)

// Error is why a request is refused: answer 400 with its text.
type Error struct {
	Path   string // into the request, as filters/0/types; empty for the whole
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "The request " + e.Reason
	}
	return fmt.Sprintf("'%s' %s", e.Path, e.Reason)
}

func refuse(path, format string, args ...any) error {
	return &Error{Path: shown(path), Reason: fmt.Sprintf(format, args...)}
}

// shown makes text that somebody sent fit for an error: bounded and on one line.
func shown(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
