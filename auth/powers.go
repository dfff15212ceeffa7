package auth

// Action is what a route does. The zero Action is allowed to nobody.
type Action uint8

// The actions.
const (
	Send        Action = iota + 1 // POST /event and bulk
	Read                          // raw events, websockets, server-sent events
	ReadRTDS                      // /api/events
	Payload                       // /stream/v0/data
	IssueTokens                   // tokens for the project's API keys
	Manage                        // a project's own resources
	Administer                    // projects themselves, backups
	actions                       // one above the last
)

var actionNames = [actions]string{"", "send", "read", "read events", "send payloads", "issue tokens", "manage", "administer"}

// String is the action in words, for logs.
func (a Action) String() string {
	if a > 0 && a < actions {
		return actionNames[a]
	}
	return "unknown"
}

// powers is the whole of who may do what. Each may do it in its own project only, and where it is
// bound to a stream on that one only; Admin alone belongs to no project.
var powers = [kinds][actions]bool{
	Admin:       {Send: true, Read: true, ReadRTDS: true, Payload: true, IssueTokens: true, Manage: true, Administer: true},
	User:        {Send: true, Read: true, ReadRTDS: true, Payload: true, IssueTokens: true, Manage: true},
	Stream:      {Send: true, Read: true, ReadRTDS: true},
	Derived:     {Read: true, ReadRTDS: true},
	APIKey:      {Payload: true},
	Issuer:      {IssueTokens: true},
	Integration: {ReadRTDS: true},
}

// May tells whether a kind of caller may do an action at all. Unknown kinds and actions are refused.
func May(k Kind, a Action) bool {
	return k < kinds && a < actions && powers[k][a]
}
