package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// manageFeed is a feed.
type manageFeed struct {
	ID         string                `json:"id" example:"df-AbCDefGH"`
	Name       string                `json:"name" example:"orders"`
	Table      string                `json:"table" example:"orders" doc:"In the project's SQLite database, below feeds in the server's data folder. What does not fit goes to the table <table>_failed."`
	PrimaryKey []string              `json:"primaryKey" nullable:"false"`
	Columns    []registry.FeedColumn `json:"columns" nullable:"false"`
	RowPath    string                `json:"rowPath,omitempty"`
	CreatedAt  time.Time             `json:"createdAt"`
}

type manageNewFeed struct {
	Name       string                `json:"name" doc:"Unique in the project."`
	Table      string                `json:"table,omitempty" doc:"Letters, digits and '_'; left out, made of the name."`
	PrimaryKey []string              `json:"primaryKey" nullable:"false" maxItems:"100" doc:"The columns that tell one row from another: rows are put in by it."`
	Columns    []registry.FeedColumn `json:"columns" nullable:"false" maxItems:"500" doc:"Names, and gjson paths in the row; a path in the whole record begins with \"$.\"."`
	RowPath    string                `json:"rowPath,omitempty" doc:"A gjson path to the rows in a record; left out, the record is the row."`
}

type manageFeedPatch struct {
	Columns manageField[[]registry.FeedColumn] `json:"columns,omitempty" maxItems:"500" doc:"All of them. Those that the table lacks are added by the next run."`
	RowPath manageField[string]                `json:"rowPath,omitempty" doc:"null: the record is the row."`
}

// ManageFeedName is a feed in the path.
type ManageFeedName struct {
	ManageScope
	Feed string `path:"feed" example:"orders" doc:"The feed's name or id."`
}

type manageNewFeedIn struct {
	ManageScope
	Body manageNewFeed
}

type managePatchFeedIn struct {
	ManageFeedName
	Body manageFeedPatch
}

type manageFeedOut struct{ Body manageFeed }

type manageFeedsOut struct {
	Body []manageFeed `nullable:"false"`
}

func (m *manageAPI) registerFeeds(api huma.API) {
	const all, one = "/v1/feeds", "/v1/feeds/{feed}"
	tags := []string{"feeds"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-feeds", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the feeds of a project, by name",
	}, m.listFeeds)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-feed", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a feed", Description: "Its table is made by the first run of a courier that loads into it.",
	}, m.createFeed)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-feed", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get a feed",
	}, m.getFeed)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-feed", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change a feed (merge patch)",
		Description: "The table and its primary key stay.",
	}, m.updateFeed)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-feed", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete a feed",
		Description: "Its table stays, and couriers that name it do not run.",
	}, m.deleteFeed)
}

func manageShowFeed(f *registry.Feed) manageFeed {
	return manageFeed{ID: f.ID, Name: f.Name, Table: f.Table, PrimaryKey: f.PrimaryKey, Columns: f.Columns, RowPath: f.RowPath, CreatedAt: f.Created.UTC()}
}

func (m *manageAPI) listFeeds(ctx context.Context, in *ManageScope) (*manageFeedsOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageFeedsOut{Body: []manageFeed{}}
	for _, f := range snap.Feeds(p) {
		out.Body = append(out.Body, manageShowFeed(f))
	}
	return out, nil
}

func (m *manageAPI) createFeed(ctx context.Context, in *manageNewFeedIn) (*manageFeedOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	f, err := m.reg.CreateFeed(ctx, p, registry.FeedSpec{Name: b.Name, Table: b.Table, PrimaryKey: b.PrimaryKey, Columns: b.Columns, RowPath: b.RowPath})
	if err != nil {
		return nil, manageTaken(err, "Feed", b.Name)
	}
	return &manageFeedOut{manageShowFeed(f)}, nil
}

// feed finds a feed by its name or id.
func (m *manageAPI) feed(ctx context.Context, in *ManageFeedName) (*registry.Feed, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	f := m.reg.FindFeed(ctx, p, in.Feed)
	if f == nil {
		return nil, manageNotFound("Feed", in.Feed)
	}
	return f, nil
}

func (m *manageAPI) getFeed(ctx context.Context, in *ManageFeedName) (*manageFeedOut, error) {
	f, err := m.feed(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageFeedOut{manageShowFeed(f)}, nil
}

func (m *manageAPI) updateFeed(ctx context.Context, in *managePatchFeedIn) (*manageFeedOut, error) {
	f, err := m.feed(ctx, &in.ManageFeedName)
	if err != nil {
		return nil, err
	}
	patch := registry.FeedPatch{Columns: in.Body.Columns.pointer(nil), RowPath: in.Body.RowPath.pointer("")}
	if f, err = m.reg.UpdateFeed(ctx, f.Project, f.ID, patch); err != nil {
		return nil, err
	}
	return &manageFeedOut{manageShowFeed(f)}, nil
}

func (m *manageAPI) deleteFeed(ctx context.Context, in *ManageFeedName) (*manageFeedOut, error) {
	f, err := m.feed(ctx, in)
	if err != nil {
		return nil, err
	}
	if f, err = m.reg.DeleteFeed(ctx, f.Project, f.ID); err != nil {
		return nil, err
	}
	return &manageFeedOut{manageShowFeed(f)}, nil
}
