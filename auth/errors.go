package auth

import "errors"

// Why a caller is not let in. Each is a 401, and its text is what the caller sees: clients of the
// gateway that is spoken for here look for these very sentences.
var (
	// ErrMissing: the request brought no token. Send one.
	ErrMissing = errors.New("Jwt is missing") //nolint:staticcheck // the producers see this text
	// ErrExpired: the token was good once. Ask the token endpoint for another.
	ErrExpired = errors.New("Jwt is expired") //nolint:staticcheck // the producers see this text
	// ErrInvalid: not a token of ours, of the wrong sort, or of a client that is gone. It does not say which.
	ErrInvalid = errors.New("Jwt verification fails") //nolint:staticcheck // the producers see this text
)
