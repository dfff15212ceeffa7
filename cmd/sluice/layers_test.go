package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sluice"

// layers is the order of the packages, lowest first: a package imports only packages of rows above its own, so packages of one row know
// nothing of each other. A name ending in /... stands for the folder and all below it; those may import each other where together is
// set, because they are one program cut into parts.
//
// The order follows an event through the street: what can be said without the log stands first, what knows HTTP last, and what reads
// settings above everything it sets.
var layers = []struct {
	packages []string
	together bool
}{
	{packages: []string{"relay/contract", "relay/filter", "relay/payload", "relay/engine", "auth", "relay/sample"}},
	{packages: []string{"relay/consent", "relay/usage"}},
	{packages: []string{"relay/registry", "relay/backup"}},
	{packages: []string{"relay"}},
	{packages: []string{"delivery"}},
	{packages: []string{"delivery/stream", "delivery/webhook", "delivery/export", "delivery/load"}},
	{packages: []string{"delivery/export/storetest"}},
	{packages: []string{"relay/gateway"}},
	{packages: []string{"config"}},
	{packages: []string{"cmd/...", "loadtest/..."}, together: true},
}

// owners names, for a library that would shape everything it touches, the packages that may know it. The benchmark measures against
// bare fiber handlers and so may too.
var owners = map[string][]string{
	"github.com/gofiber/":                              {"relay/gateway", "delivery/stream", "loadtest/bench"},
	"github.com/danielgtaylor/huma/v2/adapters/":       {"relay/gateway"},
	"github.com/nats-io/":                              {"relay/engine"},
	module + "/config":                                 {"cmd/..."},
	"gocloud.dev/blob":                                 {"delivery/export"},
	"github.com/minio/minio-go":                        {"delivery/export"},
	"github.com/knadh/koanf/":                          {"config"},
	"github.com/spf13/cobra":                           {"cmd/..."},
	"github.com/prometheus/client_golang/prometheus/p": {"relay/gateway", "cmd/..."}, // promhttp and promauto: only edges serve metrics, nothing registers globally
}

// topLevel is all that may lie in the root of the repository beside dotfiles.
var topLevel = []string{"cmd", "relay", "delivery", "auth", "config", "loadtest", "go.mod", "go.sum", "README.md"}

// shapeless are package names that say nothing about what they hide.
var shapeless = []string{"internal", "pkg", "util", "utils", "types", "common", "helpers", "misc"}

// matches tells whether pkg is pattern, or below the folder of a pattern with /... .
func matches(pattern, pkg string) bool {
	if folder, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == folder || strings.HasPrefix(pkg, folder+"/")
	}
	return pkg == pattern
}

// layer gives the row of a package of the module, -1 for one that no row names.
func layer(pkg string) int {
	return slices.IndexFunc(layers, func(l struct {
		packages []string
		together bool
	}) bool {
		return slices.ContainsFunc(l.packages, func(p string) bool { return matches(p, pkg) })
	})
}

// fault says why pkg may not import path, "" when it may.
func fault(pkg, imported string) string {
	for library, allowed := range owners {
		if strings.HasPrefix(imported, library) && !slices.ContainsFunc(allowed, func(p string) bool { return matches(p, pkg) }) {
			return "only " + strings.Join(allowed, ", ") + " may import it"
		}
	}
	target, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return ""
	}
	from, to := layer(pkg), layer(target)
	switch {
	case to < 0:
		return "no row of layers names it"
	case from == to && !layers[from].together:
		return "packages of one row do not know each other"
	case from < to:
		return "it stands above"
	}
	return ""
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
}

func TestLayers(t *testing.T) {
	top := root(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			if slices.Contains(shapeless, d.Name()) {
				t.Errorf("%s: name the package for what it owns", rel)
			}
			return nil
		}
		// Tests may start what stands above them; what is shipped may not.
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		pkg := path.Dir(filepath.ToSlash(rel))
		seen[pkg] = true
		if layer(pkg) < 0 {
			t.Errorf("%s: no row of layers names this package", pkg)
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		if slices.Contains(shapeless, parsed.Name.Name) {
			t.Errorf("%s: package %s: name the package for what it owns", rel, parsed.Name.Name)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := fault(pkg, imported); why != "" {
				t.Errorf("%s imports %s: %s", rel, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// A walk that found nothing would hold nothing.
	for _, must := range []string{"cmd/sluice", "config", "relay", "relay/engine"} {
		if !seen[must] {
			t.Errorf("the walk did not see %s", must)
		}
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s does not belong in the root", name)
		}
	}
}

// The rules themselves: what must be refused is refused, what must pass passes.
func TestFault(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		may           bool
	}{
		{"relay", "sluice/relay/registry", true},
		{"relay/registry", "sluice/relay", false},
		{"relay/contract", "sluice/relay/engine", false},
		{"relay/consent", "sluice/relay/engine", true},
		{"delivery/stream", "sluice/relay", true},
		{"delivery/stream", "sluice/delivery/webhook", false},
		{"relay/gateway", "sluice/delivery/stream", true},
		{"delivery/stream", "sluice/relay/gateway", false},
		{"relay/gateway", "sluice/config", false},
		{"loadtest/bench", "sluice/config", false},
		{"loadtest/bench", "sluice/cmd/sluice/node", true},
		{"cmd/sluice/command", "sluice/config", true},
		{"cmd/sluice", "sluice/cmd/sluice/command", true},
		{"relay", "sluice/relay/new", false},
		{"relay", "github.com/nats-io/nats.go", false},
		{"relay/engine", "github.com/nats-io/nats.go", true},
		{"relay", "github.com/gofiber/fiber/v2", false},
		{"delivery/stream", "github.com/gofiber/fiber/v2", true},
		{"relay", "github.com/prometheus/client_golang/prometheus", true},
		{"relay", "github.com/prometheus/client_golang/prometheus/promauto", false},
		{"relay", "strings", true},
	} {
		if why := fault(c.pkg, c.imported); (why == "") != c.may {
			t.Errorf("%s importing %s: %q, may is %v", c.pkg, c.imported, why, c.may)
		}
	}
}
