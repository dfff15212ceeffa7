package command

import (
	"context"
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
		Long: "Send made-up " + sample.ExampleRef + " events with the saved credentials of a stream (create it with --save), one request each,\n" +
			"until interrupted or --count is reached. It ends at the first event that is not taken.",
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
	kept, err := s.main.load(c, s.stream)
	if err != nil {
		return err
	}
	if kept.LinkedStream != "" {
		return fmt.Errorf("%s is derived from %s and can only be read: send to %s", s.stream, kept.LinkedStream, kept.LinkedStream)
	}
	s.say("Starting to simulate random %s events to stream %s. Sending one event every %d ms.", sample.ExampleRef, s.stream, s.interval)
	var tick <-chan time.Time
	if s.interval > 0 {
		t := time.NewTicker(time.Duration(s.interval) * time.Millisecond)
		defer t.Stop()
		tick = t.C
	}
	var expires, report time.Time
	report = time.Now().Add(reportEvery)
	sent, body := 0, []byte(nil)
	for s.count == 0 || sent < s.count {
		if time.Until(expires) < time.Minute {
			if c.Token, expires, err = c.AccessToken(ctx, kept.Credentials); err != nil {
				return s.interrupted(ctx, sent, err)
			}
		}
		body = s.event(body[:0])
		if err := c.Post(ctx, sample.ExampleRef, body); err != nil {
			return s.interrupted(ctx, sent, err)
		}
		sent++
		if time.Now().After(report) {
			s.say("Sent %d events", sent)
			report = time.Now().Add(reportEvery)
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

// interrupted turns an error that only says we were told to stop into none.
func (s *simulator) interrupted(ctx context.Context, sent int, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("event %d was not taken: %w", sent+1, err)
	}
	s.say("Sent %d events", sent)
	return nil
}

func (s *simulator) say(format string, args ...any) {
	if !s.quiet {
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
