package export

import "errors"

var (
	// ErrTaken: the store has an object of this name, so nothing was written. Look tells whose it is.
	ErrTaken = errors.New("the object's name is taken")
	// ErrAbsent: the store has no object of this name.
	ErrAbsent = errors.New("there is no such object")
	// ErrCredentials: the text is no credentials file that is understood. The text around it says what is expected; it never holds a part
	// of the file.
	ErrCredentials = errors.New("not a credentials file")
	// ErrPrefix: the text cannot be the first part of objects' names; the text around it says why.
	ErrPrefix = errors.New("not a path prefix")
	// ErrFolder: the folder is not one this caller may write to.
	ErrFolder = errors.New("not a folder to export to")
)

// Refused says that a store does not take objects: no such bucket, no right to write, nobody there. Reason is the store's own, in one line,
// and holds no secret.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }
