package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/delivery/load"
	"sluice/relay/registry"
)

// manageCourier is a courier.
type manageCourier struct {
	ID                string           `json:"id" example:"co-AbCDefGH"`
	Name              string           `json:"name" example:"web-daily"`
	Stream            string           `json:"stream" example:"is-AbCDefGH"`
	FileFormat        string           `json:"fileFormat" enum:"NDJSON,JSON,XML"`
	FileTag           string           `json:"fileTag" example:"streaming"`
	FilePatternPrefix string           `json:"filePatternPrefix,omitempty" example:"08"`
	LoadOperations    manageOperations `json:"loadOperations" nullable:"false"`
	CreatedAt         time.Time        `json:"createdAt"`
}

// manageOperations are load operations by the id of their feed.
type manageOperations map[string][]registry.LoadOperation

type manageNewCourier struct {
	Name              string           `json:"name" doc:"Unique in the project."`
	Stream            string           `json:"stream" doc:"The id or the name of a stream with a payload."`
	FileFormat        string           `json:"fileFormat" doc:"NDJSON or JSON for a stream of JSON, XML for one of XML."`
	FileTag           string           `json:"fileTag,omitempty" doc:"What load operations call the files; left out, streaming."`
	FilePatternPrefix string           `json:"filePatternPrefix,omitempty" doc:"The hour, 00 to 24 (UTC), that the files' names begin with; left out, the whole day."`
	LoadOperations    manageOperations `json:"loadOperations,omitempty" doc:"By the id of the feed: load with the file tag, after truncate or alone. {} reads the files and loads nothing. A feed need not exist yet; the courier does not run before it does."`
}

type manageCourierPatch struct {
	FileFormat        manageField[string]           `json:"fileFormat,omitempty"`
	FileTag           manageField[string]           `json:"fileTag,omitempty" doc:"null: streaming."`
	FilePatternPrefix manageField[string]           `json:"filePatternPrefix,omitempty" doc:"null: the whole day."`
	LoadOperations    manageField[manageOperations] `json:"loadOperations,omitempty" doc:"All of them; null: none."`
}

// ManageCourierName is a courier in the path.
type ManageCourierName struct {
	ManageScope
	Courier string `path:"courier" example:"web-daily" doc:"The courier's name or id."`
}

type manageNewCourierIn struct {
	ManageScope
	Body manageNewCourier
}

type managePatchCourierIn struct {
	ManageCourierName
	Body manageCourierPatch
}

type manageCourierOut struct{ Body manageCourier }

type manageCouriersOut struct {
	Body []manageCourier `nullable:"false"`
}

// manageRunDate says which day to load.
type manageRunDate struct {
	Date string `json:"date,omitempty" example:"2026-11-20" doc:"The day, UTC; left out, yesterday."`
}

// day is the day that a request names, yesterday for one without a body too.
func (d *manageRunDate) day() string {
	if d == nil {
		return manageYesterday()
	}
	return manageOr(d.Date, manageYesterday())
}

type manageRunIn struct {
	ManageCourierName
	Body *manageRunDate
}

type manageAskedRun struct {
	RunID string     `json:"runId" example:"run-0c9e…"`
	State load.State `json:"state" enum:"QUEUED,RUNNING,COMPLETED,FAILED"`
}

type manageAskedRunOut struct{ Body manageAskedRun }

// manageRun is a run.
type manageRun struct {
	RunID      string     `json:"runId"`
	Courier    string     `json:"courier"`
	Date       string     `json:"date" example:"2026-11-20"`
	State      load.State `json:"state" enum:"QUEUED,RUNNING,COMPLETED,FAILED"`
	Files      int        `json:"files" doc:"Of the day."`
	FilesDone  int        `json:"filesDone" doc:"Loaded into every feed."`
	Rows       int64      `json:"rows" doc:"Put into tables; of a run without load operations the records that were read."`
	FailedRows int64      `json:"failedRows" doc:"Set aside in <table>_failed."`
	Error      string     `json:"error" doc:"Why it failed, or broke off and begins again; else empty."`
	StartedAt  time.Time  `json:"startedAt,omitzero"`
	EndedAt    time.Time  `json:"endedAt,omitzero"`
}

// ManageRunID is a run in the path.
type ManageRunID struct {
	ManageCourierName
	Run string `path:"run" doc:"The run's id."`
}

type manageRunOut struct{ Body manageRun }

type manageRunsOut struct {
	Body []manageRun `nullable:"false"`
}

type manageSamplesIn struct {
	ManageCourierName
	Date string `query:"date" doc:"The day, UTC; left out, today."`
}

// manageSample is the beginning of a landed file.
type manageSample struct {
	Name    string            `json:"name"`
	Size    int64             `json:"size" doc:"Bytes."`
	Records []json.RawMessage `json:"records" nullable:"false" doc:"The first ones, as JSON."`
}

type manageSamplesOut struct {
	Body []manageSample `nullable:"false"`
}

func (m *manageAPI) registerCouriers(api huma.API) {
	const all, one = "/v1/couriers", "/v1/couriers/{courier}"
	tags := []string{"couriers"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-couriers", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the couriers of a project, by name",
	}, m.listCouriers)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-courier", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a courier, which loads the landed files of a stream into feeds",
	}, m.createCourier)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-courier", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get a courier",
	}, m.getCourier)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-courier", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change a courier (merge patch)",
		Description: "A run in progress goes on by the new settings.",
	}, m.updateCourier)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-courier", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete a courier",
		Description: "What it loaded stays. 409 while a courier group has it.",
	}, m.deleteCourier)
	manageRegister(m, api, huma.Operation{
		OperationID: "run-courier", Method: http.MethodPost, Path: one + "/run", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Load the files of a day", Description: "A day may be loaded again: rows are put in by primary key, and older ones never replace newer ones.",
	}, m.runCourier)
	manageRegister(m, api, huma.Operation{
		OperationID: "list-courier-runs", Method: http.MethodGet, Path: one + "/runs", Tags: tags, Summary: "List a courier's last runs, the newest first",
	}, m.listRuns)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-courier-run", Method: http.MethodGet, Path: one + "/runs/{run}", Tags: tags, Summary: "Get a run",
	}, m.getRun)
	manageRegister(m, api, huma.Operation{
		OperationID: "list-sample-files", Method: http.MethodGet, Path: one + "/sample-files", Tags: tags, Summary: "Show the beginnings of the newest files of a day",
	}, m.sampleFiles)
}

func manageShowCourier(c *registry.Courier) manageCourier {
	ops := manageOperations(c.LoadOperations)
	if ops == nil {
		ops = manageOperations{}
	}
	return manageCourier{
		ID: c.ID, Name: c.Name, Stream: c.Stream.PublicID, FileFormat: c.FileFormat, FileTag: c.FileTag, FilePatternPrefix: c.FilePatternPrefix,
		LoadOperations: ops, CreatedAt: c.Created.UTC(),
	}
}

// manageShowCouriers shows what went along with a delete.
func manageShowCouriers(all []*registry.Courier) []manageCourier {
	var out []manageCourier
	for _, c := range all {
		out = append(out, manageShowCourier(c))
	}
	return out
}

func manageShowRun(r load.RunState) manageRun {
	return manageRun{
		RunID: r.ID, Courier: r.Courier, Date: r.Date, State: r.State, Files: r.Files, FilesDone: r.FilesDone, Rows: r.Rows, FailedRows: r.FailedRows,
		Error: r.Error, StartedAt: manageTime(r.Started), EndedAt: manageTime(r.Ended),
	}
}

// courier finds a courier by its name or id.
func (m *manageAPI) courier(ctx context.Context, in *ManageCourierName) (*registry.Courier, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	c := m.reg.FindCourier(ctx, p, in.Courier)
	if c == nil {
		return nil, manageNotFound("Courier", in.Courier)
	}
	return c, nil
}

func (m *manageAPI) listCouriers(ctx context.Context, in *ManageScope) (*manageCouriersOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return &manageCouriersOut{manageList(manageShowCouriers(snap.Couriers(p)))}, nil
}

func (m *manageAPI) createCourier(ctx context.Context, in *manageNewCourierIn) (*manageCourierOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	c, err := m.reg.CreateCourier(ctx, p, registry.CourierSpec{
		Name: b.Name, Stream: b.Stream, FileFormat: b.FileFormat, FileTag: manageOr(b.FileTag, manageFileTag), FilePatternPrefix: b.FilePatternPrefix,
		LoadOperations: b.LoadOperations,
	})
	if err != nil {
		return nil, manageTaken(err, "Courier", b.Name)
	}
	return &manageCourierOut{manageShowCourier(c)}, nil
}

const manageFileTag = "streaming"

func (m *manageAPI) getCourier(ctx context.Context, in *ManageCourierName) (*manageCourierOut, error) {
	c, err := m.courier(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageCourierOut{manageShowCourier(c)}, nil
}

func (m *manageAPI) updateCourier(ctx context.Context, in *managePatchCourierIn) (*manageCourierOut, error) {
	c, err := m.courier(ctx, &in.ManageCourierName)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	patch := registry.CourierPatch{
		FileFormat: b.FileFormat.pointer(c.FileFormat), FileTag: b.FileTag.pointer(manageFileTag), FilePatternPrefix: b.FilePatternPrefix.pointer(""),
	}
	if ops := b.LoadOperations.pointer(nil); ops != nil {
		patch.LoadOperations = (*map[string][]registry.LoadOperation)(ops)
	}
	if c, err = m.reg.UpdateCourier(ctx, c.Project, c.ID, patch); err != nil {
		return nil, err
	}
	return &manageCourierOut{manageShowCourier(c)}, nil
}

func (m *manageAPI) deleteCourier(ctx context.Context, in *ManageCourierName) (*manageCourierOut, error) {
	c, err := m.courier(ctx, in)
	if err != nil {
		return nil, err
	}
	if c, err = m.reg.DeleteCourier(ctx, c.Project, c.ID); err != nil {
		return nil, err
	}
	return &manageCourierOut{manageShowCourier(c)}, nil
}

func (m *manageAPI) runCourier(ctx context.Context, in *manageRunIn) (*manageAskedRunOut, error) {
	c, err := m.courier(ctx, &in.ManageCourierName)
	if err != nil {
		return nil, err
	}
	run, err := m.couriers.Start(ctx, c, in.Body.day())
	if err != nil {
		return nil, manageUnready(err)
	}
	return &manageAskedRunOut{manageAskedRun{RunID: run.ID, State: run.State}}, nil
}

func manageYesterday() string { return time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly) }

// manageUnready answers 409 for a courier that cannot run as it is.
func manageUnready(err error) error {
	var unready *load.Unready
	if errors.As(err, &unready) {
		return manageErrorf(http.StatusConflict, "%s", unready.Text)
	}
	return err
}

func (m *manageAPI) listRuns(ctx context.Context, in *ManageCourierName) (*manageRunsOut, error) {
	c, err := m.courier(ctx, in)
	if err != nil {
		return nil, err
	}
	runs, err := m.couriers.Runs(ctx, c)
	if err != nil {
		return nil, err
	}
	out := &manageRunsOut{Body: []manageRun{}}
	for _, r := range runs {
		out.Body = append(out.Body, manageShowRun(r))
	}
	return out, nil
}

func (m *manageAPI) getRun(ctx context.Context, in *ManageRunID) (*manageRunOut, error) {
	c, err := m.courier(ctx, &in.ManageCourierName)
	if err != nil {
		return nil, err
	}
	run, err := m.couriers.Look(ctx, c, in.Run)
	switch {
	case errors.Is(err, load.ErrNoRun):
		return nil, manageNotFound("Run", in.Run)
	case err != nil:
		return nil, err
	}
	return &manageRunOut{manageShowRun(run)}, nil
}

func (m *manageAPI) sampleFiles(ctx context.Context, in *manageSamplesIn) (*manageSamplesOut, error) {
	c, err := m.courier(ctx, &in.ManageCourierName)
	if err != nil {
		return nil, err
	}
	day, err := time.Parse(time.DateOnly, manageOr(in.Date, time.Now().UTC().Format(time.DateOnly)))
	if err != nil {
		return nil, &registry.Invalid{Field: "date", Reason: load.ErrDate.Error()}
	}
	samples, err := m.couriers.Samples(ctx, c, day)
	if err != nil {
		return nil, manageUnready(err)
	}
	out := &manageSamplesOut{Body: []manageSample{}}
	for _, s := range samples {
		out.Body = append(out.Body, manageSample{Name: s.Name, Size: s.Size, Records: s.Records})
	}
	return out, nil
}
