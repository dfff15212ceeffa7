package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tidwall/gjson"
)

// column is one column of a table: its title and where its value lies in the JSON of a row, as a gjson path.
type column struct{ title, path string }

// print writes an answer: its JSON, indented, members in the server's order; or with -o table one row for each resource of it.
func (m *Main) print(answer []byte, columns []column) error {
	if m.flags.output == "table" {
		return m.printTable(answer, columns)
	}
	text, err := indented(answer)
	if err != nil {
		return err
	}
	_, err = m.Stdout.Write(text)
	return err
}

// indented is JSON for reading, with a newline at its end.
func indented(answer []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(answer), "", "  "); err != nil {
		return nil, fmt.Errorf("the server's answer is not JSON, is this Sluice? %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (m *Main) printTable(answer []byte, columns []column) error {
	rows := []gjson.Result{gjson.ParseBytes(answer)}
	if rows[0].IsArray() {
		rows = rows[0].Array()
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(m.Stdout, "No entities of this resource type exist.")
		return err
	}
	tw := tabwriter.NewWriter(m.Stdout, 0, 0, 3, ' ', 0)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.title
	}
	fmt.Fprintln(tw, strings.Join(cells, "\t"))
	for _, row := range rows {
		for i, c := range columns {
			cells[i] = cell(row.Get(c.path))
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// cell is a value as one word of a table.
func cell(v gjson.Result) string {
	if v.IsArray() {
		var parts []string
		for _, item := range v.Array() {
			parts = append(parts, item.String())
		}
		return strings.Join(parts, ",")
	}
	// A tab or newline in a description would tear the table.
	return strings.Join(strings.Fields(v.String()), " ")
}

// appendText appends a text as JSON, whatever is in it.
func appendText(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can always be written
	}
	return append(dst, quoted...)
}
