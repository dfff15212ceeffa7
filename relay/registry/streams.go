package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"sluice/auth"
	"sluice/relay/consent"
	"sluice/relay/engine"
)

// CreateStream makes a source stream, or with DerivedFrom a derived one, and its credentials, which are
// shown this once. Errors: *Invalid, ErrExists where the name is taken, ErrNotFound where the project is gone.
func (r *Registry) CreateStream(ctx context.Context, p *Project, spec StreamSpec) (*Stream, Credentials, error) {
	if p == nil {
		return nil, Credentials{}, ErrNotFound
	}
	record, err := newStream(spec)
	if err != nil {
		return nil, Credentials{}, err
	}
	noteEntity(ctx, record.Name)
	id := uuid.New()
	credentials := Credentials{ClientID: "stream-" + auth.NewRandom(clientIDLength, lowerAlnum), ClientSecret: auth.NewSecret(secretLength)}
	record.ID, record.Project, record.Created = id.String(), p.ID, r.now().UnixMilli()
	if record.Mask, err = r.sealMask(record.ID, spec.Mask); err != nil {
		return nil, Credentials{}, err
	}
	record.ClientID, record.SecretHash = credentials.ClientID, auth.Hash(credentials.ClientSecret)
	if spec.DerivedFrom == "" {
		// Where the log has its place for it. Nothing lies there until the first event.
		at, err := r.engine.NewStream(ctx, engine.StreamID(id), p.ID+"/"+record.Name)
		if err != nil {
			return nil, Credentials{}, fmt.Errorf("placing a stream in the log: %w", err)
		}
		record.Shard, record.Since = at.Shard, at.Since
		record.PublicID = "is-" + auth.NewSecret(publicIDLength)
	} else {
		// Another node may have made them a moment ago.
		r.FindStream(ctx, p, spec.DerivedFrom)
		if spec.Mask != nil {
			for ref := range spec.Mask.Fields {
				r.FindContract(ctx, p, []byte(ref))
			}
		}
	}
	err = r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		return planStream(s, at, p.ID, spec, *record)
	})
	if err != nil {
		return nil, Credentials{}, err
	}
	made := r.Snapshot().StreamByUUID(record.ID)
	if made == nil { // somebody deleted it while we looked
		return nil, Credentials{}, ErrNotFound
	}
	return made, credentials, nil
}

// newStream checks what can be checked without knowing what else there is.
func newStream(spec StreamSpec) (*streamRecord, error) {
	record := &streamRecord{Version: recordVersion, Description: spec.Description, Tags: spec.Tags, Payload: spec.Payload, Gzip: spec.Gzip}
	if err := checkLanding(spec); err != nil {
		return nil, err
	}
	if spec.DerivedFrom != "" {
		rule, err := consentRule(spec.Levels, spec.LevelType)
		switch {
		case err != nil:
			return nil, err
		case spec.Payload != "":
			return nil, &Invalid{"payload", "a derived stream has its source's"}
		case spec.Contract != "":
			return nil, &Invalid{"contract", "a derived stream takes no events and so has no contract"}
		}
		record.LevelType, record.Levels = rule.Type.String(), rule.Levels
		if spec.Name == "" {
			spec.Name = derivedName(spec.DerivedFrom, spec.Levels, spec.Mask != nil && len(spec.Mask.Fields) > 0)
		}
	} else {
		switch {
		case spec.Mask != nil:
			return nil, &Invalid{maskField, "only a derived stream masks; name its source in linkedStream"}
		case len(spec.Levels) > 0:
			return nil, &Invalid{"consentLevels", "only a derived stream has levels; name its source in linkedStream"}
		case spec.LevelType != "":
			return nil, &Invalid{"consentLevelType", "only a derived stream has one; name its source in linkedStream"}
		case spec.Payload != "" && spec.Payload != "json" && spec.Payload != "xml":
			return nil, &Invalid{"payload", `must be "json" or "xml"`}
		case spec.Payload != "" && spec.Contract != "":
			return nil, &Invalid{"contract", "a stream with a payload has none; leave one of the two out"}
		}
		record.EventRate, record.EventCount = DefaultEventRate, DefaultEventCount
	}
	record.Name = spec.Name
	if err := checkName(spec.Name); err != nil {
		return nil, err
	}
	if err := checkDescription(spec.Description); err != nil {
		return nil, err
	}
	return record, checkTags(spec.Tags)
}

