package command

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

var exporterColumns = []column{
	{"EXPORTER", "name"}, {"STREAM", "linkedStream"}, {"SINK", "sinkName"}, {"TYPE", "sinkType"},
	{"INCLUDE EXISTING EVENTS", "includeExistingEvents"}, {"INTERVAL", "intervalSecs"}, {"PATH PREFIX", "pathPrefix"},
}

func exportersPath(stream string) string { return "/v1/exporters/" + url.PathEscape(stream) }

func exporterPath(stream, name string) string {
	return exportersPath(stream) + "/" + url.PathEscape(name)
}

// exporters are the commands that begin with the noun: they print the shape of 2021.
func (m *Main) exporters() *cobra.Command {
	cmd := &cobra.Command{Use: "exporters", Short: "What writes the events of a stream to a sink", Args: cobra.ArbitraryArgs, RunE: m.group}
	for _, sub := range []struct {
		cmd *cobra.Command
		use string
	}{
		{m.createExporter(true), "create STREAM"}, {m.listExporters(true), "list [STREAM]"},
		{m.getExporter(true), "get STREAM NAME"}, {m.updateExporter(true), "update STREAM NAME"}, {m.deleteExporter(true), "delete STREAM NAME..."},
	} {
		sub.cmd.Use, sub.cmd.Aliases = sub.use, nil
		cmd.AddCommand(sub.cmd)
	}
	return cmd
}

func (m *Main) createExporter(old bool) *cobra.Command {
	var name, sink, sinkType, prefix string
	var interval int
	var existing, keys bool
	cmd := &cobra.Command{
		Use: "exporter STREAM", Short: "Export a stream's events to a sink", Args: cobra.ExactArgs(1),
		Long: "Export the events of a stream: for each window of --interval seconds that has events an object\n" +
			"<path-prefix>/<end of the window>-stream-<uuid>{0}.jsonl, one event a line as the stream shows it. Windows are aligned in UTC. It begins\n" +
			"with the next event, or with --include-existing-events with the oldest there is. With --export-keys the objects are\n" +
			"<path-prefix>/<end of the window>-keys-<uuid>{0}.csv and hold the keys of the window's events: who has them opens the events'\n" +
			"personal fields for ever, also those of people who are forgotten later.",
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
			if keys {
				body["exportKeys"] = true
			}
			return m.show(cmd, http.MethodPost, exportersPath(args[0]), old, body, exporterColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "exporter-name", "", "name of the exporter (-en; default <sink>-<stream>, of keys <sink>-<stream>-keys)")
	f.StringVar(&sink, "sink-name", "", "the sink to write to (-sn; may be left out where the project has one)")
	f.StringVar(&sinkType, "sink-type", "", "the sink's type, S3, GCLOUD or FOLDER (-st)")
	f.IntVarP(&interval, "interval", "i", 60, "seconds of a window, 30 to 3600")
	f.StringVar(&prefix, "path-prefix", "", "what the names of the objects begin with (-pp)")
	f.BoolVar(&existing, "include-existing-events", false, "begin with the oldest event there is")
	f.BoolVar(&keys, "export-keys", false, "export the keys of a source stream's events, as CSV, not the events")
	return cmd
}

func (m *Main) listExporters(old bool) *cobra.Command {
	return &cobra.Command{
		Use: "exporter [STREAM]", Aliases: []string{"exporters"}, Short: "List the exporters of a stream, or of all", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/exporters"
			if len(args) == 1 {
				path = exportersPath(args[0])
			}
			return m.show(cmd, http.MethodGet, path, old, nil, exporterColumns)
		},
	}
}

func (m *Main) getExporter(old bool) *cobra.Command {
	return &cobra.Command{
		Use: "exporter STREAM NAME", Short: "Show an exporter", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.show(cmd, http.MethodGet, exporterPath(args[0], args[1]), old, nil, exporterColumns)
		},
	}
}

func (m *Main) updateExporter(old bool) *cobra.Command {
	var prefix string
	var interval int
	cmd := &cobra.Command{
		Use: "exporter STREAM NAME", Short: "Change an exporter; it goes on where it is", Args: cobra.ExactArgs(2),
		Long: "Change an exporter. It goes on where it is, each event in one object as before; an object that is being made keeps its window\n" +
			"and its name.",
		Example: "  sluice update exporter level0-1 s3 --interval 300 --path-prefix level01/2026",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if cmd.Flags().Changed("interval") {
				body["intervalSecs"] = interval
			}
			if cmd.Flags().Changed("path-prefix") {
				body["pathPrefix"] = prefix
			}
			if len(body) == 0 {
				return usagef("nothing to change: give --interval or --path-prefix")
			}
			return m.show(cmd, http.MethodPatch, exporterPath(args[0], args[1]), old, body, exporterColumns)
		},
	}
	cmd.Flags().IntVarP(&interval, "interval", "i", 60, "seconds of a window, 30 to 3600")
	cmd.Flags().StringVar(&prefix, "path-prefix", "", "what the names of the objects begin with (-pp); empty: nothing")
	return cmd
}

func (m *Main) deleteExporter(old bool) *cobra.Command {
	return m.remover(removal{
		use: "exporter STREAM NAME", short: "Delete exporters of a stream; what they wrote stays", within: 1, old: old, columns: exporterColumns,
		path: func(within []string, name string) string { return exporterPath(within[0], name) },
	})
}
