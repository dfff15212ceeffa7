package export_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/delivery/export"
)

func TestCheckPrefix(t *testing.T) {
	for prefix, good := range map[string]bool{
		"": true, "level01": true, "a/b c/日本": true, ".hidden/..x": true, strings.Repeat("a", 900): true,
		strings.Repeat("a", 901): false, "a/": false, "/a": false, "a//b": false, "..": false, "a/../b": false, "a/.": false, "a\nb": false,
		`a\b`: false, "\xff": false, ".well-known/acme-challenge/x": false,
	} {
		if err := export.CheckPrefix(prefix); (err == nil) != good || err != nil && !errors.Is(err, export.ErrPrefix) {
			t.Errorf("%.30q: %v", prefix, err)
		}
	}
}
