package command

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
)

// removal is a command that deletes resources by their names.
type removal struct {
	use, short string
	columns    []column
	// within is how many arguments come before the names, such as the stream that they belong to.
	within int
	// path is where a resource lies: its arguments are those before the names, and one name.
	path func(within []string, name string) string
	// check holds the arguments to their form; nil: any will do.
	check cobra.PositionalArgs
	// recursive, where not empty, is the help of --recursive, which is offered then.
	recursive string
	// old asks for the shape of 2021.
	old bool
	// rows are the resources in an answer, for a table; nil: the answer itself.
	rows func(answer gjson.Result) []gjson.Result
	// gone is called with each answer; nil: nothing else is to be done.
	gone func(c *client.Client, name string, answer gjson.Result)
}

// remover makes the command of a removal. It takes one name or several. Of one it prints what went, of several a list of that. One that is
// refused does not keep the others, and is told at the end.
func (m *Main) remover(r removal) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use: r.use + "...", Short: r.short,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MinimumNArgs(r.within+1)(cmd, args); err != nil || r.check == nil {
				return err
			}
			for _, name := range args[r.within:] {
				if err := r.check(cmd, []string{name}); err != nil {
					return err
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := shape2021(c.Scope(), r.old)
			if recursive {
				query.Set("recursive", "true")
			}
			within, names := args[:r.within], args[r.within:]
			var went []string
			var refused []error
			for n, name := range names {
				m.counted(n, len(names), "deleted")
				answer, err := m.call(cmd.Context(), c, http.MethodDelete, r.path(within, name), query, nil)
				if err != nil {
					if len(names) > 1 {
						err = fmt.Errorf("%s: %w", name, err)
					}
					refused = append(refused, err)
					if cmd.Context().Err() != nil {
						break
					}
					continue
				}
				parsed := gjson.ParseBytes(answer)
				if r.gone != nil {
					r.gone(c, name, parsed)
				}
				if r.rows != nil && m.flags.output != outputJSON && m.flags.output != outputRaw {
					for _, row := range r.rows(parsed) {
						went = append(went, row.Raw)
					}
					continue
				}
				went = append(went, parsed.Raw)
			}
			m.clearLine()
			switch {
			case len(went) == 0:
				return errors.Join(refused...)
			case len(names) == 1 && len(went) == 1:
				err = m.print([]byte(went[0]), r.columns)
			default:
				err = m.print([]byte("["+strings.Join(went, ",")+"]"), r.columns)
			}
			return errors.Join(append(refused, err)...)
		},
	}
	if r.recursive != "" {
		cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, r.recursive)
	}
	return cmd
}

// below gives the path of what a name stands for in a collection that belongs to the project.
func below(path func(string) string) func([]string, string) string {
	return func(_ []string, name string) string { return path(name) }
}

// treeRows are the resources of a delete that took others along: the one itself, at the member of that name, and those of the lists.
func treeRows(itself string, lists ...string) func(gjson.Result) []gjson.Result {
	return func(answer gjson.Result) []gjson.Result {
		one := answer.Get(itself)
		if !one.IsObject() {
			return []gjson.Result{answer}
		}
		rows := []gjson.Result{one}
		for _, list := range lists {
			rows = append(rows, answer.Get(list).Array()...)
		}
		return rows
	}
}

// shape2021 adds to a query which shape is wanted.
func shape2021(query url.Values, old bool) url.Values {
	if old {
		query.Set("shape", "2021")
	}
	return query
}
