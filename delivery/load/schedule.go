package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/google/uuid"

	"sluice/delivery"
	"sluice/relay/registry"
)

// CheckSchedule holds a group's schedule to its form: five fields as cron has them, or a tag like @daily. Its times are UTC.
func CheckSchedule(schedule string) error {
	fields := strings.Fields(schedule)
	if len(fields) != 5 && !(len(fields) == 1 && strings.HasPrefix(schedule, "@")) || !gronx.IsValid(schedule) {
		return errors.New(`must be five fields as cron has them, like "0 2 * * *", or a tag like @daily`)
	}
	if _, err := gronx.NextTickAfter(schedule, time.Unix(0, 0).UTC(), false); err != nil {
		return errors.New("names a time that never comes")
	}
	return nil
}

// group is the work on a courier group with a schedule: a delivery.Sink.
type group struct {
	*Service
	group *registry.CourierGroup
}

// ticks is what a group saves.
type ticks struct {
	Last     time.Time `json:"last"`     // the scheduled time up to which all is asked for
	Schedule string    `json:"schedule"` // by which; with another one, times before it was given were never meant
}

// Run asks for runs when their time has come, until ctx ends. Of the times that were missed while nobody ran only the last is made up: the
// days before it can be asked for by hand. It implements delivery.Sink.
func (g *group) Run(ctx context.Context, claim *delivery.Claim) error {
	var t ticks
	if state := claim.State(); state != nil {
		if err := json.Unmarshal(state, &t); err != nil {
			return fmt.Errorf("the state of a courier group: %w", err)
		}
	}
	if t.Schedule != g.group.Schedule {
		if err := g.save(claim, &t, g.cfg.Now().UTC()); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		due, err := gronx.NextTickAfter(g.group.Schedule, t.Last, false)
		if err != nil {
			return fmt.Errorf("the schedule of courier group %s: %w", g.group.Name, err)
		}
		g.pause(ctx, due)
		if ctx.Err() != nil {
			return nil
		}
		if newest, err := gronx.PrevTickBefore(g.group.Schedule, g.cfg.Now().UTC(), true); err == nil && newest.After(due) {
			due = newest
		}
		if err := g.fire(claim, due); err != nil {
			return err
		}
		if err := g.save(claim, &t, due); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) save(claim *delivery.Claim, t *ticks, last time.Time) error {
	t.Last, t.Schedule = last, g.group.Schedule
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return claim.Commit(claim.Work(), text)
}

// fire asks for the runs of a scheduled time. Their ids are made from it, so that one that was asked for before a crash is not asked for twice.
func (g *group) fire(claim *delivery.Claim, due time.Time) error {
	now := g.cfg.Registry.Snapshot().CourierGroup(g.group.Project, g.group.ID)
	if now == nil {
		return nil
	}
	date := due.Add(-now.Offset).UTC().Format(time.DateOnly)
	for _, c := range now.Couriers {
		id := "run-" + uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %s %d", now.ID, c.ID, due.Unix())).String()
		_, err := g.ask(claim.Work(), c, id, date)
		var full *registry.InUse
		switch {
		case errors.As(err, &full), errors.Is(err, registry.ErrNotFound):
			g.cfg.Log.Warn("a scheduled run was left out", slog.String("group", now.Name), slog.String("courier", c.Name), slog.Any("error", err))
		case err != nil:
			return err
		}
	}
	return nil
}
