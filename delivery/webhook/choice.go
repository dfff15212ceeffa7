package webhook

import (
	"fmt"
	"slices"

	"sluice/relay/filter"
	"sluice/relay/registry"
)

// choice is what a webhook asked for of its stream when a batch was begun. A batch that was tried is sent again with the same
// events, also when the webhook asks for others by then: those from its first event to its last would be others, and more of
// them, by another filter. The zero choice is everything.
type choice struct {
	Types   []string `json:"types,omitempty"`
	Filters string   `json:"filters,omitempty"` // JSON

	filter *filter.Filter // nil until compile
}

func chosenBy(w *registry.Webhook) choice { return choice{Types: w.Types, Filters: string(w.Filters)} }

func (c *choice) same(d *choice) bool {
	return c.Filters == d.Filters && slices.Equal(c.Types, d.Types)
}

func (c *choice) compile() (err error) {
	if c.filter, err = filter.New(c.Types, []byte(c.Filters)); err != nil {
		return fmt.Errorf("the filter of a webhook: %w", err)
	}
	return nil
}

// choose compiles what the webhook asks for now, and gives each batch of the stored state what it was begun with.
func (r *run) choose() error {
	now := chosenBy(r.hook)
	if err := now.compile(); err != nil {
		return err
	}
	r.choice = &now
	r.former = append([]choice{{}}, r.state.Choices...)
	r.state.Choices = nil
	for i := range r.former {
		if err := r.former[i].compile(); err != nil {
			return err
		}
	}
	return nil
}

// chosen is what a stored batch was begun with.
func (r *run) chosen(o open) *choice {
	if o.Choice >= len(r.former) || r.former[o.Choice].same(r.choice) {
		return r.choice
	}
	return &r.former[o.Choice]
}

// keep puts a batch into the state that is stored, and what it was begun with into the list of those.
func (s *state) keep(b *batch) {
	o := b.open()
	if !b.choice.same(&choice{}) {
		at := slices.IndexFunc(s.Choices, func(c choice) bool { return c.same(b.choice) })
		if at < 0 {
			at, s.Choices = len(s.Choices), append(s.Choices, choice{Types: b.choice.Types, Filters: b.choice.Filters})
		}
		o.Choice = at + 1
	}
	s.Open = append(s.Open, o)
}
