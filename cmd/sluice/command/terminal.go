package command

import (
	"io"
	"os"
)

// terminal tells whether w is a terminal, where people read, and not a file or a pipe.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
