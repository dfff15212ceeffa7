package registry

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"sluice/relay/contract"
)

// Everything lies in cells below one root, so that one watch sees it all, in order. The cells name…, projectname…, client… and
// public… exist for uniqueness: to make one expects that it does not exist, so of two nodes that
// create the same at once one is refused.
const root = "registry"

const (
	kindProject     = "project"     // .<uuid>: projectRecord
	kindProjectName = "projectname" // .<name>: pointer
	kindStream      = "stream"      // .<uuid>: streamRecord
	kindName        = "name"        // .<project uuid>.<name>: pointer
	kindPublic      = "public"      // .<public id>: pointer
	kindClient      = "client"      // .<client id>: pointer
	kindContract    = "contract"    // .<ref>: contractRecord
	kindLine        = "line"        // .<handle/name>: lineRecord
	kindDropping    = "dropping"    // .<stream uuid>: droppingRecord
	kindSigning     = "signing"     // signingRecord
	kindAdmin       = "admin"       // adminRecord
)

// maxEscaped is how many bytes of a name are spelled in a key; keys have 255 bytes at most.
const maxEscaped = 120

// escaped makes a token of a key of any name: base64url, or for a long one its hash. A '=' says which it is,
// for base64url without padding has none.
func escaped(name string) string {
	if len(name) > maxEscaped {
		sum := sha256.Sum256([]byte(name))
		return "=" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return base64.RawURLEncoding.EncodeToString([]byte(name))
}

func cellKey(kind, rest string) string { return root + "." + kind + "." + rest }

func projectKey(id string) string       { return cellKey(kindProject, id) }
func projectNameKey(name string) string { return cellKey(kindProjectName, escaped(name)) }
func streamKey(id string) string        { return cellKey(kindStream, id) }
func nameKey(project, name string) string {
	return cellKey(kindName, project+"."+escaped(name))
}
func publicKey(id string) string    { return cellKey(kindPublic, escaped(id)) }
func clientKey(id string) string    { return cellKey(kindClient, escaped(id)) }
func contractKey(ref string) string { return cellKey(kindContract, escaped(ref)) }
func lineKey(line string) string    { return cellKey(kindLine, escaped(line)) }
func droppingKey(id string) string  { return cellKey(kindDropping, id) }

const (
	signingKey = root + "." + kindSigning
	adminKey   = root + "." + kindAdmin
)

// splitKey gives the kind of a key and what follows it.
func splitKey(key string) (kind, rest string) {
	kind, rest, _ = strings.Cut(strings.TrimPrefix(key, root+"."), ".")
	return kind, rest
}

// recordVersion is what records are written as. A record of a higher one was written by a newer Sluice and is left alone.
const recordVersion = 1

// Times in records are Unix milliseconds.

type projectRecord struct {
	Version     int    `json:"v"`
	ID          string `json:"id"`
	Name        string `json:"name"`
	BillingID   string `json:"billingId"`
	AppKey      string `json:"appKey"`
	MasterHash  string `json:"masterHash"`
	EventStream string `json:"eventStream,omitempty"`
	// ConsentLevels are the names of levels, by level.
	ConsentLevels map[int]string `json:"consentLevels,omitempty"`
	Created       int64          `json:"created"`
}

type streamRecord struct {
	Version        int         `json:"v"`
	ID             string      `json:"id"`
	Project        string      `json:"project"`
	Name           string      `json:"name"`
	PublicID       string      `json:"publicId,omitempty"`
	Description    string      `json:"description,omitempty"`
	Tags           []string    `json:"tags,omitempty"`
	Disabled       bool        `json:"disabled,omitempty"`
	Contract       string      `json:"contract,omitempty"`
	Payload        string      `json:"payload,omitempty"`
	EventRate      int64       `json:"eventRate,omitempty"`
	EventCount     int64       `json:"eventCount,omitempty"`
	RetentionMS    int64       `json:"retentionMs,omitempty"`
	RetentionBytes int64       `json:"retentionBytes,omitempty"`
	ClientID       string      `json:"clientId"`
	SecretHash     string      `json:"secretHash"`
	Shard          int         `json:"shard,omitempty"`
	Since          uint64      `json:"since,omitempty"`
	Source         string      `json:"source,omitempty"` // uuid: a derived stream
	LevelType      string      `json:"levelType,omitempty"`
	Levels         uint64      `json:"levels,omitempty,string"` // a set, bit n for level n
	Mask           *maskRecord `json:"mask,omitempty"`
	Sink           string      `json:"sink,omitempty"` // uuid: where payloads land; empty: where the server says
	SinkName       string      `json:"sinkName,omitempty"`
	Gzip           bool        `json:"gzip,omitempty"`
	Created        int64       `json:"created"`
}

type contractRecord struct {
	Version    int                 `json:"v"`
	Project    string              `json:"project"`
	State      ContractState       `json:"state"`
	Public     bool                `json:"public,omitempty"`
	Created    int64               `json:"created"`
	Definition contract.Definition `json:"definition"`
}

// lineRecord holds the versions of one handle/name together: they ascend, are of one schema type and of one project.
type lineRecord struct {
	Version    int      `json:"v"`
	Project    string   `json:"project"`
	SchemaType string   `json:"schemaType"`
	Versions   []string `json:"versions"` // ascending
}

type pointer struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
}

// droppingRecord is a deleted stream whose events and keys are still to be erased.
type droppingRecord struct {
	Version int    `json:"v"`
	ID      string `json:"id"`
	Shard   int    `json:"shard"`
	Since   uint64 `json:"since"`
	Deleted int64  `json:"deleted"`
}

type signingRecord struct {
	Version int         `json:"v"`
	Keys    []sealedKey `json:"keys"` // newest first
}

type sealedKey struct {
	ID     string `json:"id"`
	Sealed []byte `json:"sealed"` // PKCS#8 DER under the master key
}

type adminRecord struct {
	Version int    `json:"v"`
	Hash    string `json:"hash"`
	// Unseen: nobody has been shown the token yet. One that stays so, because the process ended in between,
	// is of no use to anybody and the next start makes another.
	Unseen bool `json:"unseen,omitempty"`
}

// encode never errs: records hold nothing that JSON does not have.
func encode(record any) []byte {
	text, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("a record that is no JSON: %v", err))
	}
	return text
}

func decode[R any](value []byte) (*R, error) {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return nil, err
	}
	if head.Version != recordVersion {
		return nil, fmt.Errorf("it is of version %d, this Sluice knows %d", head.Version, recordVersion)
	}
	var record R
	if err := json.Unmarshal(value, &record); err != nil {
		return nil, err
	}
	return &record, nil
}
