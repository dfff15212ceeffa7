package gateway

import (
	"math/bits"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// manageRef names a stream in its project.
type manageRef struct {
	Name      string `json:"name" example:"by-hand"`
	ProjectID string `json:"projectId" format:"uuid"`
}

// manageCredentials are what a stream's own clients identify themselves with.
type manageCredentials struct {
	ClientID     string `json:"clientId" example:"stream-w0qu00hwl644b7d0hqkq5xq6zk2l1m"`
	ClientSecret string `json:"clientSecret,omitempty" doc:"Shown once, when the stream is made."`
	ProjectID    string `json:"projectId" format:"uuid"`
}

type manageLimits struct {
	EventRate  manageCount `json:"eventRate" example:"\"999999\"" doc:"Events per second."`
	EventCount manageCount `json:"eventCount" example:"\"999999999\"" doc:"Events per calendar month, UTC."`
}

// manageMasked is the masks of a stream: a source stream has none.
type manageMasked struct{}

// manageStream is a source stream.
type manageStream struct {
	Ref            manageRef           `json:"ref"`
	ID             string              `json:"id" example:"is-AbCDefGH" doc:"Its name in /stream/v0/data."`
	UUID           string              `json:"uuid" format:"uuid"`
	Contract       *string             `json:"contract" example:"example/example/1.0.0" doc:"The data contract of bulk lines that name none; null: each names its own."`
	Payload        *string             `json:"payload" example:"json" doc:"json or xml for a stream of /stream/v0/data, which needs no contract; else null."`
	Sink           string              `json:"sink,omitempty" doc:"The sink that its payloads land in, where it is not the server's folder."`
	Gzip           bool                `json:"gzip,omitempty" doc:"true: they land packed."`
	Description    string              `json:"description"`
	Tags           []string            `json:"tags" nullable:"false"`
	Enabled        bool                `json:"enabled" doc:"false: neither producers nor readers are let in."`
	Limits         manageLimits        `json:"limits"`
	Retention      string              `json:"retention,omitempty" example:"7d" doc:"How long events are kept, where it is not the server's retention.age."`
	RetentionBytes string              `json:"retentionBytes,omitempty" example:"100GB" doc:"How many bytes are kept, where it is not the server's retention.bytes."`
	Credentials    []manageCredentials `json:"credentials" nullable:"false"`
	MaskedFields   manageMasked        `json:"masked_fields"`
}

// manageDerived is a derived stream: its source as the people's consent allows it to be seen.
type manageDerived struct {
	Ref              manageRef           `json:"ref"`
	Description      string              `json:"description,omitempty"`
	ConsentLevels    []int               `json:"consentLevels" nullable:"false" example:"[2]"`
	ConsentLevelType string              `json:"consentLevelType" enum:"CUMULATIVE,GRANULAR"`
	Enabled          bool                `json:"enabled"`
	LinkedStream     string              `json:"linkedStream" example:"by-hand" doc:"The source stream."`
	Tags             []string            `json:"tags" nullable:"false"`
	Credentials      []manageCredentials `json:"credentials" nullable:"false"`
	MaskedFields     *manageMasks        `json:"masked_fields,omitempty" doc:"Left out where nothing is masked."`
}

// manageCredentials2021 are credentials in the shape of 2021.
type manageCredentials2021 struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret,omitempty"`
}

// manageStream2021 is a source stream in the shape of 2021.
type manageStream2021 struct {
	Name        string                `json:"name" example:"bart"`
	Tags        []string              `json:"tags" nullable:"false"`
	Credentials manageCredentials2021 `json:"credentials"`
}

// manageOutput2021 is a derived stream in the shape of 2021.
type manageOutput2021 struct {
	LinkedStream     string                `json:"linkedStream" example:"bart"`
	Name             string                `json:"name" example:"level0-1"`
	Tags             []string              `json:"tags" nullable:"false"`
	Credentials      manageCredentials2021 `json:"credentials"`
	ConsentLevelType string                `json:"consentLevelType" enum:"CUMULATIVE,GRANULAR"`
	ConsentLevels    []int                 `json:"consentLevels" nullable:"false"`
	DecrypterName    string                `json:"decrypterName" example:"default"`
}

// manageAnyStream is a stream of either kind in either shape.
type manageAnyStream struct{ manageAny }

func (manageAnyStream) Schema(r huma.Registry) *huma.Schema {
	return manageOneOf(r, reflect.TypeFor[manageStream](), reflect.TypeFor[manageDerived](),
		reflect.TypeFor[manageStream2021](), reflect.TypeFor[manageOutput2021]())
}

