package command

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

var courierColumns = []column{
	{"COURIER", "name"}, {"STREAM", "stream"}, {"FORMAT", "fileFormat"}, {"TAG", "fileTag"}, {"HOUR", "filePatternPrefix"}, {"ID", "id"},
}

var courierGroupColumns = []column{
	{"COURIER GROUP", "name"}, {"COURIERS", "couriers"}, {"SCHEDULE", "schedule"}, {"OFFSET HOURS", "offsetHours"},
}

var feedColumns = []column{{"FEED", "name"}, {"TABLE", "table"}, {"PRIMARY KEY", "primaryKey"}, {"ROW PATH", "rowPath"}, {"ID", "id"}}

var runColumns = []column{
	{"RUN", "runId"}, {"COURIER", "courier"}, {"DATE", "date"}, {"STATE", "state"}, {"FILES", "files"}, {"ROWS", "rows"}, {"FAILED ROWS", "failedRows"}, {"ERROR", "error"},
}

func courierPath(name string) string      { return "/v1/couriers/" + url.PathEscape(name) }
func courierGroupPath(name string) string { return "/v1/courier-groups/" + url.PathEscape(name) }
func feedPath(name string) string         { return "/v1/feeds/" + url.PathEscape(name) }

// courierFlags are what a courier is made of and can be changed to.
type courierFlags struct {
	format, tag, prefix, operations string
	load, truncate                  []string
}

func (c *courierFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.format, "file-format", "NDJSON", "NDJSON or JSON for a stream of JSON, XML for one of XML")
	f.StringVar(&c.tag, "file-tag", "streaming", "what load operations call the files")
	f.StringVar(&c.prefix, "file-pattern-prefix", "", "the hour, 00 to 24 (UTC), that the files' names begin with (default the whole day)")
	f.StringSliceVar(&c.load, "load", nil, "ids of feeds to load, by commas")
	f.StringSliceVar(&c.truncate, "truncate", nil, "ids of feeds to empty and load, by commas")
	f.StringVar(&c.operations, "load-operations", "", "the load operations as JSON, or @FILE; {} reads the files and loads nothing")
}

func (c *courierFlags) body(cmd *cobra.Command) (map[string]any, error) {
	body := map[string]any{}
	for flag, set := range map[string]struct{ member, value string }{
		"file-format": {"fileFormat", strings.ToUpper(c.format)}, "file-tag": {"fileTag", c.tag}, "file-pattern-prefix": {"filePatternPrefix", c.prefix},
	} {
		if cmd.Flags().Changed(flag) {
			body[set.member] = set.value
		}
	}
	if c.operations != "" {
		if len(c.load)+len(c.truncate) > 0 {
			return nil, usagef("--load-operations says all; give it without --load and --truncate")
		}
		text, err := textOrFile(c.operations)
		if err != nil {
			return nil, err
		}
		if !gjson.ValidBytes(text) || !gjson.ParseBytes(text).IsObject() {
			return nil, usagef(`--load-operations must be a JSON object like {"df-AbCDefGH":[{"type":"load","file":"streaming"}]}`)
		}
		body["loadOperations"] = json.RawMessage(text)
		return body, nil
	}
	operations := map[string][]map[string]string{}
	for _, feed := range c.truncate {
		operations[feed] = []map[string]string{{"type": "truncate"}, {"type": "load", "file": c.tag}}
	}
	for _, feed := range c.load {
		if operations[feed] == nil {
			operations[feed] = []map[string]string{{"type": "load", "file": c.tag}}
		}
	}
	if len(operations) > 0 {
		body["loadOperations"] = operations
	}
	return body, nil
}

// textOrFile is what a flag says, or what is in the file that it names after an '@'.
func textOrFile(value string) ([]byte, error) {
	name, ok := strings.CutPrefix(value, "@")
	if !ok {
		return []byte(value), nil
	}
	return readGiven(name)
}

func (m *Main) createCourier() *cobra.Command {
	var c courierFlags
	var stream string
	cmd := &cobra.Command{
		Use: "courier NAME", Short: "Load the landed files of a stream into feeds", Args: cobra.ExactArgs(1),
		Long: "Load the landed files of a payload stream into feeds, a day at a time: by hand with `sluice run courier`, or on the schedule of a\n" +
			"courier group. A feed need not exist yet; the courier does not run before it does.",
		Example: "  sluice create courier web-daily --stream is-AbCDefGH --load df-AbCDefGH",
		RunE: func(cmd *cobra.Command, args []string) error {
			if stream == "" {
				return usagef("a courier needs --stream, the id of the stream whose files it loads")
			}
			cmd.Flags().Lookup("file-format").Changed = true
			body, err := c.body(cmd)
			if err != nil {
				return err
			}
			body["name"], body["stream"] = args[0], stream
			return m.show(cmd, http.MethodPost, "/v1/couriers", false, body, courierColumns)
		},
	}
	c.bind(cmd)
	cmd.Flags().StringVar(&stream, "stream", "", "id or name of the stream")
	return cmd
}

func (m *Main) updateCourier() *cobra.Command {
	var c courierFlags
	cmd := &cobra.Command{
		Use: "courier NAME", Short: "Change a courier; a run in progress goes on by it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := c.body(cmd)
			if err != nil {
				return err
			}
			if len(body) == 0 {
				return usagef("nothing to change: see `sluice update courier --help` for what can be")
			}
			return m.show(cmd, http.MethodPatch, courierPath(args[0]), false, body, courierColumns)
		},
	}
	c.bind(cmd)
	return cmd
}

func (m *Main) createCourierGroup() *cobra.Command {
	var couriers []string
	var schedule string
	var offset int
	cmd := &cobra.Command{
		Use: "courier-group NAME", Short: "Run couriers on a schedule, together", Args: cobra.ExactArgs(1),
		Example: "  sluice create courier-group nightly --couriers web-daily --schedule '0 2 * * *'",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0], "couriers": append([]string{}, couriers...), "offsetHours": offset}
			if schedule != "" {
				body["schedule"] = schedule
			}
			return m.show(cmd, http.MethodPost, "/v1/courier-groups", false, body, courierGroupColumns)
		},
	}
	bindGroup(cmd, &couriers, &schedule, &offset)
	return cmd
}

func bindGroup(cmd *cobra.Command, couriers *[]string, schedule *string, offset *int) {
	cmd.Flags().StringSliceVar(couriers, "couriers", nil, "names of the couriers, by commas")
	cmd.Flags().StringVar(schedule, "schedule", "", "five fields as cron has them, UTC, or a tag like @daily (default: by hand only)")
	cmd.Flags().IntVar(offset, "offset-hours", 24, "how long before the scheduled time the day lies that is loaded")
}

func (m *Main) updateCourierGroup() *cobra.Command {
	var couriers []string
	var schedule string
	var offset int
	cmd := &cobra.Command{
		Use: "courier-group NAME", Short: "Change a courier group", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			for flag, set := range map[string]struct {
				member string
				value  any
			}{"couriers": {"couriers", append([]string{}, couriers...)}, "schedule": {"schedule", schedule}, "offset-hours": {"offsetHours", offset}} {
				if cmd.Flags().Changed(flag) {
					body[set.member] = set.value
				}
			}
			if len(body) == 0 {
				return usagef("nothing to change: see `sluice update courier-group --help` for what can be")
			}
			return m.show(cmd, http.MethodPatch, courierGroupPath(args[0]), false, body, courierGroupColumns)
		},
	}
	bindGroup(cmd, &couriers, &schedule, &offset)
	return cmd
}

// feedFlags are what a feed is made of.
type feedFlags struct {
	table, rowPath, definition string
	key, columns               []string
}

func (f *feedFlags) body(cmd *cobra.Command) (map[string]any, error) {
	body := map[string]any{}
	if f.definition != "" {
		text, err := readGiven(f.definition)
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err != nil {
			return nil, fmt.Errorf("the definition of the feed: %w", err)
		}
	}
	if f.table != "" {
		body["table"] = f.table
	}
	if cmd.Flags().Changed("row-path") {
		body["rowPath"] = f.rowPath
	}
	if len(f.key) > 0 {
		body["primaryKey"] = f.key
	}
	var columns []map[string]string
	for _, c := range f.columns {
		name, path, ok := strings.Cut(c, "=")
		if !ok {
			path = name
		}
		columns = append(columns, map[string]string{"name": name, "path": path})
	}
	if columns != nil {
		body["columns"] = columns
	}
	return body, nil
}

func (m *Main) createFeed() *cobra.Command {
	var f feedFlags
	cmd := &cobra.Command{
		Use: "feed NAME", Short: "Make a table that couriers load into", Args: cobra.ExactArgs(1),
		Example: "  sluice create feed orders --primary-key id --column id --column name=customer.name\n" +
			"  sluice create feed order-lines --row-path items --primary-key order_id,sku --column order_id=$.id --column sku",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			body["name"] = args[0]
			for _, member := range []string{"primaryKey", "columns"} {
				if body[member] == nil {
					return usagef("a feed needs --column and --primary-key, or --definition with both")
				}
			}
			return m.show(cmd, http.MethodPost, "/v1/feeds", false, body, feedColumns)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.table, "table", "", "name of the table (default made of the feed's)")
	fl.StringSliceVar(&f.key, "primary-key", nil, "columns that tell one row from another, by commas")
	bindFeed(cmd, &f)
	return cmd
}

func bindFeed(cmd *cobra.Command, f *feedFlags) {
	cmd.Flags().StringArrayVar(&f.columns, "column", nil, "a column, as name=gjson path in the row, or $.path in the record; may be given several times")
	cmd.Flags().StringVar(&f.rowPath, "row-path", "", "gjson path to the rows in a record (default the record is the row)")
	cmd.Flags().StringVar(&f.definition, "definition", "", "file with the feed as JSON: primaryKey, columns, rowPath, table")
}

