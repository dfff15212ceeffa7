package backup

import "errors"

// What callers tell apart. Everything else is an error of the disk, the connection or the log, wrapped with what was tried.
var (
	// ErrNotEmpty: the folder that a backup is to be written to, or a store to be restored to, holds something. Name another one.
	ErrNotEmpty = errors.New("the folder is not empty")
	// ErrIncomplete: the backup broke off. Take it again.
	ErrIncomplete = errors.New("the backup is not complete")
	// ErrDamaged: a file of the backup is missing or is not what was written. Use another backup.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrFormat: another version of Sluice wrote the backup. Restore it with that one.
	ErrFormat = errors.New("the backup has a format that this version does not know")
	// ErrNoMaster: the backup holds no master key and none was given. Give the file of the key that the server ran with.
	ErrNoMaster = errors.New("the backup holds no master key")
	// ErrUnfinished: a restore into the data folder did not come to its end. Run it again.
	ErrUnfinished = errors.New("a restore into this folder did not come to its end")
	// ErrInUse: another restore works on the folder.
	ErrInUse = errors.New("another restore works on this folder")
)
