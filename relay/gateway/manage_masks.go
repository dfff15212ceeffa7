package gateway

import "sluice/relay/registry"

const (
	// manageMaskHash is the one way to hash a masked value there is.
	manageMaskHash = "Murmurhash3"
	// manageSecret stands for a secret that is not shown.
	manageSecret = "****"
)

// manageMasks is which fields of which contracts a derived stream shows as hashes.
type manageMasks struct {
	HashType      string                        `json:"hashType,omitempty" example:"Murmurhash3" doc:"Murmurhash3, or left out."`
	Seed          string                        `json:"seed,omitempty" maxLength:"200" example:"hi-there" doc:"What is hashed before each value; left out: a random one. Shown as ****."`
	FieldPatterns map[string]manageMaskedFields `json:"fieldPatterns,omitempty" doc:"By the ref of a data contract."`
}

type manageMaskedFields struct {
	FieldPatterns []string `json:"fieldPatterns" nullable:"false" minItems:"1" maxItems:"100" example:"[\"customer/id\"]" doc:"Slash paths of texts and lists of texts, personal or not."`
}

func manageShowMasks(m *registry.Mask) *manageMasks {
	if m == nil {
		return nil
	}
	out := &manageMasks{HashType: manageMaskHash, Seed: manageSecret, FieldPatterns: map[string]manageMaskedFields{}}
	for ref, fields := range m.Fields {
		out.FieldPatterns[ref] = manageMaskedFields{fields}
	}
	return out
}

// manageMaskSpec reads a mask, which has two names; nil for none.
func manageMaskSpec(one, other *manageMasks) (*registry.MaskSpec, error) {
	m := one
	switch {
	case one != nil && other != nil:
		return nil, &registry.Invalid{Field: "masked_fields", Reason: "is there twice, also as maskedFields"}
	case one == nil && other == nil:
		return nil, nil
	case one == nil:
		m = other
	}
	if m.HashType != "" && m.HashType != manageMaskHash {
		return nil, &registry.Invalid{Field: "maskedFields.hashType", Reason: "must be " + manageMaskHash + ", or left out"}
	}
	if m.Seed == manageSecret {
		return nil, &registry.Invalid{Field: "maskedFields.seed", Reason: "is what an answer shows instead of it; send the seed, or leave it out for a new one"}
	}
	if m.Seed == "" && len(m.FieldPatterns) == 0 {
		return nil, nil
	}
	spec := &registry.MaskSpec{Seed: m.Seed, Fields: map[string][]string{}}
	for ref, f := range m.FieldPatterns {
		spec.Fields[ref] = f.FieldPatterns
	}
	return spec, nil
}
