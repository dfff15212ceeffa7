package load

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// RunState is how far a run has come.
type RunState struct {
	Version    int       `json:"v"`
	ID         string    `json:"id"`
	Courier    string    `json:"courier"`
	Date       string    `json:"date"`
	State      State     `json:"state"`
	Files      int       `json:"files"`      // of the day
	FilesDone  int       `json:"filesDone"`  // loaded into every feed
	Rows       int64     `json:"rows"`       // put into tables; of a run without load operations the records that were read
	FailedRows int64     `json:"failedRows"` // set aside in <table>_failed
	Error      string    `json:"error,omitempty"`
	Attempts   int       `json:"attempts,omitempty"` // that broke off
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
}

// State is where a run stands.
type State string

// States of a run, in their order; it ends in one of the last two.
const (
	Queued    State = "QUEUED"
	Running   State = "RUNNING"
	Completed State = "COMPLETED"
	Failed    State = "FAILED"
)

const (
	runVersion = 1
	// maxAttempts is how often a run may break off, by an object store that is away or a disk that is full, before it has failed.
	// The pauses between grow to half a minute, so this is some minutes.
	maxAttempts = 10
	keptRuns    = 50 // of a courier
	tellEvery   = time.Second
)

func runKey(courier, run string) string { return delivery.Key(KindCourier, courier) + ".run." + run }

// Look tells of a run. Errors: ErrNoRun.
func (s *Service) Look(ctx context.Context, c *registry.Courier, id string) (RunState, error) {
	runs, err := s.Runs(ctx, c)
	if err != nil {
		return RunState{}, err
	}
	for _, r := range runs {
		if r.ID == id {
			return r, nil
		}
	}
	return RunState{}, ErrNoRun
}

// Runs tells of a courier's runs, those that are waiting and the last ones, the newest first.
func (s *Service) Runs(ctx context.Context, c *registry.Courier) ([]RunState, error) {
	cells, err := s.cfg.Cells.List(ctx, delivery.Key(KindCourier, c.ID)+".run")
	if err != nil {
		return nil, fmt.Errorf("the runs of courier %s: %w", c.Name, err)
	}
	var all []RunState
	known := map[string]bool{}
	for _, cell := range cells {
		var r RunState
		if err := json.Unmarshal(cell.Value, &r); err != nil || r.Version != runVersion {
			return nil, fmt.Errorf("the runs of courier %s: cell %s cannot be read", c.Name, cell.Key)
		}
		known[r.ID] = true
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b RunState) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.ID, b.ID)) })
	var waiting []RunState
	for _, asked := range c.Asked {
		if !known[asked.ID] {
			waiting = append([]RunState{{ID: asked.ID, Courier: c.Name, Date: asked.Date, State: Queued}}, waiting...)
		}
	}
	return append(waiting, all...), nil
}

// courier is the work on one courier: a delivery.Sink. Its runs are done one after the other, as they were asked for.
type courier struct {
	*Service
	project *registry.Project
	id      string
}

