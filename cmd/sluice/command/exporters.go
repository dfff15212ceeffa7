package command

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

var exporterColumns = []column{
	{"EXPORTER", "name"}, {"STREAM", "linkedStream"}, {"SINK", "sinkName"}, {"TYPE", "sinkType"}, {"INTERVAL", "intervalSecs"},
	{"PATH PREFIX", "pathPrefix"},
}

func exportersPath(stream string) string { return "/v1/exporters/" + url.PathEscape(stream) }

// exporters are the commands that begin with the noun: they print the shape of 2021.
func (m *Main) exporters() *cobra.Command {
	cmd := &cobra.Command{Use: "exporters", Short: "What writes the events of a stream to a sink", Args: cobra.ArbitraryArgs, RunE: m.group}
	for _, sub := range []struct {
		cmd *cobra.Command
		use string
	}{
		{m.createExporter(true), "create STREAM"}, {m.listExporters(true), "list STREAM"},
		{m.getExporter(true), "get STREAM NAME"}, {m.deleteExporter(true), "delete STREAM NAME"},
	} {
		sub.cmd.Use, sub.cmd.Aliases = sub.use, nil
		cmd.AddCommand(sub.cmd)
	}
	return cmd
}

// shape2021 adds to a query which shape is wanted.
func shape2021(query url.Values, old bool) url.Values {
	if old {
		query.Set("shape", "2021")
	}
	return query
}

func (m *Main) createExporter(old bool) *cobra.Command {
	var name, sink, sinkType, prefix string
	var interval int
	var existing bool
	cmd := &cobra.Command{
		Use: "exporter STREAM", Short: "Export a stream's events to a sink", Args: cobra.ExactArgs(1),
		Long: "Export the events of a stream: for each window of --interval seconds that has events an object\n" +
			"<path-prefix>/<end of the window>-stream-<uuid>{0}.jsonl, one event a line as the stream shows it. Windows are aligned in UTC. It begins\n" +
			"with the next event, or with --include-existing-events with the oldest there is.",
		Example: "  sluice exporters create -en s3 -sn s3-bart -st S3 -i 30 -pp level01 level0-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			for member, value := range map[string]string{"name": name, "sinkName": sink, "sinkType": strings.ToUpper(sinkType), "pathPrefix": prefix} {
				if value != "" {
					body[member] = value
				}
			}
			if cmd.Flags().Changed("interval") {
				if interval <= 0 {
					return usagef("--interval must be a number of seconds above 0")
				}
				body["intervalSecs"] = interval
			}
			if existing {
				body["includeExistingEvents"] = true
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), http.MethodPost, exportersPath(args[0]), shape2021(c.Scope(), old), body)
			if err != nil {
				return err
			}
			return m.print(answer, exporterColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "exporter-name", "", "name of the exporter (-en; default <sink>-<stream>)")
	f.StringVar(&sink, "sink-name", "", "the sink to write to (-sn; may be left out where the project has one)")
	f.StringVar(&sinkType, "sink-type", "", "the sink's type, S3 or FOLDER (-st)")
	f.IntVarP(&interval, "interval", "i", 60, "seconds of a window, 30 to 3600")
	f.StringVar(&prefix, "path-prefix", "", "what the names of the objects begin with (-pp)")
	f.BoolVar(&existing, "include-existing-events", false, "begin with the oldest event there is")
	return cmd
}

func (m *Main) listExporters(old bool) *cobra.Command {
	return m.exporterCall("exporter STREAM", "List the exporters of a stream", http.MethodGet, 1, old)
}

func (m *Main) getExporter(old bool) *cobra.Command {
	return m.exporterCall("exporter STREAM NAME", "Show an exporter", http.MethodGet, 2, old)
}

func (m *Main) deleteExporter(old bool) *cobra.Command {
	return m.exporterCall("exporter STREAM NAME", "Delete an exporter; what it wrote stays", http.MethodDelete, 2, old)
}

// exporterCall is the command that does one thing to the exporters of a stream, or with two arguments to one of them.
func (m *Main) exporterCall(use, short, method string, args int, old bool) *cobra.Command {
	return &cobra.Command{
		Use: use, Aliases: []string{"exporters"}, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			path := exportersPath(args[0])
			if len(args) > 1 {
				path += "/" + url.PathEscape(args[1])
			}
			answer, err := c.Call(cmd.Context(), method, path, shape2021(c.Scope(), old), nil)
			if err != nil {
				return err
			}
			return m.print(answer, exporterColumns)
		},
	}
}
