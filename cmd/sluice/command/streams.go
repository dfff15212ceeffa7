package command

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
)

var streamColumns = []column{
	{"STREAM", "ref.name or name"}, {"DERIVED FROM", "linkedStream"}, {"CONSENT LEVEL TYPE", "consentLevelType"}, {"CONSENT LEVELS", "consentLevels"},
	{"ENABLED", "enabled"}, {"CONTRACT", "contract"}, {"TAGS", "tags"}, {"CLIENT ID", "credentials.0.clientId or credentials.clientId"}, {"DESCRIPTION", "description"},
}

func (m *Main) createStream(old bool) *cobra.Command {
	var derivedFrom, consentType, description, payload, contract, sink string
	var levels []int
	var tags []string
	var save, packed bool
	var masks maskFlags
	cmd := &cobra.Command{
		Use: "stream [NAME]", Short: "Make a stream, or one derived from another",
		Long: "Make a stream; its credentials are shown this once.\n\n" +
			"With --derived-from it shows the events of another stream whose consent covers --levels, their personal fields of these levels\n" +
			"in clear. CUMULATIVE takes one level N: an event passes when its highest level is N or more, and fields up to N are clear.\n" +
			"GRANULAR takes several: an event passes when it has all of them, and fields of exactly these are clear.\n" +
			"NAME may be left out then: <source>-<levels>, or <source>-M<levels> with --masked-fields, which shows what is clear there as hashes.",
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
			case derivedFrom == "" && (len(masks.fields) > 0 || masks.seed != ""):
				return usagef("--masked-fields and --mask-seed are for a derived stream: name its source with --derived-from")
			case payload == "" && (sink != "" || packed):
				return usagef("--sink and --gzip are for a stream with --payload")
			case derivedFrom != "" && (payload != "" || contract != ""):
				return usagef("a derived stream takes --payload and --contract from its source")
			}
			if derivedFrom != "" {
				body["linkedStream"], body["consentLevels"] = derivedFrom, levels
			}
			setTexts(body, map[string]string{"consentLevelType": strings.ToUpper(consentType), "description": description, "payload": payload, "contract": contract, "sink": sink})
			if packed {
				body["gzip"] = true
			}
			if len(tags) > 0 {
				body["tags"] = tags
			}
			if err := masks.set(body); err != nil {
				return err
			}
			return m.makeStream(cmd, "/v1/streams", body, old, save)
		},
	}
	f := cmd.Flags()
	f.StringVar(&derivedFrom, "derived-from", "", "the source of a derived stream")
	f.IntSliceVar(&levels, "levels", nil, "consent levels of a derived stream, by commas")
	f.StringVar(&consentType, "consent-type", "", "CUMULATIVE or GRANULAR (default CUMULATIVE)")
	f.StringVarP(&description, "description", "d", "", "what the stream is for")
	f.StringSliceVar(&tags, "tags", nil, "tags, by commas")
	f.StringSliceVarP(&tags, "tag", "t", nil, "a tag; may be given several times")
	masks.register(f)
	f.StringVar(&payload, "payload", "", "json or xml: takes any such payload, without a contract")
	f.StringVar(&sink, "sink", "", "with --payload: the sink that payloads land in (default the server's folder)")
	f.BoolVar(&packed, "gzip", false, "with --payload: payloads land packed")
	f.StringVar(&contract, "contract", "", "contract of bulk lines that name none")
	f.BoolVar(&save, "save", false, "keep the credentials in a file of your own, for simulate and listen")
	return cmd
}

// makeStream makes a source or a derived stream, prints it, and keeps its credentials where they are wanted.
func (m *Main) makeStream(cmd *cobra.Command, path string, body map[string]any, old, save bool) error {
	c, err := m.authorized()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := m.call(cmd.Context(), c, http.MethodPost, path, shape2021(c.Scope(), old), body)
	if err != nil {
		return err
	}
	if err := m.print(answer, streamColumns); err != nil || !save {
		return err
	}
	kept, err := m.save(c, streamName(answer), answer)
	if err != nil {
		return fmt.Errorf("the stream was made, but its credentials could not be saved: %w", err)
	}
	fmt.Fprintf(m.Stderr, "credentials saved in %s\n", kept)
	return nil
}

