package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
	"sluice/relay/usage"
)

const (
	// usageSpan and usageInterval are what is shown where nothing else is asked for.
	usageSpan     = 24 * time.Hour
	usageInterval = 15 * time.Minute
)

type manageUsageIn struct {
	ManageScope
	Stream   string `path:"stream" example:"by-hand" doc:"The source stream's name."`
	From     string `query:"from" example:"2026-11-20T00:00:00Z" doc:"RFC 3339; left out: a day before to."`
	To       string `query:"to" example:"2026-11-21T00:00:00Z" doc:"RFC 3339; left out: now."`
	Interval string `query:"interval" example:"15m" doc:"How long a window is, in whole minutes; left out: 15m."`
}

// manageUsage is one window of a stream's usage.
type manageUsage struct {
	StartTime  string `json:"startTime" format:"date-time"`
	EndTime    string `json:"endTime" format:"date-time"`
	EventCount int64  `json:"eventCount" doc:"Events that were taken in the window; refused ones do not count."`
}

type manageUsageOut struct {
	Body []manageUsage `nullable:"false"`
}

func (m *manageAPI) registerUsage(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "get-usage", Method: http.MethodGet, Path: "/v1/usage/{stream}", Tags: []string{"usage"},
		Summary: "How many events a stream took, by windows of time",
		Description: fmt.Sprintf("From the first window to the last, those without events included; the last one ends at `to` and may be shorter. "+
			"What was taken in the last second at another node may be missing. Minutes are kept for %d days.", usage.KeepDays),
	}, m.getUsage)
}

func (m *manageAPI) getUsage(ctx context.Context, in *manageUsageIn) (*manageUsageOut, error) {
	_, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	if st.Source != nil {
		return nil, manageErrorf(http.StatusBadRequest, "Stream '%s' is derived and takes no events; ask for its source '%s'", st.Name, st.Source.Name)
	}
	// Up to the end of the minute that is under way: what was sent a moment ago is in it.
	to, err := usageTime("to", in.To, time.Now().UTC().Truncate(time.Minute).Add(time.Minute))
	if err != nil {
		return nil, err
	}
	from, err := usageTime("from", in.From, to.Add(-usageSpan))
	if err != nil {
		return nil, err
	}
	interval := usageInterval
	if in.Interval != "" {
		if interval, err = manageParseSpan(in.Interval); err != nil {
			return nil, &registry.Invalid{Field: "query parameter interval", Reason: err.Error()}
		}
	}
	switch {
	case interval < time.Minute || interval%time.Minute != 0:
		return nil, &registry.Invalid{Field: "query parameter interval", Reason: "must be whole minutes, 1m or more"}
	case !from.Before(to):
		return nil, &registry.Invalid{Field: "query parameter from", Reason: "must be before to"}
	case to.Sub(from) > usage.MaxWindows*time.Minute && to.Sub(from)/interval > usage.MaxWindows:
		return nil, &registry.Invalid{Field: "query parameter interval",
			Reason: fmt.Sprintf("makes more than %d windows of that time; ask for longer ones", usage.MaxWindows)}
	}
	windows, err := m.usage.Windows(ctx, st.Log.ID, from, to, interval)
	if err != nil {
		return nil, err
	}
	out := &manageUsageOut{Body: make([]manageUsage, 0, len(windows))}
	for _, w := range windows {
		out.Body = append(out.Body, manageUsage{
			StartTime: w.Start.Format(time.RFC3339), EndTime: w.End.Format(time.RFC3339), EventCount: int64(w.Events),
		})
	}
	return out, nil
}

// usageTime reads a moment from 1970 on, to the minute.
func usageTime(name, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return t, &registry.Invalid{Field: "query parameter " + name, Reason: "must be a time such as 2026-11-20T00:00:00Z"}
	}
	return t.UTC().Truncate(time.Minute), nil
}
