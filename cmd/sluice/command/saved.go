package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
)

// saved is a stream as `create stream --save` kept it.
type saved struct {
	client.Credentials
	LinkedStream string // the source of a derived stream
}

// savedPath is the file that keeps a stream's credentials. Names come from users and may hold anything: each is one path element.
func (m *Main) savedPath(c *client.Client, stream string) (string, error) {
	dir, err := m.configDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "saved", element(c.Host()), element(c.Project), element(stream)+".json"), nil
}

// configDir is the folder of all that is kept for the user.
func (m *Main) configDir() (string, error) {
	dir := m.env("XDG_CONFIG_HOME")
	if dir == "" {
		home := m.env("HOME")
		if home == "" {
			return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set: there is no place for saved credentials")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "sluice"), nil
}

// writePrivate writes a file that only its owner can read, from its first byte on, in a folder that is made where it is missing.
func writePrivate(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Written beside and renamed: a crash leaves the old file or the new one, and CreateTemp makes it 0600.
	f, err := os.CreateTemp(filepath.Dir(path), ".saving-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// element makes any name one element of a path that leads nowhere else.
func element(name string) string {
	switch escaped := url.PathEscape(name); escaped {
	case ".", "..":
		return "%2E" + escaped[1:]
	default:
		return escaped
	}
}

// save keeps a stream as the server answered it, readable by its owner alone from the first byte on.
func (m *Main) save(c *client.Client, stream string, answer []byte) (path string, err error) {
	if path, err = m.savedPath(c, stream); err != nil {
		return "", err
	}
	text, err := indented(answer)
	if err != nil {
		return "", err
	}
	if err := writePrivate(path, text); err != nil {
		return "", err
	}
	return path, nil
}

// load reads a saved stream; the error says how to come by one.
func (m *Main) load(c *client.Client, stream string) (saved, error) {
	path, err := m.savedPath(c, stream)
	if err != nil {
		return saved{}, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return saved{}, fmt.Errorf("no credentials of stream %s are saved for project %s of %s: make the stream with `sluice create stream %s --save`",
			stream, c.Project, c.Base, stream)
	}
	if err != nil {
		return saved{}, err
	}
	var s saved
	made := gjson.GetBytes(text, "credentials")
	if made.IsArray() { // that of 2021 has one set of them, not a list
		made = made.Get("0")
	}
	if err := json.Unmarshal([]byte(made.Raw), &s.Credentials); err != nil || s.ClientID == "" {
		return saved{}, fmt.Errorf("%s holds no credentials: delete it and make the stream anew with --save", path)
	}
	s.LinkedStream = gjson.GetBytes(text, "linkedStream").Str
	return s, nil
}

// unsave forgets a deleted stream's credentials; one never saved is no error.
func (m *Main) unsave(c *client.Client, stream string) error {
	path, err := m.savedPath(c, stream)
	if err != nil {
		return nil // without a place nothing was saved
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