// streamName is a stream's name, in either shape.
func streamName(stream []byte) string {
	return first(gjson.GetBytes(stream, "ref.name").Str, gjson.GetBytes(stream, "name").Str)
}

func (m *Main) listStreams(old bool) *cobra.Command {
	return &cobra.Command{
		Use: "stream", Aliases: []string{"streams"}, Short: "List the streams of the project", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.show(cmd, http.MethodGet, "/v1/streams", old, nil, streamColumns)
		},
	}
}

func (m *Main) getStream(old bool) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use: "stream NAME", Short: "Show a stream, without its secret", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := shape2021(c.Scope(), old)
			if recursive {
				query.Set("recursive", "true")
			}
			answer, err := m.call(cmd.Context(), c, http.MethodGet, client.StreamPath(args[0]), query, nil)
			if err != nil {
				return err
			}
			return m.printTree(answer, treeRows("stream", "derived"), streamColumns)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "with what depends on it")
	return cmd
}

func (m *Main) updateStream() *cobra.Command {
	var enable, disable bool
	var eventRate, eventCount int64
	var description, contract, retention, retentionBytes, consentType string
	var tags []string
	var levels []int
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
				"levels": {"consentLevels", levels}, "consent-type": {"consentLevelType", strings.ToUpper(consentType)},
			} {
				if changed(flag) {
					patch[set.member] = set.value
				}
			}
			if len(patch) == 0 {
				return usagef("nothing to change: give at least one of --enable, --disable, --event-rate, --event-count, --retention, --retention-bytes, --description, --tags, --contract, --levels, --consent-type")
			}
			return m.show(cmd, http.MethodPatch, client.StreamPath(args[0]), false, patch, streamColumns)
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
	f.IntSliceVar(&levels, "levels", nil, "consent levels of a derived stream, by commas")
	f.StringVar(&consentType, "consent-type", "", "of a derived stream: CUMULATIVE or GRANULAR")
	return cmd
}

func (m *Main) deleteStream(old bool) *cobra.Command {
	return m.remover(removal{
		use: "stream NAME", short: "Delete streams with their events and keys; prints what went", old: old, columns: streamColumns,
		path: below(client.StreamPath), recursive: "delete what depends on them too", rows: treeRows("stream", "derived"), gone: m.unsaveStreams,
	})
}

// unsaveStreams forgets the saved credentials of a deleted stream and of what went along.
func (m *Main) unsaveStreams(c *client.Client, name string, answer gjson.Result) {
	gone := []string{name}
	for _, path := range []string{"derived.#.ref.name", "derived.#.name"} {
		for _, d := range answer.Get(path).Array() {
			gone = append(gone, d.Str)
		}
	}
	for _, name := range gone {
		if err := m.unsave(c, name); err != nil {
			fmt.Fprintf(m.Stderr, "sluice: warning: the saved credentials of %s are still there: %v\n", name, err)
		}
	}
}

// reader is the command that shows a collection.
func (m *Main) reader(use, short, path string, columns []column) *cobra.Command {
	return &cobra.Command{
		Use: use, Aliases: []string{use + "s"}, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.show(cmd, http.MethodGet, path, false, nil, columns)
		},
	}
}

// named is the command that does one thing to one named resource and prints the answer.
func (m *Main) named(use, short, method string, path func(string) string, columns []column) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.show(cmd, method, path(args[0]), false, nil, columns)
		},
	}
}

// show makes one call in the project, in the shape of 2021 where old is set, and prints the answer.
func (m *Main) show(cmd *cobra.Command, method, path string, old bool, body any, columns []column) error {
	c, err := m.authorized()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := m.call(cmd.Context(), c, method, path, shape2021(c.Scope(), old), body)
	if err != nil {
		return err
	}
	return m.print(answer, columns)
}
