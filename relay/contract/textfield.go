package contract

import (
	"errors"
	"strings"
)

// CheckText tells whether a slash path leads to text: a string, an optional string, or a list of these, also in the
// elements of lists, outside of strmMeta. The error says what it is instead, as a part of a sentence about the field.
func (c *Contract) CheckText(path string) error {
	if c.root == nil {
		return errors.New("cannot be told: the schema does not name its fields")
	}
	if c.json != nil { // its plan has nodes only where the contract says something
		set, err := c.json.find(path, true)
		if err == nil && !allowed(set, takesText, true) {
			err = errors.New("must be " + anyText + ": its schema must say so with 'type'")
		}
		return err
	}
	_, err := c.root.graft(strings.Split(path, "/"), true, noted(texts, true, anyText, func(*node, *note) error { return nil }))
	return err
}
