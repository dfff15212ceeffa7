package command

import (
	"strings"

	"github.com/spf13/pflag"
)

// maskFlags are how a derived stream is told what to show as hashes.
type maskFlags struct {
	fields []string
	seed   string
}

func (f *maskFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVarP(&f.fields, "masked-fields", "M", nil,
		"fields to show as hashes, as REF:FIELD,FIELD; for several contracts several times")
	flags.StringVar(&f.seed, "mask-seed", "", "what is hashed before each value (default a random one)")
}

// set adds what the flags say to the body of a request.
func (f *maskFlags) set(body map[string]any) error {
	if len(f.fields) == 0 {
		if f.seed != "" {
			return usagef("--mask-seed is of no use without --masked-fields")
		}
		return nil
	}
	patterns := map[string]any{}
	for _, arg := range f.fields {
		ref, list, ok := strings.Cut(arg, ":")
		if !ok || ref == "" || list == "" {
			return usagef("--masked-fields must be a contract and its fields, such as strmprivacy/example/1.5.0:uniqueIdentifier,someSensitiveValue; it is %q", arg)
		}
		if patterns[ref] != nil {
			return usagef("--masked-fields names contract %s twice; put its fields together", ref)
		}
		patterns[ref] = map[string]any{"fieldPatterns": strings.Split(list, ",")}
	}
	masks := map[string]any{"fieldPatterns": patterns}
	if f.seed != "" {
		masks["seed"] = f.seed
	}
	body["maskedFields"] = masks
	return nil
}
