package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// unversioned is a build that knows neither a version nor a commit. Without the parentheses that Go puts around it, for webhooks and
// exports show it in headers, where parentheses are a comment.
const unversioned = "devel"

// Version says what was built: the module's version, or the commit where the build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version, dirty := info.Main.Version, ""
	if version == "" || version == "(devel)" {
		version = unversioned
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12 && version == unversioned:
			version = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true" && version != info.Main.Version:
			dirty = "+changes"
		}
	}
	return version + dirty
}

func (m *Main) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(m.Stdout, "sluice %s %s %s/%s\n", Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func (m *Main) completion() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print the completion script for a shell",
		Long:      "Print the completion script for a shell. For bash: source <(sluice completion bash)",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE:      func(cmd *cobra.Command, args []string) error { return complete(cmd, args[0]) },
	}
}

func complete(cmd *cobra.Command, shell string) error {
	root, out := cmd.Root(), cmd.OutOrStdout()
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(out, true)
	case "zsh":
		return root.GenZshCompletion(out)
	case "fish":
		return root.GenFishCompletion(out, true)
	}
	return usagef("there is completion for bash, zsh and fish, not for %q", shell)
}
