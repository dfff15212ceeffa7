package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are all runs of a bench, as they are kept.
type results struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Machine machine   `json:"machine"`
	Only    string    `json:"only,omitempty"`
	Seconds float64   `json:"seconds"`
	People  int       `json:"people"`
	Rows    []series  `json:"rows"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// series are the runs of one figure.
type series struct {
	Name string    `json:"name"`
	Runs []measure `json:"runs"`
}

func newResults(ctx context.Context, o options) *results {
	return &results{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx), Only: o.only, Seconds: o.seconds, People: o.people,
		Machine: machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernel(), Go: runtime.Version()},
	}
}

func (r *results) add(measures []measure) {
	for _, m := range measures {
		i := slices.IndexFunc(r.Rows, func(s series) bool { return s.Name == m.Name })
		if i < 0 {
			i = len(r.Rows)
			r.Rows = append(r.Rows, series{Name: m.Name})
		}
		r.Rows[i].Runs = append(r.Rows[i].Runs, m)
	}
}

// markdown is the table of medians.
func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, commit %s, %s, %d cores, Linux %s, %s\n\n", r.Date.Format(time.RFC3339), r.Commit, r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	b.WriteString("| what | sluice | floor | ratio, median | lowest – highest | target | |\n|---|---:|---:|---:|---|---|---|\n")
	for _, s := range r.Rows {
		var values, bases, figures []float64
		for _, m := range s.Runs {
			values, bases, figures = append(values, m.Value), append(bases, m.Base), append(figures, m.figure())
		}
		m := s.Runs[0]
		base, ratio := "–", "–"
		if m.Floor != "" {
			base = fmt.Sprintf("%s %s (%s)", number(median(bases)), m.Unit, m.Floor)
			ratio = number(median(figures))
		}
		verdict := "met"
		if !meets(median(figures), m.Bound, m.Target) {
			verdict = "**short**"
		}
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s – %s | %s %s | %s |\n", s.Name, number(median(values)), m.Unit, base, ratio,
			number(slices.Min(figures)), number(slices.Max(figures)), m.Bound, number(m.Target), verdict)
	}
	b.WriteByte('\n')
	for _, s := range r.Rows {
		var notes []string
		for _, k := range sortedKeys(s.Runs[0].Notes) {
			var values []float64
			for _, m := range s.Runs {
				values = append(values, m.Notes[k])
			}
			notes = append(notes, k+" "+number(median(values)))
		}
		if len(notes) > 0 {
			fmt.Fprintf(&b, "- %s: %s\n", s.Name, strings.Join(notes, ", "))
		}
	}
	return b.String()
}

// save keeps the results as <date>-<commit>.json and .md and gives the path of the latter.
func (r *results) save(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := r.Date.Format("2006-01-02T150405") + "-" + r.Commit
	if r.Only != "" {
		name += "-" + strings.ReplaceAll(r.Only, ",", "-")
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".md")
	return path, os.WriteFile(path, []byte(r.markdown()), 0o644)
}

// resultsFolder is loadtest/results of this module.
func resultsFolder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "loadtest", "results"), nil
}

// commit names the source that was measured; +dirty when it differs from the commit.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return strings.TrimSpace(string(text))
}
