package command

import "strings"

// options2021 are the short options of the command line of 2021 that have more than one letter, by the noun that such a command is
// about: pflag would read -en as -e with the value n.
var options2021 = map[string]map[string]string{
	"outputs": outputOptions,
	"sinks":   sinkOptions, "sink": sinkOptions,
	"exporters": exporterOptions, "exporter": exporterOptions,
}

var (
	outputOptions   = map[string]string{"-cl": "--consent-level", "-clt": "--consent-level-type", "-dn": "--decrypter-name"}
	sinkOptions     = map[string]string{"-cf": "--credentials-file", "-bn": "--bucket-name"}
	exporterOptions = map[string]string{"-en": "--exporter-name", "-sn": "--sink-name", "-st": "--sink-type", "-pp": "--path-prefix"}
)

// spelled gives the arguments with the long names of those options, behind the first word that is such a noun.
func spelled(args []string) []string {
	var known map[string]string
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		if known == nil && !strings.HasPrefix(arg, "-") {
			known = options2021[arg]
		}
		name, value, valued := strings.Cut(arg, "=")
		long, ok := known[name]
		switch {
		case ok && valued:
			out[i] = long + "=" + value
		case ok:
			out[i] = long
		}
	}
	return out
}