// planStream fits a new stream in. Its batch rewrites the project, and the source of a derived stream, as they
// are: a delete of either that is under way at the same moment then finds another revision than it
// expected, or this batch does, so that no stream is ever left without its project or source.
func planStream(s *Snapshot, at revisions, project string, spec StreamSpec, record streamRecord) ([]engine.Write, error) {
	p := s.ProjectByID(project)
	if p == nil {
		return nil, ErrNotFound
	}
	// The stream's own cell comes first and the pointers to it behind: who has seen a pointer can see the stream.
	writes := []engine.Write{{}, {Key: projectKey(project), Value: encode(p.record), Revision: at[projectKey(project)]}}
	if spec.DerivedFrom != "" {
		source := s.Stream(p, spec.DerivedFrom)
		if source == nil {
			return nil, &Invalid{"linkedStream", fmt.Sprintf("there is no stream %s", spec.DerivedFrom)}
		}
		if source.Source != nil {
			return nil, &Invalid{"linkedStream", fmt.Sprintf("%s is itself derived; derive from its source %s", source.Name, source.Source.Name)}
		}
		if source.Payload != "" {
			return nil, &Invalid{"linkedStream", fmt.Sprintf("%s takes payloads, which carry no consent that could be held to levels; read it as it is", source.Name)}
		}
		record.Source = source.UUID
		writes = append(writes, engine.Write{Key: streamKey(source.UUID), Value: encode(source.record), Revision: at[streamKey(source.UUID)]})
	}
	writes, err := record.landIn(s, at, p, spec.Sink, writes)
	if err != nil {
		return nil, err
	}
	if record.Contract, err = contractFor(s, p, spec.Contract); err != nil {
		return nil, err
	}
	if record.Mask, err = record.Mask.resolved(s, p); err != nil {
		return nil, err
	}
	name := nameKey(project, record.Name)
	if at[name] != 0 {
		return nil, fmt.Errorf("'%s' %w", record.Name, ErrExists)
	}
	to := encode(&pointer{Version: recordVersion, ID: record.ID})
	writes[0] = engine.Write{Key: streamKey(record.ID), Value: encode(&record)}
	writes = append(writes, engine.Write{Key: name, Value: to}, engine.Write{Key: clientKey(record.ClientID), Value: to})
	if record.PublicID != "" {
		writes = append(writes, engine.Write{Key: publicKey(record.PublicID), Value: to})
	}
	return writes, nil
}

// contractFor gives the ref of a contract named by ref or short id, empty for none.
func contractFor(s *Snapshot, p *Project, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	e := s.entry(p, []byte(ref))
	if e == nil {
		return "", &Invalid{"contract", fmt.Sprintf("data contract '%s' is not known", ref)}
	}
	return e.Ref, nil
}

// UpdateStream changes a stream and gives the whole. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateStream(ctx context.Context, p *Project, name string, patch StreamPatch) (*Stream, error) {
	var id string
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		st := s.Stream(p, name)
		if st == nil {
			return nil, ErrNotFound
		}
		id = st.UUID
		changed := *st.record
		if err := patch.apply(s, st, &changed); err != nil {
			return nil, err
		}
		key := streamKey(id)
		return []engine.Write{{Key: key, Value: encode(&changed), Revision: at[key]}}, nil
	})
	if err != nil {
		return nil, err
	}
	if st := r.Snapshot().StreamByUUID(id); st != nil {
		return st, nil
	}
	return nil, ErrNotFound
}

func (patch *StreamPatch) apply(s *Snapshot, st *Stream, record *streamRecord) error {
	if patch.Description != nil {
		if err := checkDescription(*patch.Description); err != nil {
			return err
		}
		record.Description = *patch.Description
	}
	if patch.Tags != nil {
		if err := checkTags(*patch.Tags); err != nil {
			return err
		}
		record.Tags = *patch.Tags
	}
	if patch.Enabled != nil {
		record.Disabled = !*patch.Enabled
	}
	if st.Source != nil {
		return patch.applyDerived(record)
	}
	return patch.applySource(s, st, record)
}

func (patch *StreamPatch) applyDerived(record *streamRecord) error {
	const own = "is the source's; change it there"
	switch {
	case patch.EventRate != nil, patch.EventCount != nil:
		return &Invalid{"limits", own}
	case patch.Retention != nil, patch.RetentionBytes != nil:
		return &Invalid{"retention", own}
	case patch.Contract != nil:
		return &Invalid{"contract", "a derived stream takes no events and so has no contract"}
	case patch.Levels == nil && patch.LevelType == nil:
		return nil
	}
	levels, levelType := (&Stream{Rule: consent.Rule{Levels: record.Levels}}).Levels(), record.LevelType
	if patch.Levels != nil {
		levels = *patch.Levels
	}
	if patch.LevelType != nil {
		levelType = *patch.LevelType
	}
	rule, err := consentRule(levels, levelType)
	if err != nil {
		return err
	}
	record.LevelType, record.Levels = rule.Type.String(), rule.Levels
	return nil
}

func (patch *StreamPatch) applySource(s *Snapshot, st *Stream, record *streamRecord) error {
	if patch.Levels != nil {
		return &Invalid{"consentLevels", "only a derived stream has levels"}
	}
	if patch.LevelType != nil {
		return &Invalid{"consentLevelType", "only a derived stream has one"}
	}
	if patch.EventRate != nil {
		if err := checkLimit("limits.eventRate", *patch.EventRate, maxEventRate); err != nil {
			return err
		}
		record.EventRate = *patch.EventRate
	}
	if patch.EventCount != nil {
		if err := checkLimit("limits.eventCount", *patch.EventCount, maxEventCount); err != nil {
			return err
		}
		record.EventCount = *patch.EventCount
	}
	if d := patch.Retention; d != nil {
		if *d != 0 && (*d < minRetention || *d > maxRetention) {
			return &Invalid{"retention", fmt.Sprintf("must be from %v to ten years, or 0 for the default", minRetention)}
		}
		record.RetentionMS = int64(*d / time.Millisecond)
	}
	if n := patch.RetentionBytes; n != nil {
		if *n != 0 && *n < minRetentionBytes {
			return &Invalid{"retentionBytes", fmt.Sprintf("must be %d or more, or 0 for the default", minRetentionBytes)}
		}
		record.RetentionBytes = *n
	}
	if patch.Contract == nil {
		return nil
	}
	if *patch.Contract != "" && st.Payload != "" {
		return &Invalid{"contract", "a stream with a payload has none"}
	}
	ref, err := contractFor(s, st.Project, *patch.Contract)
	record.Contract = ref
	return err
}
