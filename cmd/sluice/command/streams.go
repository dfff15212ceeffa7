package command

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
)

var streamColumns = []column{
	{"STREAM", "ref.name"}, {"DERIVED FROM", "linkedStream"}, {"CONSENT LEVEL TYPE", "consentLevelType"}, {"CONSENT LEVELS", "consentLevels"},
	{"ENABLED", "enabled"}, {"CONTRACT", "contract"}, {"DESCRIPTION", "description"},
}

func (m *Main) createStream() *cobra.Command {
	var derivedFrom, consentType, description, payload, contract string
	var levels []int
	var tags []string
	var save bool
	cmd := &cobra.Command{
		Use: "stream [NAME]", Short: "Make a stream, or one derived from another",
		Long: "Make a stream; its credentials are shown this once.\n\n" +
			"With --derived-from it shows the events of another stream whose consent covers --levels, their personal fields of these levels\n" +
			"in clear. CUMULATIVE takes one level N: an event passes when its highest level is N or more, and fields up to N are clear.\n" +
			"GRANULAR takes several: an event passes when it has all of them, and fields of exactly these are clear.\n" +
			"NAME may be left out then: <source>-<levels>.",
		Example: "  sluice create stream web --save\n  sluice create stream --derived-from web --levels 0,1 --consent-type GRANULAR",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if len(args) == 1 {
				body["name"] = args[0]
			}
			switch {
			case derivedFrom == "" && len(args) == 0:
				return usagef("a stream needs a NAME; only one with --derived-from has a default")
			case derivedFrom == "" && (len(levels) > 0 || consentType != ""):
				return usagef("--levels and --consent-type are for a derived stream: name its source with --derived-from")
			case derivedFrom != "" && len(levels) == 0:
				return usagef("a derived stream needs --levels, such as --levels 2")
			case derivedFrom != "" && (payload != "" || contract != ""):
				return usagef("a derived stream takes --payload and --contract from its source")
			}
			if derivedFrom != "" {
				body["linkedStream"], body["consentLevels"] = derivedFrom, levels
			}
			for member, value := range map[string]string{"consentLevelType": consentType, "description": description, "payload": payload, "contract": contract} {
				if value != "" {
					body[member] = value
				}
			}
			if len(tags) > 0 {
				body["tags"] = tags
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), http.MethodPost, "/v1/streams", c.Scope(), body)
			if err != nil {
				return err
			}
			if err := m.print(answer, streamColumns); err != nil || !save {
				return err
			}
			path, err := m.save(c, gjson.GetBytes(answer, "ref.name").Str, answer)
			if err != nil {
				return fmt.Errorf("the stream was made, but its credentials could not be saved: %w", err)
			}
			fmt.Fprintf(m.Stderr, "credentials saved in %s\n", path)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&derivedFrom, "derived-from", "", "the source of a derived stream")
	f.IntSliceVar(&levels, "levels", nil, "consent levels of a derived stream, by commas")
	f.StringVar(&consentType, "consent-type", "", "CUMULATIVE or GRANULAR (default CUMULATIVE)")
	f.StringVarP(&description, "description", "d", "", "what the stream is for")
	f.StringSliceVar(&tags, "tags", nil, "tags, by commas")
	f.StringVar(&payload, "payload", "", "json or xml: takes any such payload, without a contract")
	f.StringVar(&contract, "contract", "", "contract of bulk lines that name none")
	f.BoolVar(&save, "save", false, "keep the credentials in a file of your own, for simulate and listen")
	return cmd
}

func (m *Main) listStreams() *cobra.Command {
	return m.reader("stream", "List the streams of the project", "/v1/streams", streamColumns)
}

func (m *Main) getStream() *cobra.Command {
	return m.named("stream NAME", "Show a stream, without its secret", http.MethodGet, client.StreamPath, streamColumns)
}

