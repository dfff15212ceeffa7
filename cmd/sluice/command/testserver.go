package command

import (
	"github.com/spf13/cobra"

	"sluice/cmd/sluice/node"
)

// testServerFlags adds the flags of a test server to serve; what it returns gives the test server they ask for, nil for none, once they
// are read.
func testServerFlags(cmd *cobra.Command) func() (*node.TestServer, error) {
	var on bool
	var t node.TestServer
	f := cmd.Flags()
	f.BoolVar(&on, "test-server", false, "make up Airship events, for whoever reads /api/events as sample_connection:sample_connection")
	f.Uint64Var(&t.Seed, "seed", 1, "of the test server: the same seed makes the same events")
	f.IntVar(&t.Rate, "rate", node.DefaultTestRate, "events a second of the test server")
	return func() (*node.TestServer, error) {
		for _, name := range []string{"seed", "rate"} {
			if !on && f.Changed(name) {
				return nil, usagef("--%s is the test server's: add --test-server, or leave it out", name)
			}
		}
		if t.Rate < 1 || t.Rate > node.MaxTestRate {
			return nil, usagef("--rate must be 1 to %d events a second", node.MaxTestRate)
		}
		if !on {
			return nil, nil
		}
		return &t, nil
	}
}
