package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// How passwords are hashed: Argon2id (RFC 9106) with the least memory that OWASP's password storage cheat sheet names. It takes some
// 20 ms of one core.
const (
	passwordMemory  = 19 << 10 // KiB
	passwordTime    = 2
	passwordThreads = 1
	passwordSalt    = 16 // bytes
	passwordKey     = 32 // bytes

	// What a stored hash may ask for at most: a record that was tampered with must not take the machine.
	maxPasswordMemory = 256 << 10
	maxPasswordTime   = 16

	// MinPassword and MaxPassword bound a password, in characters and in bytes.
	MinPassword = 8
	MaxPassword = 1024

	// passwordPlaces is how many passwords are hashed at once and passwordQueue how many more wait, each for at most passwordWait: 38 MiB
	// and two cores are all that logins can take, whoever hammers on them.
	passwordPlaces = 2
	passwordQueue  = 64
	passwordWait   = 5 * time.Second
)

// ErrLoginsBusy: more passwords are to be hashed than the machine is given to. Nothing was checked; try again in a second.
var ErrLoginsBusy = errors.New("too many are logging in at once")

// Passwords hashes passwords, a few at a time. Safe for concurrent use.
type Passwords struct {
	places, queue chan struct{}
	none          string // the hash of no password, for who has none
}

// NewPasswords is ready for use.
func NewPasswords() *Passwords {
	var salt [passwordSalt]byte
	var key [passwordKey]byte
	rand.Read(salt[:]) //nolint:errcheck // never fails: it ends the process instead
	rand.Read(key[:])  //nolint:errcheck // likewise
	return &Passwords{
		places: make(chan struct{}, passwordPlaces), queue: make(chan struct{}, passwordPlaces+passwordQueue),
		none: encodePassword(salt[:], key[:]),
	}
}

// CheckPassword tells what is wrong with a password that somebody chose. It never repeats it.
func CheckPassword(password string) error {
	switch {
	case !utf8.ValidString(password):
		return errors.New("is not UTF-8")
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("must have %d or more characters", MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("must have at most %d bytes", MaxPassword)
	}
	return nil
}

// Hash gives what a password is stored as, in the PHC string format: $argon2id$v=19$m=…,t=…,p=…$salt$hash. ErrLoginsBusy, or the end of ctx.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	var salt [passwordSalt]byte
	rand.Read(salt[:]) //nolint:errcheck // never fails: it ends the process instead
	return encodePassword(salt[:], argon2.IDKey([]byte(password), salt[:], passwordTime, passwordMemory, passwordThreads, passwordKey)), nil
}

// Verify tells whether a hash is the password's. The empty hash is nobody's: it equals nothing and takes as long, so that who asks for an
// account that does not exist cannot tell by the time it takes. ErrLoginsBusy, or the end of ctx.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = p.none
	}
	memory, passes, threads, salt, want, err := decodePassword(hash)
	if err != nil {
		return false, err
	}
	if len(password) > MaxPassword {
		password, known = password[:MaxPassword], false
	}
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// enter waits for a place. Who finds the queue full is sent away at once.
func (p *Passwords) enter(ctx context.Context) error {
	select {
	case p.queue <- struct{}{}:
	default:
		return ErrLoginsBusy
	}
	late := time.NewTimer(passwordWait)
	defer late.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-p.queue
		return ctx.Err()
	case <-late.C:
		<-p.queue
		return ErrLoginsBusy
	}
}

func (p *Passwords) leave() {
	<-p.places
	<-p.queue
}

func encodePassword(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, passwordMemory, passwordTime, passwordThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

var errPasswordHash = errors.New("a stored password hash cannot be read")

func decodePassword(hash string) (memory, passes uint32, threads uint8, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	var version int
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return 0, 0, 0, nil, nil, errPasswordHash
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return 0, 0, 0, nil, nil, errPasswordHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
		return 0, 0, 0, nil, nil, errPasswordHash
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case err1 != nil, err2 != nil, len(salt) < 8, len(salt) > 64, len(key) < 16, len(key) > 64,
		memory < 8, memory > maxPasswordMemory, passes < 1, passes > maxPasswordTime, threads < 1, threads > 16:
		return 0, 0, 0, nil, nil, errPasswordHash
	}
	return memory, passes, threads, salt, key, nil
}
