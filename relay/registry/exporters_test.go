package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

func sink(t *testing.T, r *registry.Registry, p *registry.Project, spec registry.SinkSpec) *registry.Sink {
	t.Helper()
	if spec.Type == "" {
		spec.Type, spec.Bucket = "FOLDER", "there"
	}
	s, err := r.CreateSink(t.Context(), p, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exporter(t *testing.T, r *registry.Registry, st *registry.Stream, spec registry.ExporterSpec) *registry.Exporter {
	t.Helper()
	e, err := r.CreateExporter(t.Context(), st, spec)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is created on one node is the same on another, after a restart too, and credentials lie nowhere in clear.
func TestSinksAndExporters(t *testing.T) {
	s := openStore(t, t.TempDir())
	here, there := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	p := defaultProject(t, here)
	made := sink(t, here, p, registry.SinkSpec{Name: "s3-bart", Type: "S3", Bucket: "b", Endpoint: "https://x", Region: "r", PathStyle: true, Credentials: []byte("a secret")})
	st, _ := create(t, here, p, registry.StreamSpec{Name: "web"})
	batch := &engine.Batch{}
	batch.Add(&engine.Record{Kind: engine.KindJSON, Payload: []byte("{}")})
	receipt, err := s.engine.Append(t.Context(), st.Log, batch)
	if err != nil {
		t.Fatal(err)
	}
	now := exporter(t, here, st, registry.ExporterSpec{})
	all := exporter(t, here, st, registry.ExporterSpec{Name: "all", Sink: "s3-bart", SinkType: "S3", Interval: 30 * time.Second, PathPrefix: "p", Existing: true})
	if now.Name != "s3-bart-web" || now.Interval != time.Minute || now.Start != receipt.Last || all.Start != 0 || all.PathPrefix != "p" || !all.Existing {
		t.Errorf("made %+v and %+v", now, all)
	}
	until(t, "seen by the other node", func() bool { return len(there.Snapshot().Exporters(st)) == 2 })
	for name, r := range map[string]*registry.Registry{"other": there, "restarted": open(t, s, registry.Config{})} {
		snap := r.Snapshot()
		got := snap.Sink(p, "s3-bart")
		if got == nil || got.ID != made.ID || got.Type != "S3" || got.Bucket != "b" || got.Endpoint != "https://x" || got.Region != "r" || !got.PathStyle {
			t.Fatalf("%s: the sink is %+v", name, got)
		}
		if secret, err := r.SinkCredentials(got); err != nil || string(secret) != "a secret" {
			t.Errorf("%s: its credentials are %q, %v", name, secret, err)
		}
		list := snap.Exporters(snap.StreamByUUID(st.UUID))
		if len(list) != 2 || list[0].ID != all.ID || list[1].ID != now.ID || list[1].Start != now.Start || list[0].Interval != 30*time.Second {
			t.Errorf("%s: the exporters are %+v", name, list)
		}
		if len(snap.AllExporters()) != 2 || len(snap.Sinks(p)) != 1 {
			t.Errorf("%s: %d exporters, %d sinks", name, len(snap.AllExporters()), len(snap.Sinks(p)))
		}
	}
	cells, err := s.engine.Cells().List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if strings.Contains(string(c.Value), "a secret") {
			t.Errorf("cell %s holds the credentials", c.Key)
		}
	}
	// A change of the stream shows in its exporters.
	if _, err := here.UpdateStream(t.Context(), p, "web", registry.StreamPatch{Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	if e := here.Snapshot().Exporter(st, "all"); e == nil || e.Stream.Enabled {
		t.Errorf("the exporter's stream is %+v", e)
	}
}

func TestExporterRefused(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	sink(t, r, p, registry.SinkSpec{Name: "one"})
	exporter(t, r, st, registry.ExporterSpec{Name: "taken"})
	sink(t, r, p, registry.SinkSpec{Name: "two"})
	for _, c := range []struct {
		spec  registry.ExporterSpec
		field string
	}{
		{registry.ExporterSpec{Name: "xx"}, "sinkName"},
		{registry.ExporterSpec{Name: "xx", Sink: "none"}, "sinkName"},
		{registry.ExporterSpec{Name: "xx", Sink: "two", SinkType: "S3"}, "sinkType"},
		{registry.ExporterSpec{Name: "x/x", Sink: "two"}, "name"},
		{registry.ExporterSpec{Name: "xx", Sink: "one"}, "pathPrefix"},
		{registry.ExporterSpec{Name: "xx", Sink: "two", Interval: 29 * time.Second}, "intervalSecs"},
		{registry.ExporterSpec{Name: "xx", Sink: "two", Interval: 3601 * time.Second}, "intervalSecs"},
		{registry.ExporterSpec{Name: "xx", Sink: "two", Interval: 31*time.Second + 1}, "intervalSecs"},
	} {
		_, err := r.CreateExporter(t.Context(), st, c.spec)
		var invalid *registry.Invalid
		if !errors.As(err, &invalid) || invalid.Field != c.field {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
	if _, err := r.CreateExporter(t.Context(), st, registry.ExporterSpec{Name: "taken", Sink: "two"}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("a taken name: %v", err)
	}
	if _, err := r.CreateSink(t.Context(), p, registry.SinkSpec{Name: "one"}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("a taken sink: %v", err)
	}
	if err := (registry.Config{MinInterval: 1500 * time.Millisecond}).Validate(); err == nil {
		t.Error("half a second is taken")
	}
}

// What is deleted takes its exporters along, however many, and leaves no cell.
func TestDeleteWithExporters(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := node(t, s, registry.Config{})
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	out := sink(t, r, p, registry.SinkSpec{Name: "out"})
	const exporters = 130
	for i := range exporters {
		exporter(t, r, st, registry.ExporterSpec{Name: fmt.Sprintf("ex-%d", i), Sink: out.Name, PathPrefix: fmt.Sprint(i)})
	}
	var inUse *registry.InUse
	if _, err := r.DeleteStream(t.Context(), p, "web", false); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "exporters ex-0 of web") {
		t.Errorf("deleting the stream gives %v", err)
	}
	if _, err := r.DeleteSink(t.Context(), p, "out", false); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "exporters ex-0 of stream web") {
		t.Errorf("deleting the sink gives %v", err)
	}
	if _, err := r.DeleteProject(t.Context(), p.Name); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "sink out") {
		t.Errorf("deleting the project gives %v", err)
	}
	gone, err := r.DeleteStream(t.Context(), p, "web", true)
	if err != nil || len(gone.Exporters) != exporters {
		t.Fatalf("%d exporters went, %v", len(gone.Exporters), err)
	}
	again, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	exporter(t, r, again, registry.ExporterSpec{Name: "ex-0"})
	if gone, err := r.DeleteSink(t.Context(), p, "out", true); err != nil || len(gone.Exporters) != 1 || gone.Sink.ID != out.ID {
		t.Errorf("%+v, %v", gone, err)
	}
	exporterGone := func(err error) {
		if !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("what is gone gives %v", err)
		}
	}
	_, err = r.DeleteExporter(t.Context(), again, "ex-0")
	exporterGone(err)
	_, err = r.DeleteSink(t.Context(), p, "out", true)
	exporterGone(err)
	for _, prefix := range []string{"registry.exporter", "registry.exportername", "registry.sink", "registry.sinkname"} {
		if cells, err := s.engine.Cells().List(t.Context(), prefix); err != nil || len(cells) != 0 {
			t.Errorf("%s: %d cells, %v", prefix, len(cells), err)
		}
	}
}

// A node that has not heard of the delete of a sink or a stream makes no exporter without them.
func TestExporterFence(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := node(t, s, registry.Config{})
	p := defaultProject(t, a)
	for _, c := range []struct {
		what   string
		delete func() error
	}{
		{"sink", func() error { _, err := a.DeleteSink(t.Context(), p, "out", false); return err }},
		{"stream", func() error { _, err := a.DeleteStream(t.Context(), p, "web", false); return err }},
	} {
		t.Run(c.what, func(t *testing.T) {
			if a.Snapshot().Sink(p, "out") == nil {
				sink(t, a, p, registry.SinkSpec{Name: "out"})
			}
			st, _ := create(t, a, p, registry.StreamSpec{Name: "web"})
			deaf := open(t, s, registry.Config{}) // it never runs, so it knows what there was when it was opened
			if err := c.delete(); err != nil {
				t.Fatal(err)
			}
			if e, err := deaf.CreateExporter(t.Context(), st, registry.ExporterSpec{Name: "ex"}); err == nil {
				t.Errorf("it made %+v", e)
			}
			if cells, err := s.engine.Cells().List(t.Context(), "registry.exporter"); err != nil || len(cells) != 0 {
				t.Errorf("%d cells are left, %v", len(cells), err)
			}
			if a.Snapshot().Stream(p, "web") != nil {
				if _, err := a.DeleteStream(t.Context(), p, "web", true); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
