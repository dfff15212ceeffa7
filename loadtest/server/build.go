package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles sluice into dir and gives the path of the binary. With profiling, a file is laid over
// the main package that serves net/http/pprof at the address in ProfileEnv, so that the product itself
// needs no such port. It must be called from within the module.
func Build(ctx context.Context, dir string, profiling bool) (string, error) {
	binary := filepath.Join(dir, "sluice")
	args := []string{"build", "-o", binary}
	if profiling {
		overlay, err := writeOverlay(ctx, dir)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	out, err := exec.CommandContext(ctx, "go", append(args, mainPackage)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return binary, nil
}

const mainPackage = "sluice/cmd/sluice"

// ProfileEnv names the variable that holds the address of the profiler's port in a binary built for
// profiling.
const ProfileEnv = "LOADTEST_PPROF"

const profilerSource = `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func init() {
	if addr := os.Getenv("` + ProfileEnv + `"); addr != "" {
		go func() { panic(http.ListenAndServe(addr, nil)) }()
	}
}
`

func writeOverlay(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", mainPackage).Output()
	if err != nil {
		return "", fmt.Errorf("find the main package: %w", err)
	}
	source := filepath.Join(dir, "profiler.go.txt")
	if err := os.WriteFile(source, []byte(profilerSource), 0o600); err != nil {
		return "", err
	}
	place := filepath.Join(strings.TrimSpace(string(out)), "loadtest_profiler.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {place: source}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}
