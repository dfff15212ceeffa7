package registry_test

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/auth"
	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// store is a real engine with a real vault, in a folder that can be opened again.
type store struct {
	dir    string
	engine *engine.Engine
	vault  *consent.Vault
	close  func()
}

func openStore(t *testing.T, dir string) *store {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Dir: filepath.Join(dir, "engine"), Durability: "os", MinFree: 1, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	v, err := consent.Open(t.Context(), e.Cells(), consent.Config{Dir: filepath.Join(dir, "keys"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	stopEngine, stopVault := run(t, e.Run), run(t, v.Run)
	s := &store{dir: dir, engine: e, vault: v}
	closed := false
	s.close = func() {
		if closed {
			return
		}
		closed = true
		stopVault()
		stopEngine()
		if err := e.Close(); err != nil {
			t.Errorf("closing the engine: %v", err)
		}
	}
	t.Cleanup(s.close)
	return s
}

// run runs something until stop is called, which waits for its end.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	stopped := false
	return func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	}
}

func open(t *testing.T, s *store, cfg registry.Config) *registry.Registry {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet
	}
	r, err := registry.Open(t.Context(), s.engine, s.vault, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// node is a Registry that runs, and is ready.
func node(t *testing.T, s *store, cfg registry.Config) *registry.Registry {
	t.Helper()
	r := open(t, s, cfg)
	start(t, r)
	return r
}

func start(t *testing.T, r *registry.Registry) (stop func()) {
	t.Helper()
	stop = run(t, r.Run)
	t.Cleanup(stop)
	until(t, "ready", func() bool { return r.Ready() == nil })
	return stop
}

// until waits for what comes by the watch of another node.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

func single(t *testing.T) *registry.Registry {
	t.Helper()
	return node(t, openStore(t, t.TempDir()), registry.Config{})
}

func defaultProject(t *testing.T, r *registry.Registry) *registry.Project {
	t.Helper()
	p := r.Snapshot().Project(registry.DefaultProject)
	if p == nil {
		t.Fatal("there is no project default")
	}
	return p
}

func create(t *testing.T, r *registry.Registry, p *registry.Project, spec registry.StreamSpec) (*registry.Stream, registry.Credentials) {
	t.Helper()
	st, credentials, err := r.CreateStream(t.Context(), p, spec)
	if err != nil {
		t.Fatalf("creating %+v: %v", spec, err)
	}
	return st, credentials
}

func token(t *testing.T, r *registry.Registry, clientID string) []byte {
	t.Helper()
	issued, err := r.Tokens().Issue(t.Context(), clientID)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(issued.AccessToken)
}

func kindOf(t *testing.T, r *registry.Registry, bearer []byte) auth.Kind {
	t.Helper()
	p, err := r.Authenticate(bearer)
	if err != nil {
		t.Fatal(err)
	}
	return p.Kind
}

func ptr[T any](v T) *T { return &v }

// shopContract is a small contract of ref.
func shopContract(ref string) contract.Definition {
	return contract.Definition{
		Ref: ref, SchemaType: "AVRO", KeyField: "session",
		Schema: `{"type":"record","name":"Visit","fields":[
			{"name":"strmMeta","type":{"type":"record","name":"StrmMeta","fields":[
				{"name":"eventContractRef","type":"string"},
				{"name":"nonce","type":["null","int"],"default":null},
				{"name":"timestamp","type":["null","long"],"default":null},
				{"name":"keyLink","type":["null","string"],"default":null},
				{"name":"billingId","type":["null","string"],"default":null},
				{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
			{"name":"session","type":"string"},
			{"name":"page","type":"string"}]}`,
	}
}
