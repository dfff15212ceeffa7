package command

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

var consumerColumns = []column{
	{"KIND", "kind"}, {"NAME", "name"}, {"STREAM", "stream"}, {"POSITION", "position"}, {"LAG", "lag"}, {"EXPIRED", "expired"},
}

// traceColumns are those of a row for each consumer of an event.
var traceColumns = []column{
	{"OFFSET", "event.offset"}, {"PROCESSED", "event.processed"}, {"CONSENT LEVELS", "event.consentLevels"}, {"KIND", "consumer.kind"},
	{"CONSUMER", "consumer.name"}, {"OF STREAM", "consumer.stream"}, {"STATE", "consumer.state"},
}

// traceRows takes a list of traced events apart into the rows of a table.
func traceRows(events gjson.Result) (rows []gjson.Result) {
	for _, e := range events.Array() {
		for _, c := range e.Get("consumers").Array() {
			rows = append(rows, gjson.Parse(`{"event":`+e.Raw+`,"consumer":`+c.Raw+`}`))
		}
	}
	return rows
}

func (m *Main) listConsumers() *cobra.Command {
	return &cobra.Command{
		Use: "consumer STREAM", Short: "List who gets a stream's events now, and how far each has come", Args: cobra.ExactArgs(1),
		Long: "List the readers that are connected to the server, the webhooks and the exporters of a stream, those furthest behind first. LAG counts\n" +
			"events of the source's log, before consent and filter. Who reads a derived stream is listed with that one.",
		Example: "  sluice list consumers web-2 -o table",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.show(cmd, http.MethodGet, "/v1/consumers/"+url.PathEscape(args[0]), false, nil, consumerColumns)
		},
	}
}

func (m *Main) trace() *cobra.Command {
	var stream, from string
	cmd := &cobra.Command{
		Use: "trace EVENT-ID", Short: "Find an event in the log, and tell what became of it", Args: cobra.ExactArgs(1),
		Long: "Find the events of an id in what is retained of a stream, and tell when each was accepted, and whether each stream, webhook and exporter\n" +
			"has it, has yet to get it, or must not: for consent, or by a filter. The id is the event's own, where its contract names one, else the\n" +
			"one that readers of the airship envelope and webhooks see. Exit 1 when there is none.",
		Example: "  sluice trace 3f0c2e1a-7c1d-8b52-9b1e-0f6a3f0d9c11 --stream web",
		RunE: func(cmd *cobra.Command, args []string) error {
			if stream == "" {
				return usagef("--stream is needed: whose log is searched?")
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			path := "/v1/trace/" + url.PathEscape(stream) + "/" + url.PathEscape(args[0])
			query := c.Scope()
			if from != "" {
				query.Set("from", from)
			}
			var events []string
			var scanned int64
			for {
				answer, err := c.Call(cmd.Context(), http.MethodGet, path, query, nil)
				if err != nil {
					m.clearLine()
					return err
				}
				for _, e := range gjson.GetBytes(answer, "events").Array() {
					events = append(events, e.Raw)
				}
				scanned += gjson.GetBytes(answer, "scanned").Int()
				next := gjson.GetBytes(answer, "next").Str
				if next == "" {
					break
				}
				if terminal(m.Stderr) {
					fmt.Fprintf(m.Stderr, "%s%d events searched", wipe, scanned)
				}
				query.Set("from", next)
			}
			m.clearLine()
			if len(events) == 0 {
				return fmt.Errorf("none of the %d events of %s that were searched has this id: is it another stream's, or older than the retention?", scanned, stream)
			}
			return m.printTree([]byte("["+strings.Join(events, ",")+"]"), traceRows, traceColumns)
		},
	}
	cmd.Flags().StringVar(&stream, "stream", "", "the stream that it came to, or one derived from it")
	cmd.Flags().StringVar(&from, "from", "", "an offset to search behind (default: from the oldest event there is)")
	return cmd
}
