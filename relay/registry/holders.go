package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"sluice/relay/engine"
)

// holders is the part of a state that holds who may call beside the streams' own clients: API keys, users, and integrations with their
// tokens. Guarded as the state is.
type holders struct {
	keys         map[string]*apiKeyRecord
	users        map[string]*userRecord
	integrations map[string]*integrationRecord

	keysOf  map[string]set // project uuid → the ids of its API keys
	usersOf map[string]set // project uuid → the ids of its users
	opening map[string]set // stream uuid → the ids of its integrations

	changedKeys, changedUsers, changedIntegrations set
}

func newHolders() holders {
	return holders{
		keys: map[string]*apiKeyRecord{}, users: map[string]*userRecord{}, integrations: map[string]*integrationRecord{},
		keysOf: map[string]set{}, usersOf: map[string]set{}, opening: map[string]set{},
		changedKeys: set{}, changedUsers: set{}, changedIntegrations: set{},
	}
}

// applyHolder takes in a cell of one of the holders; cells of other kinds are passed over.
func (st *state) applyHolder(kind, id string, c engine.Cell) {
	h := &st.holders
	switch kind {
	case kindAPIKey:
		if old := h.keys[id]; old != nil {
			drop(h.keysOf, old.Project, id)
		}
		take(st, h.keys, id, c)
		if r := h.keys[id]; r != nil {
			put(h.keysOf, r.Project, id)
		}
		h.changedKeys[id] = struct{}{}
	case kindUser:
		if old := h.users[id]; old != nil {
			drop(h.usersOf, old.Project, id)
		}
		take(st, h.users, id, c)
		if r := h.users[id]; r != nil {
			put(h.usersOf, r.Project, id)
		}
		h.changedUsers[id] = struct{}{}
	case kindIntegration:
		if old := h.integrations[id]; old != nil {
			drop(h.opening, old.Stream, id)
		}
		take(st, h.integrations, id, c)
		if r := h.integrations[id]; r != nil {
			put(h.opening, r.Stream, id)
		}
		h.changedIntegrations[id] = struct{}{}
	}
}

// buildHolders builds those that changed, and those of what they point to. Projects and streams are built.
func (st *state) buildHolders(next *Snapshot, projects, streams set) {
	h := &st.holders
	for id := range projects {
		for key := range h.keysOf[id] {
			h.changedKeys[key] = struct{}{}
		}
		for user := range h.usersOf[id] {
			h.changedUsers[user] = struct{}{}
		}
	}
	for id := range streams {
		for integration := range h.opening[id] {
			h.changedIntegrations[integration] = struct{}{}
		}
	}
	st.buildAPIKeys(next)
	st.buildUsers(next)
	st.buildIntegrations(next)
	h.changedKeys, h.changedUsers, h.changedIntegrations = set{}, set{}, set{}
}

func (st *state) buildAPIKeys(next *Snapshot) {
	byID, named := next.keys.edit(), next.keysNamed.edit()
	for id := range st.holders.changedKeys {
		if old := byID.get(id); old != nil {
			byID.remove(id)
			named.remove(scoped{old.Project.ID, old.Name})
		}
	}
	for id := range st.holders.changedKeys {
		r := st.holders.keys[id]
		if r == nil {
			continue
		}
		if p := next.projects.get(r.Project); p != nil {
			k := apiKeyOf(r, p)
			byID.set(id, k)
			named.set(scoped{p.ID, k.Name}, k)
		}
	}
	next.keys, next.keysNamed = byID.done(), named.done()
}

func (st *state) buildUsers(next *Snapshot) {
	byID, byMail := next.users.edit(), next.mails.edit()
	for id := range st.holders.changedUsers {
		if old := byID.get(id); old != nil {
			byID.remove(id)
			byMail.remove(mailKeyOf(old.Email))
		}
	}
	for id := range st.holders.changedUsers {
		r := st.holders.users[id]
		if r == nil {
			continue
		}
		if p := next.projects.get(r.Project); p != nil {
			u := &User{Project: p, ID: r.ID, Email: r.Email, Created: time.UnixMilli(r.Created), record: r}
			byID.set(id, u)
			byMail.set(mailKeyOf(u.Email), u)
		}
	}
	next.users, next.mails = byID.done(), byMail.done()
}

// buildIntegrations leaves out an integration whose stream is not there (yet).
func (st *state) buildIntegrations(next *Snapshot) {
	byID, named, of := next.integrations.edit(), next.integrationsNamed.edit(), next.integrationsOf.edit()
	tokens := next.integrationTokens.edit()
	for id := range st.holders.changedIntegrations {
		old := byID.get(id)
		if old == nil {
			continue
		}
		byID.remove(id)
		named.remove(scoped{old.Project.ID, old.Name})
		if left := without(of.get(old.Stream.UUID), func(i *Integration) bool { return i.ID == id }); len(left) > 0 {
			of.set(old.Stream.UUID, left)
		} else {
			of.remove(old.Stream.UUID)
		}
		for _, t := range old.Tokens {
			tokens.remove(t.hash)
		}
	}
	for id := range st.holders.changedIntegrations {
		r := st.holders.integrations[id]
		if r == nil {
			continue
		}
		p, stream := next.projects.get(r.Project), next.streams.get(r.Stream)
		if p == nil || stream == nil {
			continue
		}
		i := integrationOf(r, p, stream)
		byID.set(id, i)
		named.set(scoped{p.ID, i.Name}, i)
		list := append(slices.Clone(of.get(stream.UUID)), i)
		slices.SortFunc(list, func(a, b *Integration) int { return strings.Compare(a.Name, b.Name) })
		of.set(stream.UUID, list)
		for _, t := range i.Tokens {
			tokens.set(t.hash, holding{i, t.ID})
		}
	}
	next.integrations, next.integrationsNamed, next.integrationsOf = byID.done(), named.done(), of.done()
	next.integrationTokens = tokens.done()
}

// holding is what an integration's token stands for.
type holding struct {
	integration *Integration
	token       string // its id
}

// hashOf reads a stored hash; false for what is none.
func hashOf(text string) (hash [sha256.Size]byte, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size {
		return hash, false
	}
	return [sha256.Size]byte(raw), true
}