func (m *Main) updateFeed() *cobra.Command {
	var f feedFlags
	cmd := &cobra.Command{
		Use: "feed NAME", Short: "Change the columns of a feed; its table and primary key stay", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := f.body(cmd)
			if err != nil {
				return err
			}
			if len(body) == 0 {
				return usagef("nothing to change: see `sluice update feed --help` for what can be")
			}
			return m.show(cmd, http.MethodPatch, feedPath(args[0]), false, body, feedColumns)
		},
	}
	bindFeed(cmd, &f)
	return cmd
}

// runLoads runs a courier or a group.
func (m *Main) runLoads(use, short string, path func(string) string) *cobra.Command {
	var date string
	var wait bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if date != "" {
				body["date"] = date
			}
			if !wait {
				return m.show(cmd, http.MethodPost, path(args[0])+"/run", false, body, runColumns)
			}
			return m.runToEnd(cmd, args[0], path(args[0])+"/run", body)
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the day to load, UTC, like 2026-11-20 (default yesterday)")
	if strings.HasPrefix(use, "courier ") {
		cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end of the run and print it; exit 1 when it failed")
	}
	return cmd
}

// runToEnd starts a run and follows it.
func (m *Main) runToEnd(cmd *cobra.Command, courier, path string, body any) error {
	c, err := m.authorized()
	if err != nil {
		return err
	}
	defer c.Close()
	answer, err := c.Call(cmd.Context(), http.MethodPost, path, c.Scope(), body)
	if err != nil {
		return err
	}
	at := courierPath(courier) + "/runs/" + url.PathEscape(gjson.GetBytes(answer, "runId").String())
	for {
		if answer, err = c.Call(cmd.Context(), http.MethodGet, at, c.Scope(), nil); err != nil {
			return err
		}
		run := gjson.ParseBytes(answer)
		switch run.Get("state").String() {
		case "COMPLETED":
			m.clearLine()
			return m.print(answer, runColumns)
		case "FAILED":
			m.clearLine()
			if err := m.print(answer, runColumns); err != nil {
				return err
			}
			return fmt.Errorf("the run failed: %s", run.Get("error"))
		}
		m.counted(int(run.Get("filesDone").Int()), int(run.Get("files").Int()), "files loaded")
		select {
		case <-time.After(redraw):
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		}
	}
}

func (m *Main) listCourierRuns() *cobra.Command {
	return m.named("courier-run COURIER", "List the last runs of a courier, the newest first", http.MethodGet,
		func(name string) string { return courierPath(name) + "/runs" }, runColumns)
}

func (m *Main) getCourierRun() *cobra.Command {
	return &cobra.Command{
		Use: "courier-run COURIER RUN", Short: "Show a run of a courier", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.show(cmd, http.MethodGet, courierPath(args[0])+"/runs/"+url.PathEscape(args[1]), false, nil, runColumns)
		},
	}
}

func (m *Main) listSampleFiles() *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use: "sample-file COURIER", Short: "Show the beginnings of a courier's newest files", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := courierPath(args[0]) + "/sample-files"
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			if date != "" {
				query.Set("date", date)
			}
			answer, err := m.call(cmd.Context(), c, http.MethodGet, path, query, nil)
			if err != nil {
				return err
			}
			return m.print(answer, []column{{"FILE", "name"}, {"SIZE", "size"}, {"RECORDS", "records.#"}})
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the day, UTC (default today)")
	return cmd
}

func (m *Main) runCourier() *cobra.Command {
	return m.runLoads("courier NAME", "Load the files of a day", courierPath)
}

func (m *Main) runCourierGroup() *cobra.Command {
	return m.runLoads("courier-group NAME", "Load the files of a day with each courier of a group", courierGroupPath)
}

func (m *Main) listCouriers() *cobra.Command {
	return m.reader("courier", "List the couriers of the project", "/v1/couriers", courierColumns)
}

func (m *Main) getCourier() *cobra.Command {
	return m.named("courier NAME", "Show a courier", http.MethodGet, courierPath, courierColumns)
}

func (m *Main) deleteCourier() *cobra.Command {
	return m.remover(removal{use: "courier NAME", short: "Delete couriers; what they loaded stays", columns: courierColumns, path: below(courierPath)})
}

func (m *Main) listCourierGroups() *cobra.Command {
	return m.reader("courier-group", "List the courier groups of the project", "/v1/courier-groups", courierGroupColumns)
}

func (m *Main) getCourierGroup() *cobra.Command {
	return m.named("courier-group NAME", "Show a courier group", http.MethodGet, courierGroupPath, courierGroupColumns)
}

func (m *Main) deleteCourierGroup() *cobra.Command {
	return m.remover(removal{
		use: "courier-group NAME", short: "Delete courier groups; their couriers stay", columns: courierGroupColumns, path: below(courierGroupPath),
	})
}

func (m *Main) listFeeds() *cobra.Command {
	return m.reader("feed", "List the feeds of the project", "/v1/feeds", feedColumns)
}

func (m *Main) getFeed() *cobra.Command {
	return m.named("feed NAME", "Show a feed", http.MethodGet, feedPath, feedColumns)
}

func (m *Main) deleteFeed() *cobra.Command {
	return m.remover(removal{use: "feed NAME", short: "Delete feeds; their tables stay", columns: feedColumns, path: below(feedPath)})
}