// Run implements delivery.Sink.
func (w *courier) Run(ctx context.Context, claim *delivery.Claim) error {
	for ctx.Err() == nil {
		changed := w.cfg.Registry.Changed()
		c := w.cfg.Registry.Snapshot().Courier(w.project, w.id)
		if c == nil || len(c.Asked) == 0 {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		done, err := w.turn(ctx, c.Project)
		if err != nil {
			return nil // ctx has ended
		}
		err = w.do(ctx, claim, c, c.Asked[0])
		done()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// do does one run, or what is left of it. An error: it broke off, and is to be begun again.
func (w *courier) do(ctx context.Context, claim *delivery.Claim, c *registry.Courier, asked registry.CourierRun) error {
	b := &book{service: w.Service, key: runKey(c.ID, asked.ID)}
	if err := b.read(claim.Work()); err != nil {
		return err
	}
	if b.ID == "" {
		b.RunState = RunState{Version: runVersion, ID: asked.ID, Courier: c.Name, Date: asked.Date, Started: w.cfg.Now().UTC()}
	}
	if b.State != Completed && b.State != Failed {
		b.State, b.Files, b.FilesDone, b.Rows, b.FailedRows, b.Error = Running, 0, 0, 0, 0, ""
		if err := b.write(claim.Work()); err != nil {
			return err
		}
		err := w.load(ctx, claim, c, b)
		var unready *Unready
		switch {
		case ctx.Err() != nil:
			return err // a stop, not the run's fault
		case errors.As(err, &unready):
			b.State, b.Error = Failed, unready.Text
		case err != nil:
			b.Attempts++
			b.Error = err.Error()
			if b.Attempts < maxAttempts {
				return errors.Join(err, b.write(claim.Work()))
			}
			b.State = Failed
		default:
			b.State = Completed
		}
		b.Ended = w.cfg.Now().UTC()
		if err := b.write(claim.Work()); err != nil {
			return err
		}
		w.metrics.ended(c, b.State)
		w.cfg.Log.Info("a courier ran", slog.String("courier", c.Name), slog.String("run", b.ID), slog.String("state", string(b.State)),
			slog.Int("files", b.Files), slog.Int64("rows", b.Rows), slog.Int64("failedRows", b.FailedRows))
	}
	if err := w.cfg.Registry.FinishRun(claim.Work(), c.Project, c.ID, asked.ID); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	return w.prune(claim.Work(), c)
}

// load loads the files of the run's day.
func (w *courier) load(ctx context.Context, claim *delivery.Claim, c *registry.Courier, b *book) error {
	day, err := time.Parse(time.DateOnly, b.Date)
	if err != nil {
		return &Unready{fmt.Sprintf("The date %s %v", b.Date, ErrDate)}
	}
	if err := w.ready(c); err != nil {
		return err
	}
	files, err := w.filesOf(ctx, c, day)
	if err != nil {
		return err
	}
	b.Files, b.told = len(files), time.Time{} // at once: the first file may take long
	b.tell(ctx)
	if len(c.LoadOperations) == 0 {
		return w.validate(ctx, c, files, b)
	}
	// For this run only: a file that its users take away or put another in the place of is not written to unseen.
	t, err := openTables(ctx, w.cfg.Dir, c.Project.Name)
	if err != nil {
		return err
	}
	l := loading{courier: w, claim: claim, c: c, tables: t, book: b}
	err = l.run(ctx, files)
	return errors.Join(err, t.close())
}

// validate reads the files and loads nothing.
func (w *courier) validate(ctx context.Context, c *registry.Courier, files []Landed, b *book) error {
	for _, file := range files {
		r, err := w.read(ctx, c, file)
		if err != nil {
			return err
		}
		for {
			_, more, err := r.record()
			if err != nil {
				r.close()
				return err
			}
			if !more || ctx.Err() != nil {
				break
			}
			b.Rows++
		}
		r.close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.FilesDone++
		b.tell(ctx)
	}
	return nil
}

// loading is one run that loads. One goroutine.
type loading struct {
	*courier
	claim  *delivery.Claim
	c      *registry.Courier
	tables *tables
	book   *book
}

func (l *loading) run(ctx context.Context, files []Landed) error {
	if err := l.tables.sweep(ctx, l.asked); err != nil {
		return err
	}
	targets, err := l.targets(ctx)
	if err != nil {
		return err
	}
	done := make([]map[string]bool, len(targets))
	for i, to := range targets {
		var rows, failed int64
		if done[i], rows, failed, err = l.tables.loaded(ctx, l.book.ID, to.target); err != nil {
			return err
		}
		l.book.Rows, l.book.FailedRows = l.book.Rows+rows, l.book.FailedRows+failed
	}
	for _, file := range files {
		for i, to := range targets {
			if ctx.Err() != nil {
				return ctx.Err() // what is loaded is noted
			}
			if done[i][file.Name] || !loads(l.c.LoadOperations[to.name]) {
				continue
			}
			if err := l.file(file, to.target); err != nil {
				return err
			}
		}
		l.book.FilesDone++
		l.book.tell(ctx)
	}
	if err := l.claim.Alive(); err != nil {
		return err
	}
	all := make([]target, len(targets))
	for i, to := range targets {
		all[i] = to.target
	}
	return l.tables.finish(l.claim.Work(), l.book.ID, all)
}

// asked tells whether a run is one of the project's that are still to do.
func (l *loading) asked(run string) bool {
	for _, c := range l.cfg.Registry.Snapshot().Couriers(l.c.Project) {
		if slices.ContainsFunc(c.Asked, func(a registry.CourierRun) bool { return a.ID == run }) {
			return true
		}
	}
	return run == l.book.ID
}

// named is a target under the name that the load operations have for its feed.
type named struct {
	target
	name string
}

// targets prepares the tables of the feeds, in the order of their names.
func (l *loading) targets(ctx context.Context) ([]named, error) {
	var all []named
	for _, name := range slices.Sorted(maps.Keys(l.c.LoadOperations)) {
		feed := l.cfg.Registry.Snapshot().Feed(l.c.Project, name)
		if feed == nil {
			return nil, noFeed(l.c, name)
		}
		truncate := slices.ContainsFunc(l.c.LoadOperations[name], func(op registry.LoadOperation) bool { return op.Type == registry.OperationTruncate })
		to := named{targetOf(feed, truncate), name}
		if err := l.tables.begin(ctx, l.book.ID, to.target); err != nil {
			return nil, err
		}
		all = append(all, to)
	}
	return all, nil
}

func loads(ops []registry.LoadOperation) bool {
	return slices.ContainsFunc(ops, func(op registry.LoadOperation) bool { return op.Type == registry.OperationLoad })
}

// file loads one file into one feed. A stop lets it finish.
func (l *loading) file(file Landed, to target) error {
	work := l.claim.Work()
	r, err := l.read(work, l.c, file)
	if err != nil {
		return err
	}
	defer r.close()
	rows, failed, err := l.tables.load(work, l.book.ID, file.Name, to, r.record)
	if err != nil {
		return fmt.Errorf("file %s: %w", file.Name, err)
	}
	l.book.Rows, l.book.FailedRows = l.book.Rows+rows, l.book.FailedRows+failed
	l.metrics.loaded(l.c, rows, failed)
	return nil
}

// prune forgets the runs of long ago.
func (w *courier) prune(ctx context.Context, c *registry.Courier) error {
	runs, err := w.Runs(ctx, c)
	if err != nil || len(runs) <= keptRuns {
		return err
	}
	for _, r := range runs[keptRuns:] {
		cell, err := w.cfg.Cells.Get(ctx, runKey(c.ID, r.ID))
		if err == nil {
			err = w.cfg.Cells.Erase(ctx, cell.Key, cell.Revision)
		}
		if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrConflict) {
			return fmt.Errorf("forgetting an old run: %w", err)
		}
	}
	return nil
}

// book is the cell of a run. One goroutine.
type book struct {
	RunState
	service  *Service
	key      string
	revision uint64
	told     time.Time
}

func (b *book) read(ctx context.Context) error {
	cell, err := b.service.cfg.Cells.Get(ctx, b.key)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("the state of a run: %w", err)
	}
	b.revision = cell.Revision
	if err := json.Unmarshal(cell.Value, &b.RunState); err != nil {
		return fmt.Errorf("the state of a run: %w", err)
	}
	return nil
}

// write stores the state; an error when somebody else did meanwhile, for then the courier has another owner.
func (b *book) write(ctx context.Context) error {
	text, err := json.Marshal(b.RunState)
	if err != nil {
		return fmt.Errorf("the state of a run: %w", err)
	}
	revision, err := b.service.cfg.Cells.Put(ctx, b.key, text, b.revision)
	if err != nil {
		return fmt.Errorf("the state of a run: %w", err)
	}
	b.revision, b.told = revision, b.service.cfg.Now()
	return nil
}

// tell writes the state now and then, for those who look; that it could not is found out at the end.
func (b *book) tell(ctx context.Context) {
	if b.service.cfg.Now().Sub(b.told) < tellEvery {
		return
	}
	if err := b.write(ctx); err != nil && ctx.Err() == nil {
		b.service.cfg.Log.Debug("the progress of a run is not told", slog.String("run", b.ID), slog.Any("error", err))
	}
}
