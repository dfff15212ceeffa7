// Command bench measures a real sluice, as a child process with its own log on disk, and says every
// figure as a ratio to a floor: the least that any program would have to do, measured in the same run
// with the same client on the same machine. Ratios survive a slow or a busy machine; figures do not.
//
//	go run ./loadtest/bench [--only NAME,NAME] [--runs 5] [--seconds 4]
//
// It prints one table of medians and keeps it in loadtest/results, as JSON with every single run and
// as markdown, with machine, commit and date. Client and server share the cores, over loopback, plain
// HTTP/1.1; the clients write prepared bytes and parse next to nothing (package wire), so that they
// hide little of the server. Every row also checks that what was acknowledged arrived, once, in order.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/loadtest/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	only     string
	runs     int
	seconds  float64
	people   int
	readers  int
	idle     int
	filtered int
	replays  int
	binary   string
	out      string
	profile  string
	floor    string
	replay   string
	expect   int
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.only, "only", "", "rows to measure, by commas (default all): "+strings.Join(rowNames(), ", "))
	f.IntVar(&o.runs, "runs", 5, "runs of each row; the table shows medians")
	f.Float64Var(&o.seconds, "seconds", 4, "how long each measurement lasts, for the server and for its floor")
	f.IntVar(&o.people, "people", 1000, "how many people the events come from")
	f.IntVar(&o.readers, "readers", 1000, "consumers of the fan-out")
	f.IntVar(&o.idle, "idle", 5000, "idle consumers")
	f.IntVar(&o.filtered, "filtered", 2000, "consumers with 200 different filters, and without")
	f.IntVar(&o.replays, "events", 50_000, "events to replay")
	f.StringVar(&o.binary, "binary", "", "a sluice to measure instead of building one")
	f.StringVar(&o.out, "out", "", "folder for the results (default loadtest/results of this module; - for none)")
	f.StringVar(&o.profile, "profile", "", "folder for a CPU profile of the server per row")
	f.StringVar(&o.floor, "floor", "", "internal: be the floor of that name until standard input ends")
	f.StringVar(&o.replay, "replay", "", "internal: what the floor sends")
	f.IntVar(&o.expect, "expect", 0, "internal: how many connections the floor waits for")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.runs < 1 || o.seconds <= 0 || o.readers < 1 || o.idle < 1 || o.filtered < 1 || o.replays < 1 {
		f.Usage()
		return o, fmt.Errorf("wrong usage")
	}
	for _, name := range o.rows() {
		if !slices.Contains(rowNames(), name) {
			return o, fmt.Errorf("there is no row %q; there are %s", name, strings.Join(rowNames(), ", "))
		}
	}
	return o, nil
}

func (o options) rows() []string {
	if o.only == "" {
		return rowNames()
	}
	return strings.Split(o.only, ",")
}

func (o options) duration() time.Duration { return time.Duration(o.seconds * float64(time.Second)) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.floor != "" {
		return serveFloor(o, os.Stdin, stdout)
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.profile != "" {
		if o.binary != "" {
			return fmt.Errorf("--profile needs a binary of its own, leave out --binary")
		}
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	if o.binary == "" {
		if o.binary, err = server.Build(ctx, dir, o.profile != ""); err != nil {
			return err
		}
	}
	res := newResults(ctx, o)
	for _, r := range rows {
		if !slices.Contains(o.rows(), r.name) {
			continue
		}
		for i := range o.runs {
			fmt.Fprintf(stderr, "%s %d/%d\n", r.name, i+1, o.runs)
			b, err := newBench(o, dir, r.name, i)
			if err != nil {
				return err
			}
			measures, err := r.run(ctx, b)
			if err != nil {
				return fmt.Errorf("%s: %w%s", r.name, err, b.logTail())
			}
			if err := os.RemoveAll(b.dir); err != nil {
				return err
			}
			for _, m := range measures {
				fmt.Fprintln(stderr, "   ", m)
			}
			res.add(measures)
		}
	}
	table := res.markdown()
	fmt.Fprint(stdout, table)
	if o.out == "-" {
		return nil
	}
	if o.out == "" {
		if o.out, err = resultsFolder(ctx); err != nil {
			return err
		}
	}
	path, err := res.save(o.out)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "kept in", filepath.Clean(path))
	return nil
}
