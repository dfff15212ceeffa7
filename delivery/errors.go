package delivery

import "errors"

var (
	// ErrLost: another node owns the subscription, or this one cannot prove any more that it does. Stop the work; what was not
	// committed is the next owner's to do again.
	ErrLost = errors.New("the subscription belongs to another node")
	// ErrNotHeld: nobody has ever worked on the subscription, so there is no state. For a new one that is normal.
	ErrNotHeld = errors.New("nobody has worked on the subscription yet")
	// ErrRunning: Run was called a second time. A Runner runs once.
	ErrRunning = errors.New("the runner has been run already")
)
