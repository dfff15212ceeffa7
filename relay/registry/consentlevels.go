package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// maxLevelName bounds the name of a consent level, in characters.
const maxLevelName = 100

// ConsentLevel is what a project calls a level, for the people who read it: the level means the same without a name.
type ConsentLevel struct {
	Level int
	Name  string
}

// ConsentLevels gives the levels that a project has names for, ascending.
func (p *Project) ConsentLevels() []ConsentLevel {
	all := make([]ConsentLevel, 0, len(p.record.ConsentLevels))
	for _, level := range slices.Sorted(maps.Keys(p.record.ConsentLevels)) {
		all = append(all, ConsentLevel{level, p.record.ConsentLevels[level]})
	}
	return all
}

// ConsentLevel is what a project calls a level; ok is false where it has no name for it.
func (p *Project) ConsentLevel(level int) (l ConsentLevel, ok bool) {
	name, ok := p.record.ConsentLevels[level]
	return ConsentLevel{level, name}, ok
}

// NameConsentLevel gives a level a name, or another one; with anew it must have none. Errors: *Invalid, ErrExists, ErrNotFound for the
// project.
func (r *Registry) NameConsentLevel(ctx context.Context, p *Project, l ConsentLevel, anew bool) error {
	switch {
	case l.Level < 0 || l.Level > consent.MaxLevel:
		return &Invalid{"id", fmt.Sprintf("must be a consent level, 0 to %d", consent.MaxLevel)}
	case l.Name == "" || utf8.RuneCountInString(l.Name) > maxLevelName:
		return &Invalid{"name", fmt.Sprintf("must have 1 to %d characters", maxLevelName)}
	}
	for _, c := range l.Name {
		if !unicode.IsPrint(c) {
			return &Invalid{"name", "has a character that cannot be printed"}
		}
	}
	return r.changeLevels(ctx, p, func(levels map[int]string) error {
		if _, named := levels[l.Level]; named && anew {
			return ErrExists
		}
		levels[l.Level] = l.Name
		return nil
	})
}

// UnnameConsentLevel takes a level's name away and gives it back; events and streams keep the level. Error: ErrNotFound.
func (r *Registry) UnnameConsentLevel(ctx context.Context, p *Project, level int) (gone ConsentLevel, err error) {
	err = r.changeLevels(ctx, p, func(levels map[int]string) error {
		name, named := levels[level]
		if !named {
			return ErrNotFound
		}
		gone = ConsentLevel{level, name}
		delete(levels, level)
		return nil
	})
	return gone, err
}

func (r *Registry) changeLevels(ctx context.Context, p *Project, change func(map[int]string) error) error {
	return r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		now := s.ProjectByID(p.ID)
		if now == nil {
			return nil, ErrNotFound
		}
		changed := *now.record
		if changed.ConsentLevels = maps.Clone(changed.ConsentLevels); changed.ConsentLevels == nil {
			changed.ConsentLevels = map[int]string{}
		}
		if err := change(changed.ConsentLevels); err != nil {
			return nil, err
		}
		key := projectKey(p.ID)
		return []engine.Write{{Key: key, Value: encode(&changed), Revision: at[key]}}, nil
	})
}
