// Package config hides where settings come from: it composes the settings of every package, reads them from a YAML file, the
// environment and the flags of the command line, and holds all of them to their bounds before anything starts.
//
// A flag beats the environment, the environment beats the file, the file beats the default. A setting has one name, its path, such as
// retention.age; in the environment it is SLUICE_RETENTION_AGE, as a flag --retention-age. Load reports every fault at once, each with
// its path and where it was written; a key that nobody knows is a fault that names the nearest known one, for a misspelt setting that
// silently keeps its default is found out in production.
//
// The package reads nothing by itself: files, environment and flags come in through Sources, so that a test can hold all three.
// Only cmd imports it.
package config

import (
	"log/slog"

	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// Config is everything a node is told before it starts. The packages' own structs hold their settings; what they need beside them (a
// logger, a registerer, a folder below Data) is put in by whoever starts the node. Safe to copy; the zero value is not usable, Default
// is.
type Config struct {
	Data      string // the folder that holds log, keys and everything else that lasts
	PublicURL string // how others reach the edge; empty: http:// or https:// and the address listened on
	LogLevel  slog.Level

	Engine   engine.Config
	Keys     consent.Config
	Registry registry.Config
	Relay    relay.Config
	Webhooks webhook.Config
	Edge     gateway.Config
}

// Default gives every setting its default.
func Default() Config {
	var c Config
	for _, s := range c.settings() {
		if err := s.value.parse(s.def); err != nil {
			panic("config: the default of " + s.path + " " + err.Error()) // a slip in the table, which any test finds
		}
	}
	return c
}
