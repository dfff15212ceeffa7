package config

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
)

// Setting is one setting in force, as a file would have it.
type Setting struct{ Path, Value, Origin string }

// Settings lists every setting in force, passwords redacted.
func (l *Loaded) Settings() (all []Setting) {
	for _, s := range l.settings() {
		text := s.value.text()
		if s.secret {
			text = redact(text)
		}
		all = append(all, Setting{Path: s.path, Value: text, Origin: l.Origins[s.path]})
	}
	return all
}

// Print writes every setting in force as YAML, each with where it came from, passwords redacted. A setting without a value is printed
// as one, so that the output can be read back.
func (l *Loaded) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	section := ""
	table := l.settings()
	for i, s := range l.Settings() {
		section = openSection(tw, section, s.Path, "")
		fmt.Fprintf(tw, "%s%s: %s\t# %s\n", indent(s.Path), leaf(s.Path), quote(s.Value, table[i].value), s.Origin)
	}
	return tw.Flush()
}

// Example writes a file to start from: every setting with its default and its reason. It says what an empty file says.
func Example(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Every setting of Sluice with its default. A setting may also be given as a variable, SLUICE_ and its path in\n")
	b.WriteString("# capitals with _ for . (lists by commas), or as a flag of `sluice serve`: a flag beats a variable, a variable\n")
	b.WriteString("# beats this file. Durations are 500ms, 10s, 1h30m, 7d; sizes 512KiB, 1MiB (powers of 1,024), 100GB (of 1,000).\n")
	c := Default()
	section := ""
	for _, s := range c.settings() {
		was := section
		section = openSection(&b, section, s.path, "\n")
		if section == "" || section == was {
			b.WriteByte('\n')
		}
		for _, line := range wrap(s.doc, 110) {
			fmt.Fprintf(&b, "%s# %s\n", indent(s.path), line)
		}
		fmt.Fprintf(&b, "%s%s: %s\n", indent(s.path), leaf(s.path), quote(s.def, s.value))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// openSection writes the line that opens the section of path unless it is open already, and returns its name.
func openSection(w io.Writer, open, path, before string) string {
	name, _, found := strings.Cut(path, ".")
	if !found {
		return ""
	}
	if name != open {
		fmt.Fprintf(w, "%s%s:\n", before, name)
	}
	return name
}

func indent(path string) string { return strings.Repeat("  ", strings.Count(path, ".")) }
func leaf(path string) string   { return path[strings.LastIndexByte(path, '.')+1:] }

// quote writes a value so that YAML reads the same text back.
func quote(text string, v value) string {
	if _, list := v.(listValue); list {
		if text == "" {
			return "[]"
		}
		return "[" + strings.ReplaceAll(text, ",", ", ") + "]"
	}
	if text == "" || strings.ContainsAny(text, "#'\"{}[]&*!|>%@`\n") || strings.Contains(text, ": ") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
	}
	return text
}

// redact hides the passwords of one or several addresses.
func redact(text string) string {
	parts := strings.Split(text, ",")
	for i, p := range parts {
		if u, err := url.Parse(strings.TrimSpace(p)); err == nil {
			if _, has := u.User.Password(); has {
				u.User = url.UserPassword(u.User.Username(), "****")
			} else if u.User != nil {
				u.User = url.User("****") // a token stands where a name would
			}
			parts[i] = strings.ReplaceAll(u.String(), "%2A", "*")
		} else {
			parts[i] = "****"
		}
	}
	return strings.Join(parts, ",")
}

// wrap breaks text into lines of at most width letters.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = word
			continue
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
