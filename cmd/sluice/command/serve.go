package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/demo"
	"sluice/cmd/sluice/node"
	"sluice/config"
	"sluice/relay/registry"
)

func (m *Main) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the gateway", Args: cobra.NoArgs,
		Long: "Run the gateway until SIGTERM, SIGINT or SIGHUP, then finish what was accepted and end streams in order; a second signal ends it at once.\n" +
			"Without configuration it listens on 127.0.0.1:8080 and keeps everything in ./sluice-data. The first start prints an admin token.\n" +
			"SLUICE_ADMIN_TOKEN (16 or more visible ASCII characters), where set, is the admin token of this run.",
		Example: "  sluice serve --data /var/lib/sluice --listen :8080\n" +
			"  sluice serve --test-server --rate 50\n" +
			"  sluice serve --listen :443 --tls-cert cert.pem --tls-key key.pem\n" +
			"  sluice serve --tls-self-signed",
	}
	var selfSigned bool
	cmd.Flags().BoolVar(&selfSigned, "tls-self-signed", false,
		"speak TLS with a certificate made for localhost and kept below the data folder, whose path is printed")
	test := testServerFlags(cmd)
	load := m.settings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := load()
		if err != nil {
			return err
		}
		server, err := test()
		if err != nil {
			return err
		}
		if selfSigned && loaded.Edge.CertFile != "" {
			return usagef("--tls-self-signed makes a certificate, and tls.cert names one (%s): leave one of them out", loaded.Origins["tls.cert"])
		}
		o := m.node(loaded)
		o.SelfSigned, o.TestServer = selfSigned, server
		if o.AdminToken = m.env("SLUICE_ADMIN_TOKEN"); o.AdminToken != "" {
			if err := registry.CheckAdminToken(o.AdminToken); err != nil {
				return usagef("SLUICE_ADMIN_TOKEN: %v", err)
			}
		}
		o.Ready = func(s node.Started) {
			if s.FirstAdminToken != "" {
				fmt.Fprintf(m.Stderr, "Admin token, shown this once:\n  export SLUICE_TOKEN=%s\n", s.FirstAdminToken)
			}
			if s.Certificate != "" {
				fmt.Fprintf(m.Stderr, "Self-signed certificate for localhost:\n  export SLUICE_URL=%s SLUICE_CA_FILE=%s\n", s.URL, s.Certificate)
			}
			if server != nil {
				fmt.Fprintf(m.Stderr, "Test server of made-up Airship events:\n  curl -N --compressed -u sample_connection:sample_connection -d '{}' %s/api/events/\n", s.URL)
			}
			if m.Ready != nil {
				m.Ready(s.URL)
			}
		}
		return node.Run(cmd.Context(), o)
	}
	return cmd
}

func (m *Main) adminToken() *cobra.Command {
	cmd := &cobra.Command{
		Use: "admin-token", Short: "Make a new admin token while the server is stopped; the old one ends", Args: cobra.NoArgs,
		Example: "  sluice admin-token --data /var/lib/sluice",
	}
	load := m.settings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := load()
		if err != nil {
			return err
		}
		token, err := node.NewAdminToken(cmd.Context(), m.node(loaded))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(m.Stdout, token)
		return err
	}
	return cmd
}

func (m *Main) demo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use: "demo", Short: "Show the whole street on made-up events, and prove that nothing is lost", Args: cobra.NoArgs,
		Long: "Run a gateway in a temporary folder, send it made-up events, and take them out at every door: as lines of a stream and of two\n" +
			"streams derived from it, over a websocket, by a signed webhook, and as files; beside it a test server of made-up mobile users.\n" +
			"It prints some of what arrives and commands to paste; at its end, by --for or an interrupt, a summary: what was accepted, what each\n" +
			"consumer received and what consent kept from it, computed from what was sent. It exits 1 when anything was lost, doubled, out of\n" +
			"order, or shown against consent.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.For < 0 || o.Rate < 1 {
				return usagef("--for must not be negative, and --rate at least 1")
			}
			o.Out = m.Stdout
			return demo.Run(cmd.Context(), o, m.demoServer)
		},
	}
	cmd.Flags().DurationVar(&o.For, "for", 0, "end after so long, such as 10s (0: when interrupted)")
	cmd.Flags().IntVar(&o.Rate, "rate", 200, "events a second")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "of the made-up events: the same seed sends the same")
	return cmd
}

// demoServer runs a node for the demo: nothing of the surroundings changes what is shown.
func (m *Main) demoServer(ctx context.Context, dir, listen, adminToken string, ready func(url string)) error {
	loaded, err := config.Load(config.Sources{Env: demo.Settings(dir, listen)})
	if err != nil {
		return err
	}
	o := m.node(loaded)
	o.AdminToken, o.TestServer = adminToken, &node.TestServer{Seed: 1}
	o.Ready = func(s node.Started) {
		ready(s.URL)
		if m.Ready != nil {
			m.Ready(s.URL)
		}
	}
	return node.Run(ctx, o)
}

// node is what every way to start a node has in common.
func (m *Main) node(loaded *config.Loaded) node.Options {
	return node.Options{Config: loaded.Config, Version: Version(), Log: m.logger(loaded.LogLevel)}
}
