package registry

import "errors"

// What the management surface turns into 404, 409 and 503.
var (
	// ErrNotFound: there is no such thing, or it is another project's, which is not to be told apart.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken. Choose another, or delete what has it.
	ErrExists = errors.New("exists already")
	// ErrContended: others changed the same things in every attempt. Nothing was done; try again.
	ErrContended = errors.New("too many are changing this at once")
	// ErrBehind: the change is stored, but this node has not seen it within its time. It will.
	ErrBehind = errors.New("the change is stored, this node has not seen it yet")
)

// Why a node is not ready.
var (
	errNotWatching = errors.New("the control plane is not being watched")
	errLoading     = errors.New("the control plane is being loaded")
	errSilent      = errors.New("nothing was heard of the control plane for 10 s")
)

// Invalid is a bad request: 400. Field is the JSON member that is wrong, Reason the rule and what to do.
type Invalid struct{ Field, Reason string }

func (i *Invalid) Error() string { return i.Field + ": " + i.Reason }

// InUse is a refusal for what is there and relies on it: 409. Text is the whole sentence that the user sees.
type InUse struct{ Text string }

func (i *InUse) Error() string { return i.Text }
