package command

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

const projectsPath = "/v1/projects"

var projectColumns = []column{
	{"PROJECT", "name"}, {"ID", "projectId"}, {"BILLING ID", "billingId"}, {"APP KEY", "appKey"}, {"EVENT STREAM", "eventStream"},
}

func projectPath(name string) string { return projectsPath + "/" + url.PathEscape(name) }

func (m *Main) createProject() *cobra.Command {
	return &cobra.Command{
		Use: "project NAME", Short: "Make a project; its master secret is shown this once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.show(cmd, http.MethodPost, projectsPath, false, map[string]string{"name": args[0]}, projectColumns)
		},
	}
}

func (m *Main) listProjects() *cobra.Command {
	return m.reader("project", "List all projects", projectsPath, projectColumns)
}

func (m *Main) getProject() *cobra.Command {
	return m.named("project NAME", "Show a project", http.MethodGet, projectPath, projectColumns)
}

func (m *Main) deleteProject() *cobra.Command {
	return m.remover(removal{
		use: "project NAME", short: "Delete projects that have no streams and contracts any more", columns: projectColumns, path: below(projectPath),
	})
}

func (m *Main) updateProject() *cobra.Command {
	var eventStream string
	var rotate bool
	cmd := &cobra.Command{
		Use: "project NAME", Short: "Change a project", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := map[string]any{}
			if cmd.Flags().Changed("event-stream") {
				patch["eventStream"] = eventStream
				if eventStream == "" {
					patch["eventStream"] = nil
				}
			}
			if rotate {
				patch["rotateMasterSecret"] = true
			}
			if len(patch) == 0 {
				return usagef("nothing to change: give --event-stream or --rotate-master-secret")
			}
			return m.show(cmd, http.MethodPatch, projectPath(args[0]), false, patch, projectColumns)
		},
	}
	cmd.Flags().StringVar(&eventStream, "event-stream", "", "the stream that is the project's own; \"\" for none")
	cmd.Flags().BoolVar(&rotate, "rotate-master-secret", false, "make a new master secret, shown this once")
	return cmd
}
