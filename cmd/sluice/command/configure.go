package command

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"sluice/config"
)

func (m *Main) config() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Print the settings in force, redacted, and where each came from", Args: cobra.ArbitraryArgs,
	}
	load := m.settings(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return m.group(cmd, args)
		}
		loaded, err := load()
		if err != nil {
			return err
		}
		return loaded.Print(m.Stdout)
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "lint FILE", Short: "Tell all that is wrong with a configuration file", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				_, err := config.Load(config.Sources{File: args[0]})
				var faults config.Faults
				if errors.As(err, &faults) {
					for _, f := range faults {
						fmt.Fprintln(m.Stderr, f)
					}
					return fmt.Errorf("%s has %d %s", args[0], len(faults), plural(len(faults), "fault", "faults"))
				}
				if err == nil {
					_, err = fmt.Fprintf(m.Stdout, "%s is in order\n", args[0])
				}
				return err
			},
		},
		&cobra.Command{
			Use: "example", Short: "Print a commented configuration file to start from", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return config.Example(m.Stdout) },
		},
	)
	return cmd
}

// settings gives cmd a flag for every setting and --config, and returns what loads them once the flags are parsed. Warnings go to
// stderr.
func (m *Main) settings(cmd *cobra.Command) func() (*config.Loaded, error) {
	var file string
	cmd.Flags().StringVar(&file, "config", "", "YAML `FILE` of settings; sluice config example prints one")
	config.Flags(cmd.Flags())
	return func() (*config.Loaded, error) {
		loaded, err := config.Load(config.Sources{File: file, Env: m.Env, Flags: cmd.Flags()})
		if err != nil {
			return nil, usagef("the configuration has faults:\n%v", err)
		}
		for _, w := range loaded.Warnings {
			fmt.Fprintf(m.Stderr, "sluice: warning: %s\n", w)
		}
		return loaded, nil
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
