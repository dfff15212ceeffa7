// Package command is the command line of Sluice: it hides how words on a command line become calls of the HTTP API, and how answers
// become output and exit codes.
//
// All but serve, demo, restore, admin-token and config are a thin client of the API under /v1: what they print is what the server answered, as
// JSON to be piped on, or as a table for people. They keep nothing but saved credentials, in files that only their owner can read.
//
// A run touches its surroundings only through the fields of Main, so a test runs the program as a terminal does, in its own process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/config"
)

// Exit codes of Run.
const (
	ExitOK      = 0
	ExitRefused = 1 // the server said no, or something broke
	ExitUsage   = 2 // the command line was wrong; nothing was tried
)

// Main is the program. One Run at a time.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            []string // NAME=value, as os.Environ gives them

	// Ready, if set, hears where serve or demo is to be reached, once it is.
	Ready func(url string)

	flags   globals
	started bool            // the command line was understood and the command runs
	running context.Context // of the present Run
}

// globals are the flags that every command takes.
type globals struct {
	url, token, project, output string
	completion                  string
}

// Run does what the arguments (without the program's name) say and gives the exit code. It returns when the work is done or, for what
// has no end, soon after ctx ends.
func (m *Main) Run(ctx context.Context, args []string) int {
	m.flags, m.started, m.running = globals{}, false, ctx
	root := m.root()
	root.SetArgs(spelled(args))
	root.SetIn(m.Stdin)
	root.SetOut(m.Stdout)
	root.SetErr(m.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	var usage *usageError
	if errors.As(err, &usage) || !m.started {
		fmt.Fprintf(m.Stderr, "sluice: %v\nSee `%s --help`.\n", err, cmd.CommandPath())
		return ExitUsage
	}
	fmt.Fprintf(m.Stderr, "sluice: %v\n", err)
	return ExitRefused
}

func (m *Main) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "A webhook and streaming relay gateway",
		Long: "Sluice takes events in over HTTP, holds each to its data contract, encrypts its personal fields,\n" +
			"logs it durably, and streams to every consumer exactly what the event's consent allows.\n\n" +
			"`sluice demo` shows all of it in one go; `sluice serve` runs the gateway; the rest talks to a running one.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // judged in RunE, which knows the nearest command
		RunE: func(cmd *cobra.Command, args []string) error {
			if m.flags.completion != "" {
				return complete(cmd, m.flags.completion)
			}
			return m.group(cmd, args)
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			forms := []string{outputJSON, outputRaw, outputTable, outputPlain}
			if extra := cmd.Annotations[extraOutput]; extra != "" {
				forms = append(forms, extra)
			}
			if err := oneOfFlag("--output", m.flags.output, forms...); err != nil {
				return err
			}
			m.started = true
			return nil
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	f := root.PersistentFlags()
	f.StringVar(&m.flags.url, "url", "", "where the server is (SLUICE_URL; default http://127.0.0.1:8080)")
	f.StringVar(&m.flags.token, "token", "", "bearer token to call with (SLUICE_TOKEN keeps it out of the process list)")
	f.StringVarP(&m.flags.project, "project", "p", "", "project to act on (SLUICE_PROJECT; default \"default\")")
	f.StringVarP(&m.flags.output, "output", "o", outputJSON, "json, json-raw (one line), table or plain (names)")
	root.Flags().StringVar(&m.flags.completion, "generate-completion", "", "print the completion script for bash, zsh or fish")
	root.SetFlagErrorFunc(flagError)

	root.AddCommand(m.serve(), m.demo(), m.config(), m.adminToken(), m.version(), m.completion())
	for _, verb := range []struct {
		name, short string
		kinds       []*cobra.Command
	}{
		{"create", "Make a resource, and show its secrets this once", []*cobra.Command{m.createStream(false), m.createProject(), m.createContract(), m.createSink(), m.createExporter(false), m.createWebhook(), m.createCourier(), m.createCourierGroup(), m.createFeed(), m.createLevel(), m.createUser(), m.createAPIKey(), m.createIntegration(), m.createToken()}},
		{"list", "List resources of a kind", []*cobra.Command{m.listStreams(false), m.listProjects(), m.listContracts(), m.listSchemas(), m.listSinks(), m.listExporters(false), m.listWebhooks(), m.listUnparsable(), m.listCouriers(), m.listCourierGroups(), m.listFeeds(), m.listCourierRuns(), m.listSampleFiles(), m.listLevels(), m.listConsumers(), m.listUsers(), m.listAPIKeys(), m.listIntegrations(), m.listTokens(), m.listAudit()}},
		{"get", "Show one resource", []*cobra.Command{m.getStream(false), m.getProject(), m.getContract(), m.getSchema(), m.getSink(), m.getExporter(false), m.getWebhook(), m.getUsage(), m.getKeyLinks(), m.getCourier(), m.getCourierGroup(), m.getFeed(), m.getCourierRun(), m.getLevel(), m.getUser(), m.getAPIKey(), m.getIntegration()}},
		{"update", "Change a resource", []*cobra.Command{m.updateStream(), m.updateProject(), m.updateContract(), m.updateWebhook(), m.updateExporter(false), m.updateSink(), m.updateCourier(), m.updateCourierGroup(), m.updateFeed(), m.updateLevel(), m.updateUser(), m.updateIntegration()}},
		{"delete", "Delete resources, and show what went", []*cobra.Command{m.deleteStream(false), m.deleteProject(), m.deleteContract(), m.deleteSink(), m.deleteExporter(false), m.deleteWebhook(), m.deleteCourier(), m.deleteCourierGroup(), m.deleteFeed(), m.deleteLevel(), m.deleteUser(), m.deleteAPIKey(), m.deleteIntegration(), m.deleteToken()}},
		{"check", "Try a data contract on an event", []*cobra.Command{m.checkContract()}},
		{"rotate", "Replace the secret of an API key", []*cobra.Command{m.rotateAPIKey()}},
		{"revoke", "End tokens of an API key", []*cobra.Command{m.revokeAPIKey()}},
		{"activate", "Put a data contract in use", []*cobra.Command{m.setContractState("activate", "Put a data contract in use; it cannot be changed any more")}},
		{"archive", "Take a data contract out of use", []*cobra.Command{m.setContractState("archive", "Take a data contract out of use; events that name it are refused")}},
		{"run", "Run a courier or a courier group", []*cobra.Command{m.runCourier(), m.runCourierGroup()}},
		{"listen", "Print events as they arrive", []*cobra.Command{m.listenEvents(), m.listenSocket(), m.listenWebhook()}},
		{"simulate", "Send made-up events", []*cobra.Command{m.simulateEvents()}},
	} {
		cmd := &cobra.Command{Use: verb.name, Short: verb.short, Args: cobra.ArbitraryArgs, RunE: m.group}
		for _, kind := range verb.kinds {
			if len(kind.Aliases) == 0 && !strings.HasSuffix(kind.Name(), "s") {
				kind.Aliases = []string{kind.Name() + "s"} // who lists streams also gets streams
			}
		}
		cmd.AddCommand(verb.kinds...)
		root.AddCommand(cmd)
	}
	root.AddCommand(m.auth(), m.backup(), m.restore(), m.forget(), m.trace(), m.streams(), m.outputs(), m.consentLevels(), m.sinks(), m.exporters(), m.webhooks())
	m.completeNames(root)
	return root
}

// group answers for a command that only holds others: alone it helps, followed by a word it does not know it is wrong usage.
func (m *Main) group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	if near := config.Nearest(args[0], names); near != "" {
		return usagef("%q is not known; did you mean %q?", args[0], cmd.CommandPath()+" "+near)
	}
	return usagef("%q is not known; there is %s", args[0], strings.Join(names, ", "))
}

