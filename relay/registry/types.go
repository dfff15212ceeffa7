package registry

import (
	"time"

	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
)

// Project is one tenant. Immutable once published, as every type of a Snapshot.
type Project struct {
	Name        string // visible ASCII; also the tenant that ingest clients name in a header
	ID          string // uuid
	BillingID   string
	AppKey      string
	EventStream string // name of a stream of the project, empty for none
	Created     time.Time

	record *projectRecord
}

// Stream is a source stream (Source nil) or a derived one.
type Stream struct {
	Project        *Project
	Name           string
	PublicID       string // is-…; empty for a derived stream
	UUID           string
	Description    string
	Tags           []string
	Enabled        bool
	Contract       string        // ref that a line of bulk defaults to, empty for none
	Payload        string        // "", "json" or "xml"
	SinkID         string        // where payloads land; empty: where the server says
	SinkName       string        // the same
	Gzip           bool          // they land packed
	EventRate      int64         // events per second
	EventCount     int64         // events per calendar month UTC
	Retention      time.Duration // 0: the configured default
	RetentionBytes int64         // 0: the configured default
	ClientID       string
	Log            engine.Stream // a derived stream has its source's
	Source         *Stream       // nil for a source stream
	Rule           consent.Rule
	Mask           *Mask // nil: nothing is masked
	Created        time.Time

	record *streamRecord
}

// Levels are the consent levels of a derived stream in ascending order, none for a source stream.
func (s *Stream) Levels() []int {
	var levels []int
	for l := 0; l <= consent.MaxLevel; l++ {
		if s.Rule.Levels>>l&1 == 1 {
			levels = append(levels, l)
		}
	}
	return levels
}

// Credentials are shown once: only the hash of the secret is kept.
type Credentials struct{ ClientID, ClientSecret string }

// StreamSpec says what stream to make.
type StreamSpec struct {
	Name        string // 2 to 100 printable characters without '/'; of a derived stream by default <source>-<levels joined by ->
	Description string
	Tags        []string
	Contract    string    // ref or short id
	Payload     string    // "", "json" or "xml"
	Sink        string    // of a stream with a payload: the name of the sink that its payloads land in; empty: where the server says
	Gzip        bool      // of a stream with a payload: they land packed
	DerivedFrom string    // the name of a source stream: makes a derived stream
	Levels      []int     // 0 to 63, each once; one for CUMULATIVE
	LevelType   string    // CUMULATIVE (default) or GRANULAR
	Mask        *MaskSpec // of a derived stream; nil: nothing is masked
}

// StreamPatch says what to change; nil leaves a member as it is.
type StreamPatch struct {
	Description    *string
	Tags           *[]string
	Enabled        *bool
	EventRate      *int64
	EventCount     *int64
	Retention      *time.Duration
	RetentionBytes *int64
	Contract       *string // "" for none
	Levels         *[]int
	LevelType      *string
}

// ProjectPatch says what to change of a project.
type ProjectPatch struct {
	EventStream        *string // "" for none
	RotateMasterSecret bool
}

// ContractState says what a data contract may be used for.
type ContractState string

// The states. Only an active contract takes events; an archived one can be activated again.
const (
	Draft    ContractState = "DRAFT"
	Active   ContractState = "ACTIVE"
	Archived ContractState = "ARCHIVED"
)

// ContractEntry is a data contract with what the registry knows of it.
type ContractEntry struct {
	contract.Definition
	State   ContractState
	Public  bool
	Builtin bool
	Project *Project // nil: built in
}
