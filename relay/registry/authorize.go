package registry

import (
	"crypto/sha256"
	"crypto/subtle"

	"sluice/auth"
)

// Verdict is the answer to "may this caller do that to this stream". The zero verdict gives nothing away.
type Verdict uint8

// The verdicts, with the status that belongs to each.
const (
	NotFound  Verdict = iota // 404: another project's, or none at all; the caller must not learn which
	Forbidden                // 403: the caller's project, but not for this caller
	Disabled                 // 403: the caller may, but the stream is switched off for producers and readers
	Allowed
)

// String is the verdict in words, for logs.
func (v Verdict) String() string {
	switch v {
	case Forbidden:
		return "forbidden"
	case Disabled:
		return "disabled"
	case Allowed:
		return "allowed"
	default:
		return "not found"
	}
}

// Authorize is the one law of who may use which stream, in the order in which it says no:
//
//  1. no stream, and what is of another project than the caller's: NotFound;
//  2. what the caller's kind may not do at all (auth.May): Forbidden;
//  3. another stream than the one the caller is bound to: Forbidden;
//  4. sending to a derived stream, by whomever: Forbidden;
//  5. payloads for a stream that takes none: NotFound, there is no such address;
//  6. sending to and reading of a disabled stream, by whomever: Disabled.
func (s *Snapshot) Authorize(p auth.Principal, a auth.Action, st *Stream) Verdict {
	if st == nil {
		return NotFound
	}
	if v := s.AuthorizeProject(p, a, st.Project); v != Allowed {
		return v
	}
	switch p.Kind {
	case auth.Stream, auth.Derived, auth.Integration:
		if p.Stream != st.UUID {
			return Forbidden
		}
	}
	if a == auth.Send && st.Source != nil {
		return Forbidden
	}
	if a == auth.Payload && st.Payload == "" {
		return NotFound
	}
	if !st.Enabled && (a == auth.Send || a == auth.Payload || a == auth.Read || a == auth.ReadRTDS) {
		return Disabled
	}
	return Allowed
}

// AuthorizeProject is the same law for what belongs to a project as a whole, its contracts or a stream to
// be made: NotFound for another project than the caller's, Forbidden for what its kind may not do. The admin
// belongs to all projects.
func (s *Snapshot) AuthorizeProject(p auth.Principal, a auth.Action, pr *Project) Verdict {
	if pr == nil || p.Kind == auth.Nobody {
		return NotFound
	}
	if p.Kind != auth.Admin && p.Project != pr.ID {
		return NotFound
	}
	if !auth.May(p.Kind, a) {
		return Forbidden
	}
	return Allowed
}

// adminID gives the name of the admin token if token is it, in constant time.
func (s *Snapshot) adminID(token []byte) (string, bool) {
	if s.admin == nil || len(token) == 0 {
		return "", false
	}
	sum := sha256.Sum256(token)
	return s.admin.id, subtle.ConstantTimeCompare(sum[:], s.admin.hash[:]) == 1
}