// usageError is a command line that cannot be meant: exit 2, with a pointer to the help.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// readGiven reads a file that the command line names. One that is not there is the command line's fault.
func readGiven(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if fault := (*fs.PathError)(nil); errors.As(err, &fault) {
		return nil, usagef("the file %s cannot be read: %v; nothing was sent", path, fault.Err)
	}
	return text, err
}

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// flagError names the flag that was likely meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return usagef("%v", err)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := config.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return usagef("the flag --%s is not known; did you mean --%s?", unknown.GetSpecifiedName(), near)
	}
	return usagef("the flag --%s is not known", unknown.GetSpecifiedName())
}

func oneOfFlag(flag, got string, allowed ...string) error {
	for _, a := range allowed {
		if got == a {
			return nil
		}
	}
	return usagef("%s must be %s, not %q", flag, strings.Join(allowed, " or "), got)
}

// env gives a variable of the surroundings, "" when it is not set.
func (m *Main) env(name string) string {
	for i := len(m.Env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(m.Env[i], "="); ok && k == name {
			return v
		}
	}
	return ""
}

// logger writes JSON for machines, or lines for people where the output is a terminal.
func (m *Main) logger(level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if terminal(m.Stderr) {
		return slog.New(slog.NewTextHandler(m.Stderr, o))
	}
	o.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // else a number of nanoseconds
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}
	return slog.New(slog.NewJSONHandler(m.Stderr, o))
}
