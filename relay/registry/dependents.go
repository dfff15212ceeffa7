package registry

import (
	"fmt"
	"slices"
	"strings"

	"sluice/relay/engine"
)

// Deleted is what a delete took along, or would.
type Deleted struct {
	Stream       *Stream
	Derived      []*Stream
	Exporters    []*Exporter
	Webhooks     []*Webhook
	Integrations []*Integration
	Couriers     []*Courier
}

// deletedCells is how many cells that go with a stream are erased in one batch, which has at most a thousand.
const deletedCells = 900

// Tree is a stream with all that a recursive delete would take along now.
func (s *Snapshot) Tree(st *Stream) Deleted {
	d := Deleted{Stream: st, Derived: slices.Clone(s.Derived(st))}
	for _, of := range append([]*Stream{st}, d.Derived...) {
		d.Exporters = append(d.Exporters, s.Exporters(of)...)
		d.Webhooks = append(d.Webhooks, s.WebhooksOf(of)...)
		d.Integrations = append(d.Integrations, s.IntegrationsOf(of)...)
		d.Couriers = append(d.Couriers, s.CouriersOf(of)...)
	}
	return d
}

// batch gives as much of d as goes in one batch, derived streams when all that hangs on them is gone or goes too. whole: that is all.
func (d Deleted) batch() (now Deleted, whole bool) {
	room := deletedCells
	now = Deleted{
		Stream:       d.Stream,
		Integrations: fitting(d.Integrations, &room, func(i *Integration) int { return len(i.keys()) }),
		Exporters:    fitting(d.Exporters, &room, func(e *Exporter) int { return len(e.keys()) }),
		Webhooks:     fitting(d.Webhooks, &room, func(*Webhook) int { return 2 }),
		Couriers:     fitting(d.Couriers, &room, func(*Courier) int { return 2 }), // its own, and its group's
	}
	now.Derived = fitting(d.Derived, &room, func(*Stream) int { return 4 })
	return now, room >= 0
}

// fitting gives as many of all as there is room for, and what room is left: less than none where some do not fit.
func fitting[E any](all []E, room *int, cells func(E) int) []E {
	for n, e := range all {
		if *room -= cells(e); *room < 0 {
			return all[:n]
		}
	}
	return all
}

func (d *Deleted) add(part Deleted) {
	d.Stream = part.Stream
	d.Derived = append(d.Derived, part.Derived...)
	d.Exporters = append(d.Exporters, part.Exporters...)
	d.Webhooks = append(d.Webhooks, part.Webhooks...)
	d.Integrations = append(d.Integrations, part.Integrations...)
	d.Couriers = append(d.Couriers, part.Couriers...)
}

// names lists what goes with the stream, each kind with its word.
func (d Deleted) names() (all [][]string) {
	kind := func(word string, names []string) {
		if len(names) > 0 {
			all = append(all, append([]string{word}, names...))
		}
	}
	var derived, exporters, webhooks, integrations, couriers []string
	for _, s := range d.Derived {
		derived = append(derived, s.Name)
	}
	for _, w := range d.Webhooks {
		webhooks = append(webhooks, w.Name)
	}
	for _, e := range d.Exporters {
		exporters = append(exporters, e.Name+" of "+e.Stream.Name)
	}
	for _, i := range d.Integrations {
		integrations = append(integrations, i.Name)
	}
	for _, c := range d.Couriers {
		couriers = append(couriers, c.Name)
	}
	kind("derived stream", derived)
	kind("webhook", webhooks)
	kind("exporter", exporters)
	kind("integration", integrations)
	kind("courier", couriers)
	return all
}

// inUse is the refusal to delete a stream that others depend on; nil where none do.
func (d Deleted) inUse() error {
	var parts []string
	n := 0
	for _, kind := range d.names() {
		word, names := kind[0], kind[1:]
		if n += len(names); len(names) > 1 {
			word += "s"
		}
		parts = append(parts, word+" "+listed(names))
	}
	them := "it"
	switch n {
	case 0:
		return nil
	case 1:
	default:
		them = "them"
	}
	return &InUse{fmt.Sprintf("Cannot delete stream %s: it still has %s. Delete %s first, or use --recursive", d.Stream.Name, strings.Join(parts, ", and "), them)}
}

// planDependents erases what hangs on a stream and those derived from it.
func planDependents(s *Snapshot, at revisions, d Deleted) []engine.Write {
	var writes []engine.Write
	for _, w := range d.Webhooks {
		writes = append(writes, planDeleteWebhook(at, w)...)
	}
	for _, e := range d.Exporters {
		writes = append(writes, erasing(at, e.keys()...)...)
	}
	for _, i := range d.Integrations {
		writes = append(writes, erasing(at, i.keys()...)...)
	}
	if len(d.Couriers) == 0 {
		return writes
	}
	gone := set{}
	for _, c := range d.Couriers {
		gone[c.ID] = struct{}{}
		writes = append(writes, erasing(at, courierKey(c.ID))...)
	}
	for _, g := range s.CourierGroups(d.Stream.Project) {
		left := without(g.record.Couriers, func(id string) bool { _, ok := gone[id]; return ok })
		if len(left) == len(g.record.Couriers) {
			continue
		}
		changed := *g.record
		changed.Couriers = left
		writes = append(writes, engine.Write{Key: courierGroupKey(g.ID), Value: encode(&changed), Revision: at[courierGroupKey(g.ID)]})
	}
	return writes
}
