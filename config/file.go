package config

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxFile is more than any configuration: what is larger is another file, or a device that never ends.
const maxFile = 1 << 20

// source is a configuration file as a koanf provider. Koanf's own reads a file of any length.
type source string

func (path source) ReadBytes() ([]byte, error) {
	f, err := os.Open(string(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is larger than %d MiB, which no configuration is", maxFile>>20)
	}
	return text, err
}

// Read is for providers that parse by themselves.
func (source) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }
