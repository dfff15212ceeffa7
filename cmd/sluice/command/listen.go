package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
)

func (m *Main) listenEvents() *cobra.Command {
	return m.listenCommand("events", "Print a stream's events, one a line", func(ctx context.Context, l *listener, query url.Values) (arriving, error) {
		return l.client.Events(ctx, l.stream, query)
	})
}

func (m *Main) listenSocket() *cobra.Command {
	cmd := m.listenCommand("web-socket", "Print a stream's events as they come over a websocket, one a line",
		func(ctx context.Context, l *listener, query url.Values) (arriving, error) {
			return l.client.Socket(ctx, l.stream, query)
		})
	cmd.Aliases = []string{"websocket"}
	return cmd
}

// arriving is an answer of events in progress, over whatever it comes.
type arriving interface {
	Next() ([]byte, error)
	Waiting() bool
	Close() error
}

// opener begins an answer of a listener's stream.
type opener func(ctx context.Context, l *listener, query url.Values) (arriving, error)

func (m *Main) listenCommand(name, short string, open opener) *cobra.Command {
	l := listener{main: m, open: open}
	cmd := &cobra.Command{
		Use: name + " STREAM", Short: short, Args: cobra.ExactArgs(1),
		Long: "Print a stream's events as they arrive, one JSON object a line, until interrupted or --limit is reached. When the server goes away\n" +
			"it waits for it to come back and goes on where it was: nothing is left out or printed twice.\n\n" +
			"It reads with --client-id and --client-secret, else the saved credentials of the stream, else the token of --token or SLUICE_TOKEN, else the login.",
		Example: "  sluice listen " + name + " web-2 --from EARLIEST --limit 10",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (l.given.ClientID == "") != (l.given.ClientSecret == "") {
				return usagef("--client-id and --client-secret go together")
			}
			if l.limit < 0 {
				return usagef("--limit must not be negative")
			}
			if err := oneOfFlag("--envelope", l.envelope, "none", "offset"); err != nil {
				return err
			}
			l.stream = args[0]
			return l.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.given.ClientID, "client-id", "", "of the stream's credentials")
	f.StringVar(&l.given.ClientSecret, "client-secret", "", "of the stream's credentials")
	f.StringVar(&l.from, "from", "LATEST", "where to begin: LATEST, EARLIEST, an offset (exclusive), a time such as 2026-01-02T15:04:05Z, or -N for the last N")
	f.IntVar(&l.limit, "limit", 0, "end after so many events (0: never)")
	f.StringVar(&l.envelope, "envelope", "none", "none: the event itself; offset: {\"offset\":…,\"event\":…}")
	return cmd
}

// listener reads one stream and prints it. One goroutine.
type listener struct {
	main                   *Main
	open                   opener
	given                  client.Credentials
	stream, from, envelope string
	limit                  int

	client  *client.Client
	creds   client.Credentials // tokens are got with these; empty: the caller's own token is used
	login   bool               // the caller's own token is that of the saved login, which is renewed
	expires time.Time          // of the token got with creds
	seen    int
	out     *bufio.Writer
}

// errOutput ends the reading: there is nobody left to print for.
var errOutput = errors.New("the output does not take more")

func (l *listener) run(ctx context.Context) error {
	if err := l.authorize(); err != nil {
		return err
	}
	defer l.client.Close()
	l.out = bufio.NewWriter(l.main.Stdout)
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	for connected := false; ; {
		opened, err := l.read(ctx)
		if opened {
			connected = true
			wait.Reset()
		}
		if flushed := l.out.Flush(); flushed != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %w", errOutput, flushed)
		}
		var no *client.Refusal
		switch {
		case ctx.Err() != nil || l.limit > 0 && l.seen >= l.limit:
			return nil
		case errors.Is(err, errOutput), errors.As(err, &no) && no.Status < 500 && !no.Passing():
			return err
		case !connected:
			// A first try that fails is a wrong address or a server that was never there, not one that restarts.
			return err
		}
		pause := wait.NextBackOff()
		fmt.Fprintf(l.main.Stderr, "sluice: the stream broke off; trying again in %s from %s\n", pause.Round(100*time.Millisecond), l.from)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// authorize finds what to read with: given credentials, saved ones, or the caller's token, and last that of the login.
func (l *listener) authorize() (err error) {
	if l.client, err = l.main.client(); err != nil {
		return err
	}
	if l.given.ClientID != "" {
		l.creds = l.given
		return nil
	}
	kept, missing := l.main.load(l.client, l.stream)
	switch {
	case missing == nil:
		l.creds = kept.Credentials
	case l.client.Token == "":
		l.login = true
		if err := l.logIn(); err != nil && !errors.Is(err, errLoginOver) {
			return fmt.Errorf("%w; or give --client-id and --client-secret, log in with `sluice auth login`, or set SLUICE_TOKEN", missing)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// logIn takes the token of the saved login, a new one where it is over.
func (l *listener) logIn() error {
	c, err := l.main.authorized()
	if err != nil {
		return err
	}
	defer c.Close()
	l.client.Token = c.Token
	return nil
}

// read makes one request and prints what comes, keeping the place in l.from. opened tells whether the server let us in; the error is
// nil when the answer ended in order.
func (l *listener) read(ctx context.Context) (opened bool, err error) {
	if l.creds.ClientID != "" && time.Until(l.expires) < time.Minute {
		if l.client.Token, l.expires, err = l.client.AccessToken(ctx, l.creds); err != nil {
			return false, err
		}
	}
	if l.login {
		if err := l.logIn(); err != nil {
			return false, err
		}
	}
	query := url.Values{"envelope": {"offset"}}
	if l.creds.ClientID == "" {
		query = l.client.Scope() // credentials say it themselves
		query.Set("envelope", "offset")
	}
	if l.from == "LATEST" {
		if err := l.fix(ctx, query); err != nil {
			return false, err
		}
	}
	query.Set("from", l.from)
	if l.limit > 0 {
		query.Set("limit", strconv.Itoa(min(l.limit-l.seen, 100_000)))
	}
	lines, err := l.open(ctx, l, query)
	if err != nil {
		return false, err
	}
	defer lines.Close()
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err == nil {
			err = l.take(line)
		}
		if err != nil {
			return true, err
		}
		// Flush when nothing more waits: a person sees each event at once, a pipe gets them by the buffer.
		if !lines.Waiting() {
			if err := l.out.Flush(); err != nil {
				return true, fmt.Errorf("%w: %w", errOutput, err)
			}
		}
	}
}

// fix turns LATEST into the offset that it is now. Else a connection that breaks before its first event would begin anew at a later
// LATEST, and leave out what came between.
func (l *listener) fix(ctx context.Context, query url.Values) error {
	query.Set("from", "LATEST")
	query.Set("limit", "1")
	query.Set("timeout", "1ms")
	defer query.Del("limit")
	defer query.Del("timeout")
	lines, err := l.client.Events(ctx, l.stream, query)
	if err != nil {
		return err
	}
	defer lines.Close()
	line, err := lines.Next()
	if err != nil {
		return err
	}
	return l.take(line)
}

// take prints one line of the answer: an event in its offset envelope, or an OFFSET_UPDATE, which only moves the place.
func (l *listener) take(line []byte) error {
	offset, event := gjson.GetBytes(line, "offset").Str, gjson.GetBytes(line, "event")
	if offset == "" {
		return fmt.Errorf("the server sent a line that is no event: is %s Sluice?", l.client.Base)
	}
	l.from = offset
	if !event.Exists() {
		return nil
	}
	l.seen++
	text := []byte(event.Raw)
	if l.envelope == "offset" {
		text = line
	}
	if _, err := l.out.Write(text); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	if err := l.out.WriteByte('\n'); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