func (m *Main) updateStream() *cobra.Command {
	var enable, disable bool
	var eventRate, eventCount int64
	var description, contract, retention, retentionBytes string
	var tags []string
	cmd := &cobra.Command{
		Use: "stream NAME", Short: "Change a stream", Args: cobra.ExactArgs(1),
		Example: "  sluice update stream web --event-rate 500\n  sluice update stream web --disable",
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, changed := map[string]any{}, cmd.Flags().Changed
			if enable && disable {
				return usagef("--enable or --disable, not both")
			}
			if enable || disable {
				patch["enabled"] = enable
			}
			limits := map[string]string{}
			if changed("event-rate") {
				limits["eventRate"] = fmt.Sprint(eventRate)
			}
			if changed("event-count") {
				limits["eventCount"] = fmt.Sprint(eventCount)
			}
			if len(limits) > 0 {
				patch["limits"] = limits
			}
			for flag, set := range map[string]struct {
				member string
				value  any
			}{
				"description": {"description", description}, "contract": {"contract", contract}, "tags": {"tags", append([]string{}, tags...)},
				"retention": {"retention", retention}, "retention-bytes": {"retentionBytes", retentionBytes},
			} {
				if changed(flag) {
					patch[set.member] = set.value
				}
			}
			if len(patch) == 0 {
				return usagef("nothing to change: give at least one of --enable, --disable, --event-rate, --event-count, --retention, --retention-bytes, --description, --tags, --contract")
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), http.MethodPatch, client.StreamPath(args[0]), c.Scope(), patch)
			if err != nil {
				return err
			}
			return m.print(answer, streamColumns)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&enable, "enable", false, "let producers and readers in again")
	f.BoolVar(&disable, "disable", false, "refuse producers and readers")
	f.Int64Var(&eventRate, "event-rate", 0, "events per second before 429")
	f.Int64Var(&eventCount, "event-count", 0, "events per calendar month (UTC) before 429")
	f.StringVar(&retention, "retention", "", "how long events stay readable, such as 7d")
	f.StringVar(&retentionBytes, "retention-bytes", "", "most bytes of log kept, such as 100GB")
	f.StringVarP(&description, "description", "d", "", "what the stream is for")
	f.StringSliceVar(&tags, "tags", nil, "tags, by commas")
	f.StringVar(&contract, "contract", "", "contract of bulk lines that name none")
	return cmd
}

func (m *Main) deleteStream() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use: "stream NAME", Short: "Delete a stream with its events and keys; prints what went", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			if recursive {
				query.Set("recursive", "true")
			}
			answer, err := c.Call(cmd.Context(), http.MethodDelete, client.StreamPath(args[0]), query, nil)
			if err != nil {
				return err
			}
			gone := []string{args[0]}
			for _, d := range gjson.GetBytes(answer, "derived.#.ref.name").Array() {
				gone = append(gone, d.Str)
			}
			for _, name := range gone {
				if err := m.unsave(c, name); err != nil {
					fmt.Fprintf(m.Stderr, "sluice: warning: the saved credentials of %s are still there: %v\n", name, err)
				}
			}
			return m.printDeleted(answer)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "delete what depends on it too")
	return cmd
}

// printDeleted writes what a delete took along; as a table, a row for each stream.
func (m *Main) printDeleted(answer []byte) error {
	if m.flags.output == "table" && gjson.GetBytes(answer, "stream").Exists() {
		rows := "[" + gjson.GetBytes(answer, "stream").Raw
		for _, d := range gjson.GetBytes(answer, "derived").Array() {
			rows += "," + d.Raw
		}
		answer = []byte(rows + "]")
	}
	return m.print(answer, streamColumns)
}

// reader is the command that shows a collection.
func (m *Main) reader(use, short, path string, columns []column) *cobra.Command {
	return &cobra.Command{
		Use: use, Aliases: []string{use + "s"}, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), http.MethodGet, path, c.Scope(), nil)
			if err != nil {
				return err
			}
			return m.print(answer, columns)
		},
	}
}

// named is the command that does one thing to one named resource and prints the answer.
func (m *Main) named(use, short, method string, path func(string) string, columns []column) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), method, path(args[0]), c.Scope(), nil)
			if err != nil {
				return err
			}
			return m.print(answer, columns)
		},
	}
}
