package load

import (
	"errors"
	"fmt"
)

var (
	// ErrNoRun: no run of that id is known, or it is one of long ago.
	ErrNoRun = errors.New("there is no such run")
	// ErrDate: a date that is not a day. Write it like 2026-11-20.
	ErrDate = errors.New("must be a day like 2026-11-20")
)

// errReceipts: a landed file and what is noted of its records do not belong together; one of them is damaged.
var errReceipts = errors.New("the receipts of a landed file do not match it")

// Unready says why a courier cannot run: Text is the whole sentence.
type Unready struct{ Text string }

func (u *Unready) Error() string { return u.Text }

// misfit is why a record has no row in a table.
type misfit struct{ reason string }

func (m *misfit) Error() string { return m.reason }

func misfitf(format string, args ...any) error { return &misfit{fmt.Sprintf(format, args...)} }

// ErrNoFile: Config.Open found no file of that name.
var ErrNoFile = errors.New("there is no such file")
