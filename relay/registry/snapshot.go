package registry

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"strings"
	"unsafe"

	"sluice/relay/contract"
)

// Snapshot is the control plane at one moment: immutable, read without locks. What one Snapshot gives fits
// together; of two, the later one may know less or more. Hold one for a request, not for longer.
type Snapshot struct {
	projects  index[string, *Project] // by uuid
	tenants   index[string, *Project] // by name
	apps      index[string, *Project] // by app key
	streams   index[string, *Stream]  // by uuid
	named     index[scoped, *Stream]
	clients   index[string, *Stream]   // by client id
	public    index[string, *Stream]   // by public id
	derived   index[string, []*Stream] // by the uuid of the source, ordered by name
	payloads  index[string, *Stream]   // by uuid, those that take payloads
	contracts index[string, *entry]    // by ref
	short     index[string, []*entry]  // by short id, the preferred first

	sinks          index[string, *Sink] // by uuid
	sinkNames      index[scoped, *Sink]
	exporters      index[string, []*Exporter] // by the uuid of the stream, ordered by name
	exporterStream index[string, string]      // the uuid of the stream by that of the exporter

	hooks      index[string, *Webhook] // by id
	hooksNamed index[scoped, *Webhook]
	hooksOf    index[string, []*Webhook] // by the uuid of the stream, ordered by name

	keys      index[string, *APIKey] // by id
	keysNamed index[scoped, *APIKey]
	users     index[string, *User] // by id
	mails     index[string, *User] // by e-mail in lower case

	integrations      index[string, *Integration] // by id
	integrationsNamed index[scoped, *Integration]
	integrationsOf    index[string, []*Integration]     // by the uuid of the stream, ordered by name
	integrationTokens index[[sha256.Size]byte, holding] // by the token's hash

	loads *loads

	admin *adminToken // nil: there is none
}

// scoped is a name in a project.
type scoped struct{ project, name string }

// adminToken is what is known of the admin token; ID is what connections are counted by.
type adminToken struct {
	hash [sha256.Size]byte
	id   string
}

// Project gives the project of that name, nil if there is none.
func (s *Snapshot) Project(name string) *Project { return s.tenants.get(name) }

// ProjectByID gives the project of that uuid, nil if there is none.
func (s *Snapshot) ProjectByID(id string) *Project { return s.projects.get(id) }

// ProjectByAppKey gives the project of that app key, nil if there is none.
func (s *Snapshot) ProjectByAppKey(key string) *Project { return s.apps.get(key) }

// Projects gives all projects by name.
func (s *Snapshot) Projects() []*Project {
	var all []*Project
	for _, p := range s.projects.all() {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Project) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Stream gives the source or derived stream of that name, nil if the project is nil or has none.
func (s *Snapshot) Stream(p *Project, name string) *Stream {
	if p == nil {
		return nil
	}
	return s.named.get(scoped{p.ID, name})
}

// StreamByClient gives the stream of those credentials, nil if there is none.
func (s *Snapshot) StreamByClient(clientID string) *Stream { return s.clients.get(clientID) }

// StreamByPublicID gives the stream of that is-… id, nil if there is none.
func (s *Snapshot) StreamByPublicID(id string) *Stream { return s.public.get(id) }

// StreamByUUID gives the stream of that uuid, nil if there is none.
func (s *Snapshot) StreamByUUID(id string) *Stream { return s.streams.get(id) }

// Streams gives a project's source and derived streams by name. It looks at every stream there is, which
// is right for a listing and wrong for a hot path.
func (s *Snapshot) Streams(p *Project) []*Stream {
	if p == nil {
		return nil
	}
	var all []*Stream
	for key, st := range s.named.all() {
		if key.project == p.ID {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, byName)
	return all
}

// AllStreams gives the streams of all projects, by project and name.
func (s *Snapshot) AllStreams() []*Stream {
	var all []*Stream
	for _, st := range s.streams.all() {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *Stream) int {
		return cmp.Or(strings.Compare(a.Project.Name, b.Project.Name), byName(a, b))
	})
	return all
}

// Derived gives the streams derived from src by name; the slice is shared, do not change it.
func (s *Snapshot) Derived(src *Stream) []*Stream {
	if src == nil {
		return nil
	}
	return s.derived.get(src.UUID)
}

func byName(a, b *Stream) int { return strings.Compare(a.Name, b.Name) }

// Contract finds a data contract usable in a project by its ref or short id; the bytes are not kept. c is
// nil where there is none, active is false for one that is not ACTIVE. With a nil project only what is
// public is found. The first use of a contract compiles it, which takes a millisecond or so; after that
// nothing is allocated.
func (s *Snapshot) Contract(p *Project, ref []byte) (c *contract.Contract, active bool) {
	e := s.entry(p, ref)
	if e == nil {
		return nil, false
	}
	return e.compiled.contract(e.Definition), e.State == Active
}

// entry finds by ref or short id what the project may see.
func (s *Snapshot) entry(p *Project, ref []byte) *entry {
	// Looked up only: the string does not outlive this call, and the bytes do not change during it.
	key := unsafe.String(unsafe.SliceData(ref), len(ref))
	if e := s.contracts.get(key); e != nil {
		if e.visible(p) {
			return e
		}
		return nil
	}
	// A short id may stand for several: the own project's go before others' public ones, so that nobody
	// can slip a contract of his own under another's id; but a draft takes no event away from an active one.
	var found *entry
	for _, e := range s.short.get(key) {
		if e.visible(p) && (found == nil || e.owned(p) && !found.owned(p) && (e.State != Draft || found.State != Active)) {
			found = e
		}
	}
	return found
}

// Contracts gives the contracts a project may use, by ref, versions ascending. With a nil project it gives the public ones.
func (s *Snapshot) Contracts(p *Project) []ContractEntry {
	var all []ContractEntry
	for _, e := range s.contracts.all() {
		if e.visible(p) {
			all = append(all, e.ContractEntry)
		}
	}
	slices.SortFunc(all, func(a, b ContractEntry) int { return compareRefs(a.Ref, b.Ref) })
	return all
}

// ContractEntry finds a contract that a project may use by its ref or short id.
func (s *Snapshot) ContractEntry(p *Project, ref string) (ContractEntry, bool) {
	e := s.entry(p, []byte(ref))
	if e == nil {
		return ContractEntry{}, false
	}
	return e.ContractEntry, true
}
