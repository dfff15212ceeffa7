package registry

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"

	"sluice/relay/contract"
)

// entry is a contract in a Snapshot. Its compiled form is shared by the snapshots that hold the same definition.
type entry struct {
	ContractEntry
	compiled *compiled
	record   *contractRecord // nil: built in
}

func (e *entry) owned(p *Project) bool { return p != nil && e.Project != nil && e.Project.ID == p.ID }

func (e *entry) visible(p *Project) bool { return e.Public || e.owned(p) }

// preferred orders the entries of one short id: active before others, then the built-in, then by ref with
// the newest version first.
func preferred(a, b *entry) int {
	rank := func(e *entry) int {
		switch {
		case e.State != Active:
			return 2
		case !e.Builtin:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), compareRefs(b.Ref, a.Ref))
}

// compiled is a contract that is compiled when it is first used: a gateway has many that no event of this
// run mentions.
type compiled struct {
	log  *slog.Logger
	once sync.Once
	c    *contract.Contract
}

// contract gives nil for a definition that does not compile. One that did when it was stored can stop to
// when a later Sluice is stricter: its events are refused and the log says so once, the others are served.
func (c *compiled) contract(d contract.Definition) *contract.Contract {
	c.once.Do(func() {
		made, err := contract.Compile(d)
		if err != nil {
			c.log.Error("a stored data contract does not compile; its events are refused", "contract", d.Ref, "error", err)
			return
		}
		c.c = made
	})
	return c.c
}

// builtins gives the contracts that every project has.
func builtins(log *slog.Logger) []*entry {
	var all []*entry
	for _, d := range contract.Builtin() {
		all = append(all, &entry{
			ContractEntry: ContractEntry{Definition: d, State: Active, Public: true, Builtin: true},
			compiled:      &compiled{log: log},
		})
	}
	return all
}

// without gives a copy of list less those that match; it never changes list, which readers hold.
func without[E any](list []E, match func(E) bool) []E {
	return slices.DeleteFunc(slices.Clone(list), match)
}
