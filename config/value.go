package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// value is one setting's typed place in a Config, as text both ways: text of what parse took is the shortest spelling that parse
// takes back. Not for concurrent use.
type value interface {
	parse(text string) error
	text() string
}

// textValue holds a string as it is written, once check (nil: anything) has passed it.
type textValue struct {
	to    *string
	check func(string) error
}

func (v textValue) parse(s string) error {
	if v.check != nil {
		if err := v.check(s); err != nil {
			return err
		}
	}
	*v.to = s
	return nil
}
func (v textValue) text() string { return *v.to }

// listValue holds a list, written with commas or as a YAML list.
type listValue struct {
	to    *[]string
	check func(string) error
}

func (v listValue) parse(s string) error {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if v.check != nil {
			if err := v.check(item); err != nil {
				return fmt.Errorf("%q: %w", item, err)
			}
		}
		out = append(out, item)
	}
	*v.to = out
	return nil
}
func (v listValue) text() string { return strings.Join(*v.to, ",") }

// intValue holds a whole number within bounds, both included.
type intValue struct {
	to       *int
	min, max int
}

func (v intValue) parse(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return errors.New("must be a whole number")
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("must be from %d to %d", v.min, v.max)
	}
	*v.to = n
	return nil
}
func (v intValue) text() string { return strconv.Itoa(*v.to) }

// sizeValue holds a number of bytes within bounds, both included.
type sizeValue[T int | int64] struct {
	to       *T
	min, max int64
}

func (v sizeValue[T]) parse(s string) error {
	n, err := ParseSize(s)
	if err != nil {
		return err
	}
	if n < v.min || n > v.max {
		return fmt.Errorf("must be from %s to %s", FormatSize(v.min), FormatSize(v.max))
	}
	*v.to = T(n)
	return nil
}
func (v sizeValue[T]) text() string { return FormatSize(int64(*v.to)) }

// durationValue holds a time span within bounds, both included; with a step, a whole number of them.
type durationValue struct {
	to       *time.Duration
	min, max time.Duration
	step     time.Duration
}

func (v durationValue) parse(s string) error {
	d, err := ParseDuration(s)
	if err != nil {
		return err
	}
	if d < v.min || d > v.max {
		return fmt.Errorf("must be from %s to %s", FormatDuration(v.min), FormatDuration(v.max))
	}
	if v.step > 0 && d%v.step != 0 {
		return fmt.Errorf("must be a multiple of %s", FormatDuration(v.step))
	}
	*v.to = d
	return nil
}
func (v durationValue) text() string { return FormatDuration(*v.to) }

// levelValue holds a log level.
type levelValue struct{ to *slog.Level }

func (v levelValue) parse(s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		return v.to.UnmarshalText([]byte(s))
	}
	return errors.New("must be debug, info, warn or error")
}
func (v levelValue) text() string { return strings.ToLower(v.to.String()) }

// oneOf is a check for a closed set of words.
func oneOf(words ...string) func(string) error {
	return func(s string) error {
		for _, w := range words {
			if s == w {
				return nil
			}
		}
		return fmt.Errorf("must be %s", strings.Join(words, " or "))
	}
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("must not be empty")
	}
	return nil
}

// address checks host:port as net.Listen takes it; port 0 lets the system choose.
func address(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("must be host:port, such as 127.0.0.1:8080 or :8080")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("its port must be a number from 0 to 65535")
	}
	return nil
}

// optional lets a check pass the empty string, which stands for "none".
func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

// webURL checks an address that others reach us by: no query, no user, no closing slash to be doubled later.
func webURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("must be an http:// or https:// address, such as https://events.example.com")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.HasSuffix(s, "/") {
		return errors.New("must have no user, query, fragment or closing slash")
	}
	return nil
}

// origin takes what a browser sends as Origin, or *.
func origin(s string) error {
	u, err := url.Parse(s)
	if s == "*" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.Contains(u.Host, "*") && s == strings.ToLower(u.Scheme+"://"+u.Host) {
		return nil
	}
	return errors.New("must be * or like https://app.example.com, in lower case and without a path")
}

// natsURLs checks the addresses of a JetStream cluster, by commas. Their text may hold a password and is not repeated in the error.
func natsURLs(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" || (u.Scheme != "nats" && u.Scheme != "tls") {
			return errors.New("must be nats://host:port or tls://host:port, several by commas")
		}
	}
	return nil
}

// network checks an address or a range of them in CIDR form.
func network(s string) error {
	if net.ParseIP(s) != nil {
		return nil
	}
	if _, _, err := net.ParseCIDR(s); err != nil {
		return errors.New("must be an address or a range such as 10.0.0.0/8")
	}
	return nil
}

// sizeUnits are the units of a size, the largest first; a plain number counts bytes.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

var errSize = errors.New("must be a size such as 512KiB, 1MiB or 100GB")

// ParseSize reads a number of bytes: digits, with a fraction or not, and a unit B KB KiB MB MiB GB GiB TB TiB in upper or lower case.
// KB counts 1,000 and KiB 1,024 bytes, and so on; without a unit it counts bytes.
func ParseSize(s string) (int64, error) {
	number, unit := strings.TrimSpace(s), int64(1)
	for _, u := range sizeUnits {
		if cut := len(number) - len(u.name); cut > 0 && strings.EqualFold(number[cut:], u.name) {
			number, unit = strings.TrimSpace(number[:cut]), u.bytes
			break
		}
	}
	if strings.Trim(number, "0123456789") == "" {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n > math.MaxInt64/unit {
			return 0, errSize
		}
		return n * unit, nil
	}
	// Only digits and one point: ParseFloat would take Inf, hexadecimal and exponents as well.
	if strings.Trim(number, "0123456789.") != "" {
		return 0, errSize
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, errSize
	}
	return int64(f * float64(unit)), nil
}

// FormatSize writes a number of bytes so that ParseSize gives exactly it again, in the largest unit that divides it.
func FormatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

var errDuration = errors.New("must be a duration such as 500ms, 10s, 1h30m or 7d")

// ParseDuration reads what time.ParseDuration reads, and days (24 h) before it: 7d, 1d12h. Never negative.
func ParseDuration(s string) (time.Duration, error) {
	rest, days := strings.TrimSpace(s), int64(0)
	if before, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n < 0 || n > int64(math.MaxInt64/(24*time.Hour)) {
			return 0, errDuration
		}
		days, rest = n, after
		if rest == "" {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(rest)
	whole := time.Duration(days) * 24 * time.Hour
	if err != nil || d < 0 || d > math.MaxInt64-whole {
		return 0, errDuration
	}
	return whole + d, nil
}

// FormatDuration writes a duration so that ParseDuration gives exactly it again: 7d, 30h, 10s.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	case d >= day:
		return strconv.FormatInt(int64(d/day), 10) + "d" + (d % day).String()
	}
	return d.String()
}
