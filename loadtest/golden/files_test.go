package golden_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/loadtest/oracle"
)

// keys waits until the keys of those links are exported.
func (g *golden) keys(source string, links map[string]bool) (keys oracle.Keys) {
	g.t.Helper()
	g.files(source+"-keys", `-keys-\S+\{0\}\.csv$`, func(files []string) bool {
		keys = oracle.Keys{}
		for _, file := range files {
			if err := keys.Add(strings.NewReader(file)); err != nil {
				g.t.Fatal(err)
			}
		}
		missing := false
		for link := range links {
			_, known := keys[link]
			missing = missing || !known
		}
		return !missing
	})
	return keys
}

// export sets exporters to work: of the keys, and of a stream that is masked.
func (g *golden) export() {
	g.manage("POST", "/v1/sinks", map[string]any{"sinkType": "FOLDER", "sinkName": "golden", "bucketName": "golden"})
	g.exporter("golden", "golden-keys", map[string]any{"exportKeys": true})
	g.exporter("golden-M1", "golden-M1", nil)
}

func (g *golden) exporter(stream, prefix string, more map[string]any) {
	body := map[string]any{"name": prefix, "sinkName": "golden", "intervalSecs": 1, "pathPrefix": prefix, "includeExistingEvents": true}
	maps.Copy(body, more)
	g.manage("POST", "/v1/exporters/"+stream, body)
}

// files gives what an exporter has written, as soon as it is enough.
func (g *golden) files(prefix, form string, enough func(files []string) bool) {
	g.t.Helper()
	dir := filepath.Join(g.data, "export", "default", "golden", prefix)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		names, err := filepath.Glob(filepath.Join(dir, "2*"))
		if err != nil {
			g.t.Fatal(err)
		}
		slices.Sort(names) // they begin with the time
		var files []string
		for _, name := range names {
			if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d` + form).MatchString(filepath.Base(name)) {
				g.t.Errorf("a file is called %s", name)
			}
			text, err := os.ReadFile(name)
			if err != nil {
				g.t.Fatal(err)
			}
			files = append(files, string(text))
		}
		if enough(files) {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%s has only %d files", dir, len(files))
		}
	}
}

// exported compares the files of an exporter.
func (g *golden) exported(all []*sent) {
	v := views[slices.IndexFunc(views, func(v oracle.View) bool { return v.Name == "golden-M1" })]
	kept := slices.DeleteFunc(slices.Clone(all), func(s *sent) bool { return !v.Keeps(s.verdict.Levels) })
	var lines []string
	g.files("golden-M1", `-stream-\S+\{0\}\.jsonl$`, func(files []string) bool {
		lines = nil
		for _, file := range files {
			lines = append(lines, strings.Split(strings.TrimSuffix(file, "\n"), "\n")...)
		}
		return len(lines) >= len(kept)
	})
	if len(lines) != len(kept) {
		g.t.Fatalf("the files have %d events, not %d", len(lines), len(kept))
	}
	for i, s := range kept {
		if fault := s.unlike(v, g.tree(lines[i])); fault != "" {
			g.t.Errorf("file of %s, line %d: %s", v.Name, i, fault)
		}
	}
}
