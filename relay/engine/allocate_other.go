//go:build !linux

package engine

import (
	"errors"
	"os"
)

// allocate is for Linux alone.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }
