package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sluice/auth"
	"sluice/delivery/export"
	"sluice/relay/registry"
)

// manageSink is a sink; its credentials are never shown.
type manageSink struct {
	SinkType   string `json:"sinkType" example:"S3" doc:"S3, GCLOUD or FOLDER."`
	SinkName   string `json:"sinkName" example:"s3-bart"`
	BucketName string `json:"bucketName" example:"bvandeenen-streammachine-bucket" doc:"Of a folder the directory."`
	Endpoint   string `json:"endpoint,omitempty" example:"https://minio.example.com" doc:"Where the S3 is, if it is not AWS."`
	Region     string `json:"region,omitempty" example:"eu-west-1"`
	PathStyle  bool   `json:"pathStyle,omitempty" doc:"true: addresses have the bucket in their path."`
}

type manageNewSink struct {
	SinkType    string     `json:"sinkType" example:"S3" doc:"S3, a bucket of AWS or of any server that speaks its protocol, GCLOUD, a bucket of Google Cloud Storage, or FOLDER, a directory of the server's machine."`
	SinkName    string     `json:"sinkName" example:"s3-bart" doc:"Unique in the project."`
	BucketName  string     `json:"bucketName" minLength:"1" maxLength:"1024" doc:"Of a folder the directory: an absolute path takes the admin token, a relative one lies in the project's own part of the server's data, below export. With several nodes it has to be shared by all."`
	Credentials manageText `json:"credentials,omitempty" doc:"Of an S3: what aws iam create-access-key printed, or {url, accessKey, secretKey}; of a GCLOUD the key file of a service account; as text or as an object. Stored sealed, never shown."`
	Endpoint    string     `json:"endpoint,omitempty" maxLength:"1024" doc:"Of an S3 that is not AWS, or a Cloud Storage that is not Google: https:// or http:// and a host."`
	Region      string     `json:"region,omitempty" maxLength:"100" doc:"Of an S3; left out, it is asked for."`
	PathStyle   bool       `json:"pathStyle,omitempty" doc:"Of an S3: true puts the bucket in the path of every address."`
}

type manageSinkPatch struct {
	Credentials manageField[manageText] `json:"credentials,omitempty" doc:"New ones for the same bucket."`
	Endpoint    manageField[string]     `json:"endpoint,omitempty" maxLength:"1024" doc:"Another address of the same bucket, of a GCLOUD only together with its credentials; null: what the credentials say, else AWS or Google."`
	Region      manageField[string]     `json:"region,omitempty" maxLength:"100" doc:"null: it is asked for."`
	PathStyle   manageField[bool]       `json:"pathStyle,omitempty"`
}

// ManageSinkName is a sink in the path.
type ManageSinkName struct {
	ManageScope
	Sink string `path:"sink" example:"s3-bart" doc:"The sink's name."`
}

// ManageSinkShape is the shape that a sink is shown in; it has had the same since 2021.
type ManageSinkShape struct {
	Shape string `query:"shape" enum:"2021" doc:"Without effect on a sink, which has had one shape since 2021; exporters that go with it are shown as they were then."`
}

// ManageSinkType is what clients of 2021 say of a sink beside its name.
type ManageSinkType struct {
	SinkType string `query:"sinkType" example:"S3" doc:"If given, the sink's; 404 where it has another."`
}

type manageListSinksIn struct {
	ManageScope
	ManageSinkShape
}

type manageNewSinkIn struct {
	ManageScope
	Body manageNewSink
}

// ManageGetSink names a sink as clients of then and now do.
type ManageGetSink struct {
	ManageSinkName
	ManageSinkType
	ManageSinkShape
}

type manageDeleteSinkIn struct {
	ManageGetSink
	ManageRecursive
}

type managePatchSinkIn struct {
	ManageSinkName
	Body manageSinkPatch
}

type manageSinkOut struct{ Body manageSink }

type manageSinksOut struct {
	Body []manageSink `nullable:"false"`
}

// manageSinkTree is a sink with the exporters that went along.
type manageSinkTree struct {
	Sink      manageSink          `json:"sink"`
	Exporters []manageAnyExporter `json:"exporters,omitempty" nullable:"false"`
}

// manageAnySink is a sink alone, or with what hung on it.
type manageAnySink struct{ manageAny }

func (manageAnySink) Schema(r huma.Registry) *huma.Schema {
	return manageOneOf(r, manageType[manageSink](), manageType[manageSinkTree]())
}

type manageSinkOrTreeOut struct{ Body manageAnySink }

func (m *manageAPI) registerSinks(api huma.API) {
	const collection, one = "/v1/sinks", "/v1/sinks/{sink}"
	tags := []string{"sinks"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-sinks", Method: http.MethodGet, Path: collection, Tags: tags,
		Summary: "List the sinks of a project, by name",
	}, m.listSinks)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-sink", Method: http.MethodPost, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Create a sink",
		Description: "An empty object is written there and taken away again: 400 with the store's reason where it does not take it.",
	}, m.createSink)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-sink-2021", Method: http.MethodPut, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a sink, as in 2021",
	}, m.createSink)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-sink", Method: http.MethodGet, Path: one, Tags: tags,
		Summary: "Get a sink",
	}, m.getSink)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-sink", Method: http.MethodPatch, Path: one, Tags: tags,
		Summary: "Change how a sink's bucket is reached (merge patch)",
		Description: "Its exporters go on where they are, by the new credentials at once. Type and bucket stay: for another bucket make another sink. " +
			"An empty object is written there and taken away again: 400 with the store's reason, and nothing changed, where it does not take it.",
	}, m.updateSink)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-sink", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary:     "Delete a sink",
		Description: "What was written there stays. 409 while exporters write to it, unless `recursive` takes them along.",
	}, m.deleteSink)
}

func manageShowSink(s *registry.Sink) manageSink {
	return manageSink{SinkType: s.Type, SinkName: s.Name, BucketName: s.Bucket, Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.PathStyle}
}

func (m *manageAPI) listSinks(ctx context.Context, in *manageListSinksIn) (*manageSinksOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageSinksOut{Body: []manageSink{}}
	for _, s := range snap.Sinks(p) {
		out.Body = append(out.Body, manageShowSink(s))
	}
	return out, nil
}

func (m *manageAPI) createSink(ctx context.Context, in *manageNewSinkIn) (*manageSinkOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := manageSinkTakes(b.SinkType, b.Credentials != "" || b.Endpoint != "", b.Region != "" || b.PathStyle); err != nil {
		return nil, err
	}
	switch {
	case b.SinkType == export.TypeFolder:
		if err := export.CheckFolder(b.BucketName, auth.May(manageCaller(ctx).Kind, auth.Administer)); err != nil {
			return nil, &registry.Invalid{Field: "bucketName", Reason: err.Error()}
		}
	case b.SinkType == export.TypeGCS && b.Credentials == "":
		return nil, &registry.Invalid{Field: "credentials", Reason: "is missing: the JSON key file of a service account"}
	case b.Credentials == "":
		return nil, &registry.Invalid{Field: "credentials", Reason: "is missing: what aws iam create-access-key printed"}
	}
	if snap.Sink(p, b.SinkName) != nil {
		// Said before anything is written there; which of two at once is faster is found out when it is stored.
		return nil, manageTaken(registry.ErrExists, "Sink", b.SinkName)
	}
	spec := registry.SinkSpec{
		Name: b.SinkName, Type: b.SinkType, Bucket: b.BucketName, Endpoint: b.Endpoint, Region: b.Region, PathStyle: b.PathStyle,
	}
	if b.Credentials != "" {
		spec.Credentials = []byte(b.Credentials)
	}
	err = m.exports.Check(ctx, export.Target{
		Project: p.Name, Type: spec.Type, Bucket: spec.Bucket, Endpoint: spec.Endpoint, Region: spec.Region, PathStyle: spec.PathStyle,
		Credentials: spec.Credentials,
	}, "")
	if err != nil {
		return nil, manageStoreRefused(err)
	}
	s, err := m.reg.CreateSink(ctx, p, spec)
	if err != nil {
		return nil, manageTaken(err, "Sink", b.SinkName)
	}
	return &manageSinkOut{manageShowSink(s)}, nil
}

// manageSinkTakes holds what is said of a sink to its type: whether it says how a bucket is reached, and what only S3 has.
func manageSinkTakes(sinkType string, bucket, s3 bool) error {
	switch {
	case !slices.Contains([]string{export.TypeS3, export.TypeGCS, export.TypeFolder}, sinkType):
		return &registry.Invalid{Field: "sinkType", Reason: "unknown sink type; there are " + export.Types}
	case sinkType == export.TypeFolder && (bucket || s3):
		return &registry.Invalid{Field: "sinkType", Reason: "a FOLDER takes no credentials, endpoint, region and pathStyle"}
	case sinkType == export.TypeGCS && s3:
		return &registry.Invalid{Field: "sinkType", Reason: "a GCLOUD takes no region and pathStyle"}
	}
	return nil
}

func (m *manageAPI) updateSink(ctx context.Context, in *managePatchSinkIn) (*manageSinkOut, error) {
	_, s, err := m.sink(ctx, &ManageGetSink{ManageSinkName: in.ManageSinkName})
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := manageSinkTakes(s.Type, b.Credentials.Set || b.Endpoint.Set, b.Region.Set || b.PathStyle.Set); err != nil {
		return nil, err
	}
	patch := registry.SinkPatch{Endpoint: b.Endpoint.pointer(""), Region: b.Region.pointer(""), PathStyle: b.PathStyle.pointer(false)}
	if b.Credentials.Set {
		if b.Credentials.Value == "" {
			return nil, &registry.Invalid{Field: "credentials", Reason: "cannot be taken away"}
		}
		patch.Credentials = []byte(b.Credentials.Value)
	}
	// Google's clients show who they talk to a token that opens the bucket, and who names an address need not know the key that it comes of.
	if e := patch.Endpoint; s.Type == export.TypeGCS && e != nil && *e != s.Endpoint && patch.Credentials == nil {
		return nil, &registry.Invalid{Field: "endpoint", Reason: "of a GCLOUD is changed together with its credentials; give both"}
	}
	if err := m.exports.CheckChange(ctx, s, patch); err != nil {
		return nil, manageStoreRefused(err)
	}
	if s, err = m.reg.UpdateSink(ctx, s.ID, patch); err != nil {
		return nil, err
	}
	return &manageSinkOut{manageShowSink(s)}, nil
}

// manageStoreRefused says why a store cannot be written to: what the user named is wrong there.
func manageStoreRefused(err error) error {
	var refused *export.Refused
	switch {
	case errors.As(err, &refused):
		return manageErrorf(http.StatusBadRequest, "The sink does not take objects: %s", refused.Reason)
	case errors.Is(err, export.ErrCredentials):
		return &registry.Invalid{Field: "credentials", Reason: err.Error()}
	default:
		return err
	}
}

// sink finds a sink by its name, and by its type where that is given too.
func (m *manageAPI) sink(ctx context.Context, in *ManageGetSink) (*registry.Project, *registry.Sink, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, nil, err
	}
	s := snap.Sink(p, in.Sink)
	switch {
	case s == nil:
		return nil, nil, manageNotFound("Sink", in.Sink)
	case in.SinkType != "" && in.SinkType != s.Type:
		return nil, nil, manageErrorf(http.StatusNotFound, "Sink '%s' is not of type %s", in.Sink, in.SinkType)
	}
	return p, s, nil
}

func (m *manageAPI) getSink(ctx context.Context, in *ManageGetSink) (*manageSinkOut, error) {
	_, s, err := m.sink(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageSinkOut{manageShowSink(s)}, nil
}

func (m *manageAPI) deleteSink(ctx context.Context, in *manageDeleteSinkIn) (*manageSinkOrTreeOut, error) {
	p, _, err := m.sink(ctx, &in.ManageGetSink)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteSink(ctx, p, in.Sink, in.Recursive)
	if err != nil {
		return nil, err
	}
	if !in.Recursive {
		return &manageSinkOrTreeOut{manageAnySink{manageAny{manageShowSink(gone.Sink)}}}, nil
	}
	tree := manageSinkTree{Sink: manageShowSink(gone.Sink), Exporters: manageShowExporters(gone.Exporters, in.Shape)}
	return &manageSinkOrTreeOut{manageAnySink{manageAny{tree}}}, nil
}
