package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/tidwall/gjson"
)

// The forms of an answer, as -o names them.
const (
	outputJSON  = "json"     // indented, members in the server's order
	outputRaw   = "json-raw" // in one line, as the server sent it
	outputTable = "table"    // a row for each resource
	outputPlain = "plain"    // the name of each resource, one a line
)

// extraOutput is the annotation of a command that knows one more form of output.
const extraOutput = "output"

// column is one column of a table: its title and where its value lies in the JSON of a row, as a gjson path, or several with " or " between
// them, of which the first that is there counts. A table's first column is what plain output prints.
type column struct{ title, path string }

// print writes an answer in the form that was asked for.
func (m *Main) print(answer []byte, columns []column) error {
	switch m.flags.output {
	case outputTable, outputPlain:
		return m.printTable(answer, columns)
	case outputRaw:
		return m.printRaw(answer)
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
		return nil, notJSON(err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// printTree is print for an answer that may hold several resources: tables show them as rows.
func (m *Main) printTree(answer []byte, rows func(gjson.Result) []gjson.Result, columns []column) error {
	if m.flags.output == outputTable || m.flags.output == outputPlain {
		var list []string
		for _, row := range rows(gjson.ParseBytes(answer)) {
			list = append(list, row.Raw)
		}
		answer = []byte("[" + strings.Join(list, ",") + "]")
	}
	return m.print(answer, columns)
}

func (m *Main) printRaw(answer []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, answer); err != nil {
		return notJSON(err)
	}
	b.WriteByte('\n')
	_, err := m.Stdout.Write(b.Bytes())
	return err
}

func notJSON(err error) error {
	return fmt.Errorf("the server's answer is not JSON, is this Sluice? %w", err)
}

func (m *Main) printTable(answer []byte, columns []column) error {
	if !gjson.ValidBytes(answer) {
		return notJSON(errors.New("it cannot be read"))
	}
	rows := []gjson.Result{gjson.ParseBytes(answer)}
	if rows[0].IsArray() {
		rows = rows[0].Array()
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(m.Stdout, "No entities of this resource type exist.")
		return err
	}
	if m.flags.output == outputPlain {
		for _, row := range rows {
			if _, err := fmt.Fprintln(m.Stdout, cell(row, columns[0].path)); err != nil {
				return err
			}
		}
		return nil
	}
	tw := tabwriter.NewWriter(m.Stdout, 0, 0, 3, ' ', 0)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.title
	}
	fmt.Fprintln(tw, strings.Join(cells, "\t"))
	for _, row := range rows {
		for i, c := range columns {
			cells[i] = cell(row, c.path)
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	return tw.Flush()
}

// cell is the value of a row at a column's path, as one word of a table.
func cell(row gjson.Result, path string) string {
	var v gjson.Result
	for p := range strings.SplitSeq(path, " or ") {
		if v = row.Get(p); v.Exists() {
			break
		}
	}
	if v.IsArray() {
		var parts []string
		for _, item := range v.Array() {
			parts = append(parts, shown(item.String()))
		}
		return strings.Join(parts, ",")
	}
	return shown(v.String())
}

// shown is a text as a terminal may have it. A tab or newline in a description would tear the table, and what else cannot be
// printed may be an order to the terminal, from whoever wrote it.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(strings.Fields(text), " "))
}

// appendText appends a text as JSON, whatever is in it.
func appendText(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string can always be written
	}
	return append(dst, quoted...)
}