// manageAnyOutput is a derived stream in either shape.
type manageAnyOutput struct{ manageAny }

func (manageAnyOutput) Schema(r huma.Registry) *huma.Schema {
	return manageOneOf(r, reflect.TypeFor[manageDerived](), reflect.TypeFor[manageOutput2021]())
}

// manageTree is a stream with what hangs on it; empty lists are left out.
type manageTree struct {
	Stream    manageAnyStream     `json:"stream"`
	Derived   []manageAnyOutput   `json:"derived,omitempty" nullable:"false"`
	Exporters []manageAnyExporter `json:"exporters,omitempty" nullable:"false"`
	Webhooks  []manageWebhook     `json:"webhooks,omitempty" nullable:"false"`

	Integrations []manageIntegration `json:"integrations,omitempty" nullable:"false"`
	Couriers     []manageCourier     `json:"couriers,omitempty" nullable:"false"`
}

// manageAnyStreamOrTree is what a call with ?recursive answers.
type manageAnyStreamOrTree struct{ manageAny }

func (manageAnyStreamOrTree) Schema(r huma.Registry) *huma.Schema {
	return manageOneOf(r, reflect.TypeFor[manageStream](), reflect.TypeFor[manageDerived](),
		reflect.TypeFor[manageStream2021](), reflect.TypeFor[manageOutput2021](), reflect.TypeFor[manageTree]())
}

// manageShape2021 is the value of ?shape= that asks for the older shape.
const manageShape2021 = "2021"

// manageShow gives a stream of either kind the shape that was asked for. secret is empty but at its creation.
func manageShow(st *registry.Stream, secret, shape string) manageAny {
	switch {
	case st.Source == nil && shape == manageShape2021:
		return manageAny{manageStream2021{
			Name: st.Name, Tags: manageList(st.Tags), Credentials: manageCredentials2021{st.ClientID, secret},
		}}
	case shape == manageShape2021:
		return manageAny{manageOutput2021{
			LinkedStream: st.Source.Name, Name: st.Name, Tags: manageList(st.Tags),
			Credentials:      manageCredentials2021{st.ClientID, secret},
			ConsentLevelType: st.Rule.Type.String(), ConsentLevels: manageLevels(st.Rule.Levels), DecrypterName: "default",
		}}
	}
	ref := manageRef{Name: st.Name, ProjectID: st.Project.ID}
	credentials := []manageCredentials{{ClientID: st.ClientID, ClientSecret: secret, ProjectID: st.Project.ID}}
	if st.Source != nil {
		return manageAny{manageDerived{
			Ref: ref, Description: st.Description, Enabled: st.Enabled, LinkedStream: st.Source.Name, Tags: manageList(st.Tags),
			ConsentLevels: manageLevels(st.Rule.Levels), ConsentLevelType: st.Rule.Type.String(), Credentials: credentials,
			MaskedFields: manageShowMasks(st.Mask),
		}}
	}
	out := manageStream{
		Ref: ref, ID: st.PublicID, UUID: st.UUID, Contract: manageOptional(st.Contract), Payload: manageOptional(st.Payload), Sink: st.SinkName, Gzip: st.Gzip,
		Description: st.Description, Tags: manageList(st.Tags), Enabled: st.Enabled,
		Limits:      manageLimits{EventRate: manageCount(st.EventRate), EventCount: manageCount(st.EventCount)},
		Credentials: credentials,
	}
	if st.Retention != 0 {
		out.Retention = manageSpan(st.Retention)
	}
	if st.RetentionBytes != 0 {
		out.RetentionBytes = manageSize(st.RetentionBytes)
	}
	return manageAny{out}
}

// manageShowTree shows a stream with what hangs on it.
func manageShowTree(of registry.Deleted, shape string) manageAny {
	tree := manageTree{
		Stream: manageAnyStream{manageShow(of.Stream, "", shape)}, Exporters: manageShowExporters(of.Exporters, shape),
		Webhooks: manageShowWebhooks(of.Webhooks), Integrations: manageShowIntegrations(of.Integrations), Couriers: manageShowCouriers(of.Couriers),
	}
	for _, d := range of.Derived {
		tree.Derived = append(tree.Derived, manageAnyOutput{manageShow(d, "", shape)})
	}
	return manageAny{tree}
}

// manageLevels lists the bits of a set of consent levels, lowest first.
func manageLevels(set uint64) []int {
	out := make([]int, 0, bits.OnesCount64(set))
	for ; set != 0; set &= set - 1 {
		out = append(out, bits.TrailingZeros64(set))
	}
	return out
}

// manageList is the list itself, or an empty one instead of null.
func manageList[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func manageOptional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
