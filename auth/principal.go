// Package auth hides how a caller proves who it is: the signed access tokens and the documents that
// describe them, the hashes that secrets are kept as, the shapes of the Authorization header, and the
// table of what each kind of caller may do at all.
//
// It knows no store: that a token is good does not say that its client still exists, and that a kind
// of caller may read does not say that it may read this stream. The registry answers both.
package auth

// Kind is what sort of caller a token stands for. The zero Kind may do nothing.
type Kind uint8

// The kinds of caller.
const (
	Nobody      Kind = iota
	Admin            // the operator: everything, in every project
	User             // a person: everything in one project
	Stream           // a source stream's own credentials
	Derived          // a derived stream's own credentials
	APIKey           // streaming ingest of one project
	Issuer           // issues tokens for the API keys of one project
	Integration      // a direct integration, bound to one stream
	kinds            // how many there are
)

var kindNames = [kinds]string{"nobody", "admin", "user", "stream", "derived stream", "API key", "token issuer", "integration"}

// String is the kind in words, for logs.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind gives the kind of those words, Nobody for others.
func ParseKind(words string) Kind {
	for k, name := range kindNames {
		if name == words {
			return Kind(k)
		}
	}
	return Nobody
}

// Principal is who is calling. It is a value: comparable, and good for as long as the strings in it.
type Principal struct {
	Kind    Kind
	Project string // project uuid; empty for Admin
	Subject string // client id, user id, key id or integration id
	// Stream is the uuid of the one stream a Stream, Derived or Integration caller is bound to. It is
	// empty for the others, who are bound to no stream.
	Stream string
	// TokenID names the token without giving it away: the jti, or the hash of an opaque token.
	// Connections are counted by it, and ended by it when the token is revoked.
	TokenID string
}
