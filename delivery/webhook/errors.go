package webhook

import "errors"

var (
	// ErrSecret: the text is no signing secret: whsec_ and 24 to 64 bytes in base64, or whsk_ and an ed25519 private key (400).
	ErrSecret = errors.New("a secret is whsec_ and 24 to 64 bytes in base64, or whsk_ and the 64 bytes of an ed25519 private key")
	// ErrSignature: no signature of the message is one of the secret's. The message, its id, its timestamp or the secret is another.
	ErrSignature = errors.New("no signature fits")
	// ErrTimestamp: the signature fits, but the message was sent more than five minutes before or after now. It may be a replay.
	ErrTimestamp = errors.New("the timestamp is more than five minutes away from now")
	// ErrHeaders: a header of the signature is missing or cannot be read; the text around it says which.
	ErrHeaders = errors.New("the headers are not those of a signed webhook")
	// ErrAddress: deliveries may not go there. An operator opens it by webhooks.allow_cidrs.
	ErrAddress = errors.New("the address is not allowed")
	// ErrURL: the text is no address of a webhook; the text around it says why (400).
	ErrURL = errors.New("not the address of a webhook")
)

// Why an attempt failed, as it is shown in the list of deliveries. A closed set.
const (
	FailAddress  = "address_not_allowed" // refused after the name was resolved
	FailDNS      = "dns"                 // the name has no address
	FailConnect  = "connect"             // nobody listens there, or the network does not lead there
	FailTLS      = "tls"                 // the handshake failed, or the certificate is not trusted
	FailTimeout  = "timeout"             // no whole answer in time
	FailBroken   = "connection_broken"   // the connection ended before the answer did
	FailAnswer   = "bad_answer"          // what came back is not HTTP
	FailRedirect = "redirect"            // 3xx: redirects are not followed
	FailStatus   = "status"              // any other status than 2xx
	FailGone     = "gone"                // 410: the receiver wants no more, the webhook is switched off
	FailExpired  = "expired"             // the events left the log before they could be delivered
)
