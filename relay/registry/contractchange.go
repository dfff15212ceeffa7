package registry

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"sluice/relay/contract"
	"sluice/relay/engine"
)

// UpdateContract changes a data contract: all of a draft but its ref, and only the metadata of one that is or was
// active, for events were accepted under it. edit is given a copy of the definition and whether it is public; it may
// be called several times, must not change what the copy's slices and maps hold, and gives the new ones back. Errors:
// ErrNotFound, *Invalid, *InUse for what is frozen or built in, and what edit returns.
func (r *Registry) UpdateContract(ctx context.Context, p *Project, ref string, edit func(d contract.Definition, public bool) (contract.Definition, bool, error)) (ContractEntry, error) {
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		e, err := s.own(p, ref)
		if err != nil {
			return nil, err
		}
		changed := *e.record
		if changed.Definition, changed.Public, err = edit(e.Definition, e.Public); err != nil {
			return nil, err
		}
		if changed.Definition.Ref != ref {
			return nil, &Invalid{"ref", "cannot be changed; make a new version or another contract"}
		}
		line, version, err := parseRef(ref)
		if err != nil {
			return nil, err
		}
		writes := []engine.Write{{Key: contractKey(ref), Revision: at[contractKey(ref)]}}
		if e.State == Draft {
			if changed.Definition, err = contract.Resolve(changed.Definition); err != nil {
				return nil, invalidContract(err)
			}
			if l := r.state.line(line); l != nil && l.SchemaType != changed.Definition.SchemaType {
				if len(l.Versions) > 1 {
					return nil, &Invalid{"schemaType", fmt.Sprintf("the other versions are of type %s, and it may not change", l.SchemaType)}
				}
				next := lineRecord{Version: recordVersion, Project: l.Project, SchemaType: changed.Definition.SchemaType, Versions: []string{version}}
				writes = append(writes, engine.Write{Key: lineKey(line), Value: encode(&next), Revision: at[lineKey(line)]})
			}
		} else if frozen(&e.ContractEntry, &changed) {
			return nil, &InUse{fmt.Sprintf("Data contract %s is %s: only its metadata can be changed. Make a new version", ref, strings.ToLower(string(e.State)))}
		}
		if _, err := contract.Compile(changed.Definition); err != nil {
			return nil, invalidContract(err)
		}
		if writes[0].Value, err = encodeContract(&changed); err != nil {
			return nil, err
		}
		return writes, nil
	})
	if err != nil {
		return ContractEntry{}, err
	}
	return r.ownContract(p, ref)
}

// frozen tells whether a change touches more than the metadata.
func frozen(e *ContractEntry, changed *contractRecord) bool {
	was, is := e.Definition, changed.Definition
	was.Metadata, is.Metadata = nil, nil
	return e.Public != changed.Public || !reflect.DeepEqual(was, is)
}

// encodeContract is encode with the bound of a stored contract.
func encodeContract(c *contractRecord) ([]byte, error) {
	value := encode(c)
	if len(value) > maxContract {
		return nil, &Invalid{"contract", fmt.Sprintf("is larger than %d KiB", maxContract>>10)}
	}
	return value, nil
}
