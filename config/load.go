package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// Sources are the places settings are read from; each may be left out.
type Sources struct {
	File  string         // path of a YAML file
	Env   []string       // NAME=value, as os.Environ gives them
	Flags *pflag.FlagSet // parsed, with the flags of Flags
}

// Loaded is a Config that passed, and where each of its values came from.
type Loaded struct {
	Config
	Origins  map[string]string // by path: "default", the file's name, SLUICE_… or --…
	Warnings []string          // what is strange but harmless: unknown SLUICE_ variables
}

// otherVariables are read elsewhere: by the command line tool, and SLUICE_ADMIN_TOKEN by serve, so that no file and no printed
// configuration holds it.
var otherVariables = []string{"SLUICE_URL", "SLUICE_TOKEN", "SLUICE_PROJECT", "SLUICE_CA_FILE", "SLUICE_ADMIN_TOKEN"}

// Flags adds a flag for every setting. Points and underscores in a flag's name are taken for dashes, so --retention.age works too.
func Flags(fs *pflag.FlagSet) {
	c := Default()
	for _, s := range c.settings() {
		fs.String(flagName(s.path), s.def, firstSentence(s.doc))
	}
	normalize := fs.GetNormalizeFunc()
	fs.SetNormalizeFunc(func(set *pflag.FlagSet, name string) pflag.NormalizedName {
		return normalize(set, flagName(name))
	})
}

// Load reads all sources and holds the result to every rule. The error is Faults, all of them at once.
func Load(src Sources) (*Loaded, error) {
	l := &Loaded{Config: Default(), Origins: map[string]string{}}
	table := l.settings()
	for _, s := range table {
		l.Origins[s.path] = "default"
	}
	var faults Faults
	if src.File != "" {
		faults = append(faults, l.fromFile(src.File, table)...)
	}
	faults = append(faults, l.fromEnv(src.Env, table)...)
	if src.Flags != nil {
		faults = append(faults, l.fromFlags(src.Flags, table)...)
	}
	faults = append(faults, l.disagreements(faults)...)
	if len(faults) > 0 {
		return nil, faults
	}
	return l, nil
}

// disagreements holds settings against each other, but for those of a section that has a fault already, and for all when the file
// could not be read: what does not hold what its author meant would only repeat the first fault as a second.
func (l *Loaded) disagreements(faults Faults) (more Faults) {
	for _, d := range l.check() {
		if slices.ContainsFunc(faults, func(f Fault) bool { return f.unread || sectionOf(f.Path) == sectionOf(d.path) }) {
			continue
		}
		from := l.Origins[d.path]
		if from == "default" {
			from = l.Origins[d.with]
		}
		more = append(more, Fault{Path: d.path, From: from, Text: d.text})
	}
	return more
}

func (l *Loaded) fromFile(path string, table []setting) (faults Faults) {
	k := koanf.New(".")
	if err := k.Load(source(path), yaml.Parser()); err != nil {
		return Faults{{Path: path, Text: "cannot be read: " + err.Error(), unread: true}}
	}
	all := k.All()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		s := find(table, key)
		if s == nil {
			if !emptySection(table, key, all[key]) {
				faults = append(faults, Fault{Path: key, From: path, Text: unknownKey(table, key)})
			}
			continue
		}
		text, err := plain(all[key], s.value)
		if err == nil {
			err = s.value.parse(text)
		}
		if err != nil {
			faults = append(faults, Fault{Path: key, From: path, Text: err.Error()})
			continue
		}
		l.Origins[key] = path
	}
	return faults
}

func (l *Loaded) fromEnv(environ []string, table []setting) (faults Faults) {
	paths := map[string]string{}
	for _, s := range table {
		paths[envName(s.path)] = s.path
	}
	k := koanf.New(".")
	var unknown []string
	_ = k.Load(env.Provider(".", env.Opt{ // reads from memory: cannot fail
		Prefix:      "SLUICE_",
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, v string) (string, any) {
			if paths[name] == "" && !slices.Contains(otherVariables, name) {
				unknown = append(unknown, name)
			}
			return paths[name], v
		},
	}), nil)
	slices.Sort(unknown)
	names := append(slices.Collect(maps.Keys(paths)), otherVariables...)
	slices.Sort(names)
	for _, name := range unknown {
		warning := "the environment variable " + name + " is not known"
		if near := Nearest(name, names); near != "" {
			warning += "; did you mean " + near + "?"
		}
		l.Warnings = append(l.Warnings, warning)
	}
	for _, s := range table {
		if !k.Exists(s.path) {
			continue
		}
		if err := s.value.parse(k.String(s.path)); err != nil {
			faults = append(faults, Fault{Path: s.path, From: envName(s.path), Text: err.Error()})
			continue
		}
		l.Origins[s.path] = envName(s.path)
	}
	return faults
}

func (l *Loaded) fromFlags(fs *pflag.FlagSet, table []setting) (faults Faults) {
	k := koanf.New("\x00") // flags are flat: no part of a name is a section
	_ = k.Load(posflag.Provider(fs, "\x00", nil), nil)
	for _, s := range table {
		name := flagName(s.path)
		if !k.Exists(name) {
			continue
		}
		if err := s.value.parse(k.String(name)); err != nil {
			faults = append(faults, Fault{Path: s.path, From: "--" + name, Text: err.Error()})
			continue
		}
		l.Origins[s.path] = "--" + name
	}
	return faults
}

// plain turns a YAML value into the text that value parses.
func plain(v any, into value) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", fmt.Errorf("has no value: write one, or take the line out")
	case map[string]any:
		return "", fmt.Errorf("is a setting, not a section")
	case []any:
		if _, ok := into.(listValue); !ok {
			return "", fmt.Errorf("takes one value, not a list")
		}
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = fmt.Sprint(item)
		}
		return strings.Join(items, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}

func find(table []setting, path string) *setting {
	for i := range table {
		if table[i].path == path {
			return &table[i]
		}
	}
	return nil
}

// emptySection tells whether key is a section that has nothing in it, as a commented file leaves them.
func emptySection(table []setting, key string, v any) bool {
	m, isMap := v.(map[string]any)
	return (v == nil || isMap && len(m) == 0) && isSection(table, key)
}

func sectionOf(path string) string {
	section, _, _ := strings.Cut(path, ".")
	return section
}

func isSection(table []setting, key string) bool {
	return slices.ContainsFunc(table, func(s setting) bool { return strings.HasPrefix(s.path, key+".") })
}

// unknownKey says that nobody knows a key of a file, and which was likely meant.
func unknownKey(table []setting, key string) string {
	if isSection(table, key) {
		return "is a section: its settings go below it"
	}
	paths := make([]string, len(table))
	for i, s := range table {
		paths[i] = s.path
		// Right below the wrong section is as likely a slip as a misspelt name.
		if s.path[strings.LastIndexByte(s.path, '.')+1:] == key[strings.LastIndexByte(key, '.')+1:] {
			return "is not known; did you mean " + s.path + "?"
		}
	}
	if near := Nearest(key, paths); near != "" {
		return "is not known; did you mean " + near + "?"
	}
	return "is not known; `sluice config example` lists all"
}

func firstSentence(doc string) string {
	if before, _, found := strings.Cut(doc, ". "); found {
		return before
	}
	return strings.TrimSuffix(doc, ".")
}
