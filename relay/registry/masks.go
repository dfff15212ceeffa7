package registry

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"sluice/auth"
)

// Mask says which fields of a derived stream's events are shown as hashes. Immutable, as the stream's levels are not.
type Mask struct {
	// Fields are the slash paths of each contract, by its ref, ascending.
	Fields map[string][]string
}

// MaskSpec says what to mask.
type MaskSpec struct {
	Seed   string              // empty: a random one
	Fields map[string][]string // by ref or short id of a contract that the project may use
}

const (
	maxMaskSeed      = 200 // bytes
	maxMaskContracts = 50
	maxMaskFields    = 100 // of a contract
	maskSeedLength   = 32

	maskField = "maskedFields"
)

// maskRecord is the mask of a derived stream.
type maskRecord struct {
	Fields map[string][]string `json:"fields"`
	Seed   []byte              `json:"seed"` // under the master key
}

func maskSecret(stream string) string { return "mask " + stream }

// sealMask checks what can be checked of a mask without knowing what contracts there are, and seals its seed. nil: nothing
// is masked.
func (r *Registry) sealMask(stream string, spec *MaskSpec) (*maskRecord, error) {
	if spec == nil || len(spec.Fields) == 0 {
		if spec != nil && spec.Seed != "" {
			return nil, &Invalid{maskField + ".seed", "is of no use without fields to mask"}
		}
		return nil, nil
	}
	seed := spec.Seed
	switch {
	case seed == "":
		seed = auth.NewRandom(maskSeedLength, urlSafe)
	case len(seed) > maxMaskSeed:
		return nil, &Invalid{maskField + ".seed", fmt.Sprintf("has more than %d bytes", maxMaskSeed)}
	case !utf8.ValidString(seed):
		return nil, &Invalid{maskField + ".seed", "is not UTF-8"}
	case len(spec.Fields) > maxMaskContracts:
		return nil, &Invalid{maskField, fmt.Sprintf("names %d contracts, at most %d are taken", len(spec.Fields), maxMaskContracts)}
	}
	for _, ref := range slices.Sorted(maps.Keys(spec.Fields)) {
		fields := spec.Fields[ref]
		switch {
		case len(fields) == 0:
			return nil, &Invalid{maskField, fmt.Sprintf("names no field of contract '%s'", ref)}
		case len(fields) > maxMaskFields:
			return nil, &Invalid{maskField, fmt.Sprintf("names %d fields of contract '%s', at most %d are taken", len(fields), ref, maxMaskFields)}
		}
		for i, f := range fields {
			if slices.Contains(fields[:i], f) {
				return nil, &Invalid{maskField, fmt.Sprintf("field '%s' of contract '%s' is there twice", f, ref)}
			}
		}
	}
	sealed, err := r.vault.SealSecret(maskSecret(stream), []byte(seed))
	if err != nil {
		return nil, fmt.Errorf("sealing the seed of a mask: %w", err)
	}
	return &maskRecord{Fields: spec.Fields, Seed: sealed}, nil
}

// resolved is a mask by the full refs of its contracts. It is the one place where its fields are held to them: a contract
// that was ever active does not change any more.
func (m *maskRecord) resolved(s *Snapshot, p *Project) (*maskRecord, error) {
	if m == nil {
		return nil, nil
	}
	out := &maskRecord{Fields: map[string][]string{}, Seed: m.Seed}
	for _, ref := range slices.Sorted(maps.Keys(m.Fields)) {
		c, _ := s.Contract(p, []byte(ref))
		if c == nil {
			return nil, &Invalid{maskField, fmt.Sprintf("data contract '%s' is not known", ref)}
		}
		if out.Fields[c.Ref()] != nil {
			return nil, &Invalid{maskField, fmt.Sprintf("data contract '%s' is there twice, by its ref and its short id", c.Ref())}
		}
		for _, f := range m.Fields[ref] {
			if err := c.CheckText(f); err != nil {
				return nil, &Invalid{maskField, fmt.Sprintf("field '%s' of contract '%s' %s", f, c.Ref(), err)}
			}
		}
		out.Fields[c.Ref()] = slices.Sorted(slices.Values(m.Fields[ref]))
	}
	return out, nil
}

// MaskSeed is the seed of a stream's mask, empty where it has none. Show it to nobody.
func (r *Registry) MaskSeed(s *Stream) (string, error) {
	if s.Mask == nil {
		return "", nil
	}
	seed, err := r.vault.OpenSecret(maskSecret(s.UUID), s.record.Mask.Seed)
	if err != nil {
		return "", fmt.Errorf("opening the seed of stream %s's mask: %w", s.Name, err)
	}
	return string(seed), nil
}
