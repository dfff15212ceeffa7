package command

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

// outputCSV is a form of usage alone.
const outputCSV = "csv"

var usageColumns = []column{{"FROM", "startTime"}, {"TO", "endTime"}, {"EVENTS", "eventCount"}}

func (m *Main) getUsage() *cobra.Command {
	var from, to, interval string
	cmd := &cobra.Command{
		Use: "usage STREAM", Short: "Show how many events a stream took, by windows of time", Args: cobra.ExactArgs(1),
		Annotations: map[string]string{extraOutput: outputCSV},
		Long: "Show how many events a source stream took in each window of --interval from --from to --to, the last day by quarters of an hour\n" +
			"where nothing is said. With -o csv a line holds: when a window began, the events since the first one's beginning, the\n" +
			"window's seconds, its events, and those per second.",
		Example: "  sluice get usage web --interval 1h\n  sluice get usage web --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --interval 1d -o csv",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			for name, value := range map[string]string{"from": from, "to": to, "interval": interval} {
				if value != "" {
					query.Set(name, value)
				}
			}
			answer, err := c.Call(cmd.Context(), http.MethodGet, "/v1/usage/"+url.PathEscape(args[0]), query, nil)
			if err != nil {
				return err
			}
			if m.flags.output != outputCSV {
				return m.print(answer, usageColumns)
			}
			text, err := usageCSV(answer)
			if err != nil {
				return err
			}
			_, err = m.Stdout.Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "begin of the first window, such as 2026-11-20T00:00:00Z (default a day before --to)")
	f.StringVar(&to, "to", "", "end of the last window (default now)")
	f.StringVar(&interval, "interval", "", "how long a window is, such as 1h (default 15m)")
	return cmd
}

// usageCSV shows windows as running totals: the first line has none before it to differ from.
func usageCSV(answer []byte) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	lines := [][]string{{"from", "count", "duration", "change", "rate"}}
	count := int64(0)
	for i, row := range gjson.ParseBytes(answer).Array() {
		start, err := time.Parse(time.RFC3339, row.Get("startTime").Str)
		if err != nil {
			return nil, notJSON(err)
		}
		end, err := time.Parse(time.RFC3339, row.Get("endTime").Str)
		if err != nil {
			return nil, notJSON(err)
		}
		events, seconds := row.Get("eventCount").Int(), end.Sub(start).Seconds()
		count += events
		change, rate := "NaN", "NaN"
		if i > 0 {
			change, rate = strconv.FormatInt(events, 10), strconv.FormatFloat(float64(events)/seconds, 'g', 4, 64)
		}
		lines = append(lines, []string{row.Get("startTime").Str, strconv.FormatInt(count, 10), fmt.Sprintf("%.0f", seconds), change, rate})
	}
	if err := w.WriteAll(lines); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
