package config

import "strings"

// Fault is one thing wrong with a setting.
type Fault struct {
	Path string // of the setting, or the unknown key as it was written
	From string // where it was written: a file's name, SLUICE_…, --…; of settings that disagree, where one of them was; empty: a whole file
	Text string // what is wrong, read after the path

	unread bool // Path is that of a file of which nothing is known
}

func (f Fault) Error() string {
	s := f.Path + " " + f.Text
	if f.From != "" {
		s += " (" + f.From + ")"
	}
	return s
}

// Faults are all that is wrong, in the order of file, environment, flags. Load returns it when a start would fail: mend every line.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}
