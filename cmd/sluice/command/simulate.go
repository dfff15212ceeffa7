package command

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sluice/relay/sample"
)

// reportEvery is how often simulate says how far it is.
const reportEvery = 5 * time.Second

func (m *Main) simulateEvents() *cobra.Command {
	s := simulator{main: m}
	cmd := &cobra.Command{
		Use: "random-events STREAM", Short: "Send made-up events of the demo contract to a stream", Args: cobra.ExactArgs(1),
		Long: "Send made-up " + sample.ExampleRef + " events with the saved credentials of a stream (create it with --save), else with your own token,\n" +
			"one request each, until interrupted or --count is reached. It ends at the first event that is not taken.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.interval < 0 || s.count < 0 {
				return usagef("--interval and --count must not be negative")
			}
			if s.sessions < 1 {
				return usagef("--session-range must be 1 or more")
			}
			s.stream = args[0]
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.IntVar(&s.interval, "interval", 1000, "milliseconds between two events; 0: as fast as they are taken")
	f.IntVar(&s.count, "count", 0, "end after so many events (0: never)")
	f.IntVar(&s.sessions, "session-range", 1000, "how many sessions the events belong to")
	f.StringVar(&s.prefix, "session-prefix", "session", "what sessions are called before their number")
	f.BoolVar(&s.quiet, "quiet", false, "say nothing but errors")
	return cmd
}

// simulator sends made-up events to one stream. One goroutine.
type simulator struct {
	main                      *Main
	stream, prefix            string
	interval, count, sessions int
	quiet                     bool
}

func (s *simulator) run(ctx context.Context) error {
	c, err := s.main.client()
	if err != nil {
		return err
	}
	defer c.Close()
	kept, missing := s.main.load(c, s.stream)
	if kept.LinkedStream != "" {
		return fmt.Errorf("%s is derived from %s and can only be read: send to %s", s.stream, kept.LinkedStream, kept.LinkedStream)
	}
	if missing != nil {
		if _, _, err := s.own(missing); err != nil {
			return err
		}
	}
	s.say("Starting to simulate random %s events to stream %s. Sending one event every %d ms.", sample.ExampleRef, s.stream, s.interval)
	var tick <-chan time.Time
	if s.interval > 0 {
		t := time.NewTicker(time.Duration(s.interval) * time.Millisecond)
		defer t.Stop()
		tick = t.C
	}
	var expires time.Time
	report := s.reportAfter(time.Now())
	sent, body := 0, []byte(nil)
	for s.count == 0 || sent < s.count {
		if time.Until(expires) < time.Minute {
			switch {
			case missing == nil:
				c.Token, expires, err = c.AccessToken(ctx, kept.Credentials)
			default:
				c.Token, expires, err = s.own(missing)
			}
			if err != nil {
				return s.interrupted(ctx, sent, err)
			}
		}
		body = s.event(body[:0])
		if missing == nil {
			err = c.Post(ctx, sample.ExampleRef, body)
		} else {
			err = c.PostTo(ctx, s.stream, sample.ExampleRef, body)
		}
		if err != nil {
			return s.interrupted(ctx, sent, err)
		}
		sent++
		if now := time.Now(); now.After(report) {
			s.progress(sent)
			report = s.reportAfter(now)
		}
		if tick != nil && sent != s.count {
			select {
			case <-ctx.Done():
			case <-tick:
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	s.say("Sent %d events", sent)
	return nil
}

// lookAgain is after what time the token of a login is asked for again, which renews it.
const lookAgain = 5 * time.Minute

// own is the caller's token, for a stream whose credentials are missing.
func (s *simulator) own(missing error) (token string, expires time.Time, err error) {
	c, err := s.main.authorized()
	switch {
	case errors.Is(err, errLoginOver):
		return "", time.Time{}, err
	case err != nil:
		return "", time.Time{}, fmt.Errorf("%w; or log in with `sluice auth login`, or set SLUICE_TOKEN", missing)
	}
	defer c.Close()
	return c.Token, time.Now().Add(lookAgain), nil
}

// interrupted turns an error that only says we were told to stop into none.
func (s *simulator) interrupted(ctx context.Context, sent int, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("event %d was not taken: %w", sent+1, err)
	}
	s.say("Sent %d events", sent)
	return nil
}

// reportAfter is when it is next told how far it is: a terminal's line is drawn anew, where a file would fill up.
func (s *simulator) reportAfter(now time.Time) time.Time {
	if terminal(s.main.Stderr) {
		return now.Add(redraw)
	}
	return now.Add(reportEvery)
}

func (s *simulator) progress(sent int) {
	switch {
	case !terminal(s.main.Stderr):
		s.say("Sent %d events", sent)
	case s.quiet:
	case s.count > 0:
		s.main.counted(sent, s.count, "events sent")
	default:
		fmt.Fprintf(s.main.Stderr, "%s%d events sent", wipe, sent)
	}
}

func (s *simulator) say(format string, args ...any) {
	if !s.quiet {
		s.main.clearLine()
		fmt.Fprintf(s.main.Stderr, format+"\n", args...)
	}
}

// consents are the sets of levels that made-up people give: none, or all up to one.
var consents = []string{"", "0", "0,1", "0,1,2", "0,1,2,3"}

// event appends a made-up event of the demo contract.
func (s *simulator) event(dst []byte) []byte {
	dst = append(dst, `{"strmMeta":{"eventContractRef":"`+sample.ExampleRef+`","consentLevels":[`...)
	dst = append(dst, consents[rand.IntN(len(consents))]...)
	dst = append(dst, `]},"uniqueIdentifier":"unique-`...)
	dst = strconv.AppendInt(dst, rand.Int64N(100), 10)
	dst = append(dst, `","consistentValue":`...)
	dst = appendText(dst, s.prefix+"-"+strconv.Itoa(rand.IntN(s.sessions)))
	dst = append(dst, `,"someSensitiveValue":"sensitive-`...)
	dst = strconv.AppendInt(dst, rand.Int64N(100), 10)
	dst = append(dst, `","notSensitiveValue":"not-sensitive-`...)
	dst = strconv.AppendInt(dst, rand.Int64N(100), 10)
	return append(dst, `"}`...)
}
