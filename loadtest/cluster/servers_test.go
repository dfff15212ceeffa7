//go:build parts

package cluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/loadtest/server"
)

const (
	serverPackage = "github.com/nats-io/nats-server/v2"
	enoughPayload = "8MB"
)

func buildLogServer(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "nats-server")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, serverPackage).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the log server: %w\n%s", err, out)
	}
	return path, nil
}

// logServer is one server of the log's cluster, a process of its own.
type logServer struct {
	t        *testing.T
	name     string
	addr     string // for clients, host:port
	health   string // URL
	settings string // the configuration file
	cmd      *exec.Cmd
	log      io.Writer
}

// logCluster starts three log servers as an operator would, and returns when they have a leader.
func logCluster(t *testing.T, maxPayload string) []*logServer {
	t.Helper()
	dir, log := t.TempDir(), logOf(t, "log servers")
	addr := func() string {
		a, err := server.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var routes []string
	for range 3 {
		routes = append(routes, "nats://"+addr())
	}
	servers := make([]*logServer, len(routes))
	for i, route := range routes {
		s := &logServer{t: t, name: fmt.Sprint("log-", i), addr: addr(), log: log}
		monitor := addr()
		s.health = "http://" + monitor + "/healthz"
		s.settings = filepath.Join(dir, s.name+".conf")
		text := fmt.Sprintf("server_name: %s\nlisten: %s\nhttp: %s\nmax_payload: %s\njetstream { store_dir: %q, sync_interval: always }\n"+
			"cluster { name: sluice, listen: %q, no_advertise: true, routes: [%s] }\n",
			s.name, s.addr, monitor, maxPayload, filepath.Join(dir, s.name), strings.TrimPrefix(route, "nats://"), strings.Join(routes, ", "))
		if err := os.WriteFile(s.settings, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		servers[i] = s
		s.run()
		t.Cleanup(s.kill)
	}
	for _, s := range servers {
		s.ready()
	}
	return servers
}

func (s *logServer) run() {
	s.t.Helper()
	s.cmd = exec.Command(logServerBinary, "-c", s.settings)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// ready waits until the server says that it is one, streams included.
func (s *logServer) ready() {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(s.health); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("log server %s does not become ready", s.name)
		}
	}
}

// kill ends the server as a crash would.
func (s *logServer) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // fails only for a process that has ended
	_ = s.cmd.Wait()         // says that it was killed
	s.cmd = nil
}

func addresses(servers []*logServer) string {
	var list []string
	for _, s := range servers {
		list = append(list, "nats://"+s.addr)
	}
	return strings.Join(list, ",")
}

// leaderOf is the server that leads one of the streams of the log.
func leaderOf(t *testing.T, servers []*logServer, stream string) *logServer {
	t.Helper()
	nc, err := nats.Connect(addresses(servers))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		s, err := js.Stream(t.Context(), stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			continue
		}
		for _, l := range servers {
			if l.name == s.CachedInfo().Cluster.Leader {
				return l
			}
		}
	}
	t.Fatalf("%s has no leader", stream)
	return nil
}

// busiest is the stream of blocks that holds the most.
func busiest(t *testing.T, servers []*logServer) (name string) {
	t.Helper()
	nc, err := nats.Connect(addresses(servers))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		if info.Config.Name != "SLUICE-CELLS" && info.State.Bytes >= most {
			name, most = info.Config.Name, info.State.Bytes
		}
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return name
}
