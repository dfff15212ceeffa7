package command

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/client"
)

func outputsPath(source string) string { return client.StreamPath(source) + "/outputs" }

func outputPath(source, name string) string {
	return outputsPath(source) + "/" + url.PathEscape(name)
}

// streams are the commands about source streams that begin with the noun: they print the shape of 2021.
func (m *Main) streams() *cobra.Command {
	cmd := &cobra.Command{Use: "streams", Short: "Source streams, in the shape of 2021", Args: cobra.ArbitraryArgs, RunE: m.group}
	create, list, get, remove := m.createStream(true), m.listStreams(true), m.getStream(true), m.deleteStream(true)
	create.Use, list.Use, get.Use, remove.Use = "create NAME", "list", "get NAME", "delete NAME..."
	list.Aliases = nil
	cmd.AddCommand(create, list, get, remove)
	return cmd
}

// outputs are the commands about derived streams that begin with the noun.
func (m *Main) outputs() *cobra.Command {
	cmd := &cobra.Command{Use: "outputs", Short: "Derived streams of a source stream, in the shape of 2021", Args: cobra.ArbitraryArgs, RunE: m.group}
	cmd.AddCommand(m.createOutput(),
		&cobra.Command{
			Use: "list STREAM", Short: "List the outputs of a stream", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return m.show(cmd, http.MethodGet, outputsPath(args[0]), true, nil, streamColumns)
			},
		},
		&cobra.Command{
			Use: "get STREAM OUTPUT", Short: "Show an output, without its secret", Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return m.show(cmd, http.MethodGet, outputPath(args[0], args[1]), true, nil, streamColumns)
			},
		},
		m.remover(removal{
			use: "delete STREAM OUTPUT", short: "Delete outputs; their source keeps its events", within: 1, old: true, columns: streamColumns,
			path: func(within []string, name string) string { return outputPath(within[0], name) }, gone: m.unsaveStreams,
		}))
	return cmd
}

func (m *Main) createOutput() *cobra.Command {
	var levels []int
	var levelType, description, decrypter string
	var tags []string
	var save bool
	cmd := &cobra.Command{
		Use: "create STREAM [OUTPUT]", Short: "Make an output: a stream derived from another", Args: cobra.RangeArgs(1, 2),
		Long: "Make an output of a stream: its events as far as people's consent allows. CUMULATIVE takes one level N: an event passes when its\n" +
			"highest level is N or more, and fields up to N are clear. GRANULAR takes several: an event passes when it has all of them, and\n" +
			"fields of exactly these are clear. Its credentials are shown this once. OUTPUT may be left out: <stream>-<levels>.",
		Example: "  sluice outputs create bart level0-1 -cl 0 -cl 1 -clt GRANULAR",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(levels) == 0 {
				return usagef("an output needs --consent-level, such as -cl 2")
			}
			body := map[string]any{"consentLevels": levels}
			if len(args) == 2 {
				body["name"] = args[1]
			}
			setTexts(body, map[string]string{"consentLevelType": strings.ToUpper(levelType), "description": description, "decrypterName": decrypter})
			if len(tags) > 0 {
				body["tags"] = tags
			}
			return m.makeStream(cmd, outputsPath(args[0]), body, true, save)
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&levels, "consent-level", nil, "a consent level of the output (-cl); may be given several times")
	f.StringVar(&levelType, "consent-level-type", "", "CUMULATIVE or GRANULAR (-clt; default CUMULATIVE)")
	f.StringVarP(&description, "description", "d", "", "what the output is for")
	f.StringSliceVarP(&tags, "tag", "t", nil, "a tag of the output; may be given several times")
	f.StringVar(&decrypter, "decrypter-name", "", "without effect (-dn)")
	f.BoolVar(&save, "save", false, "keep the credentials in a file of your own, for listen")
	return cmd
}

// setTexts puts those texts into a body that are not empty.
func setTexts(body map[string]any, texts map[string]string) {
	for member, value := range texts {
		if value != "" {
			body[member] = value
		}
	}
}
