package export

import (
	"context"
	"errors"
	"io"

	"github.com/google/uuid"
)

// Found is what Look found under a name.
type Found uint8

// What can be found. The zero Found says that the store did not tell.
const (
	Unknown Found = iota // the store lets nobody look
	Absent               // no object
	Own                  // the object that this very upload made
	Foreign              // an object that something else made
)

// Store is where objects go: a folder or a bucket. Safe for concurrent use. Names are slash-separated, relative, without segments "." and
// "..".
//
// An upload is one attempt, however often repeated, to make one object: all attempts that carry the same id carry the same events. A store
// makes an object whole or not at all, never over another, and remembers which upload made it until Seal, so that a repeat after a crash
// recognises what it did before.
type Store interface {
	// Look tells whether name has an object, and whose. An error means that the store could not be asked.
	Look(ctx context.Context, name, upload string) (Found, error)
	// Create begins an object of about size bytes, of which it may reserve memory up to PartBytes. ctx bounds everything done with the
	// Object. Nothing is to be seen under the name before Commit.
	Create(ctx context.Context, name, upload string, size int64) (Object, error)
	// Sweep removes what earlier attempts of the upload left behind unfinished; a finished object stays. Its error is for the log only.
	Sweep(ctx context.Context, name, upload string) error
	// Seal says that nobody will ask for the upload again.
	Seal(ctx context.Context, upload string) error
	// Probe writes an empty object under prefix and takes it away again. A *Refused says why the store does not take it; that it cannot be
	// taken away is not an error.
	Probe(ctx context.Context, prefix string) error
	// List calls fn with the finished objects whose names begin with prefix, in the order of their names; an error of fn ends it. What comes
	// or goes meanwhile may be told or not.
	List(ctx context.Context, prefix string, fn func(Stored) error) error
	// Open reads a finished object; ErrAbsent where there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Close lets go of connections and files; no call may be under way.
	Close() error
}

// Stored is an object that a store has.
type Stored struct {
	Name string
	Size int64 // bytes
}

// Object is one in the making. One goroutine. Either Commit or Abort ends it.
type Object interface {
	io.Writer
	// Commit makes the object appear. Nil: it is there whole and durable. ErrTaken: another was faster. After any other error it may be
	// there or not.
	Commit() error
	// Abort gives up.
	Abort()
}

// PartBytes is how much of an object may be in memory at one time. S3 takes parts from 5 MiB and no more than 10,000 of them.
const PartBytes = 8 << 20

// probe is Probe of a store that says with reason why it refuses.
func probe(ctx context.Context, s Store, prefix string, reason func(error) string, remove func(ctx context.Context, name string)) error {
	name := probeName(prefix)
	o, err := s.Create(ctx, name, uuid.NewString(), 0)
	if err != nil {
		return err
	}
	if err := o.Commit(); err != nil {
		var refused *Refused
		if errors.As(err, &refused) {
			return refused
		}
		return &Refused{Reason: reason(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	remove(ctx, name) // rights to write need not be rights to delete; an empty object stays then
	return nil
}
