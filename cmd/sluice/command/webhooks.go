package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/delivery/webhook"
)

var webhookColumns = []column{
	{"WEBHOOK", "name"}, {"STREAM", "stream"}, {"URL", "url"}, {"BATCH", "batchSize"}, {"ORDERING", "ordering"}, {"ENVELOPE", "envelope"},
	{"ENABLED", "enabled"}, {"REASON", "reason"},
}

var deliveryColumns = []column{
	{"AT", "at"}, {"EVENTS", "events"}, {"ATTEMPT", "attempt"}, {"STATUS", "status"}, {"RESULT", "result"}, {"MS", "durationMs"}, {"ID", "id"},
}

func webhookPath(name string) string { return "/v1/webhooks/" + url.PathEscape(name) }

// webhookFlags are what a webhook is made of and can be changed to.
type webhookFlags struct {
	name, description, authorization, ordering, envelope, timeout string
	batch                                                         int
	types, headers, retry                                         []string
}

func (w *webhookFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.name, "name", "", "name of the webhook (default made of the stream's)")
	f.StringVarP(&w.description, "description", "d", "", "what it is for")
	f.IntVar(&w.batch, "batch", 10, "events of a request: 1 (a bare object), or an array of up to 5, 10, 15, 20, 30, 50 or 100")
	f.StringSliceVar(&w.types, "types", nil, "event types that are delivered, by commas (default all)")
	f.StringArrayVar(&w.headers, "header", nil, "a header of every request, as name=value; may be given several times")
	f.StringVar(&w.authorization, "authorization", "", "value of the header Authorization")
	f.StringVar(&w.ordering, "ordering", "fifo", "fifo: one at a time, in order; key: in order for each key link, of Airship events for each device; none: up to 64 at a time")
	f.StringSliceVar(&w.retry, "retry", nil, "pauses between the attempts, by commas (default 5s,5m,30m,2h,5h,10h,10h)")
	f.StringVar(&w.envelope, "envelope", "airship", "airship: id, type, offset and times around the event; none: the event itself")
	f.StringVar(&w.timeout, "timeout", "", "how long one attempt may take (default 15s)")
}

// body gives the members whose flags were given.
func (w *webhookFlags) body(cmd *cobra.Command) (map[string]any, error) {
	headers := map[string]string{}
	for _, h := range w.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usagef("--header takes name=value, not %q", h)
		}
		headers[name] = value
	}
	body := map[string]any{}
	for flag, set := range map[string]struct {
		member string
		value  any
	}{
		"name": {"name", w.name}, "description": {"description", w.description}, "batch": {"batchSize", w.batch}, "types": {"types", append([]string{}, w.types...)},
		"header": {"headers", headers}, "authorization": {"authorization", w.authorization}, "ordering": {"ordering", w.ordering},
		"retry": {"retry", append([]string{}, w.retry...)}, "envelope": {"envelope", w.envelope}, "timeout": {"timeout", w.timeout},
	} {
		if cmd.Flags().Changed(flag) {
			body[set.member] = set.value
		}
	}
	return body, nil
}

func (m *Main) createWebhook() *cobra.Command {
	var w webhookFlags
	var to, secret, signature, from string
	cmd := &cobra.Command{
		Use: "webhook STREAM", Short: "Deliver a stream's events to an address", Args: cobra.ExactArgs(1),
		Long: "Deliver the events of a stream to an HTTPS address, in signed batches (Standard Webhooks). The signing secret is shown this once.\n" +
			"It begins with the next event, or where --from says.",
		Example: "  sluice create webhook web --url https://example.com/events --batch 1 --header X-Team=blue --retry 5s,5m",
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return usagef("a webhook needs --url, the address that is delivered to")
			}
			body, err := w.body(cmd)
			if err != nil {
				return err
			}
			body["stream"], body["url"] = args[0], to
			for member, value := range map[string]string{"secret": secret, "signature": signature, "from": from} {
				if value != "" {
					body[member] = value
				}
			}
			return m.show(cmd, http.MethodPost, "/v1/webhooks", false, body, webhookColumns)
		},
	}
	w.bind(cmd)
	cmd.Flags().StringVar(&to, "url", "", "the address that is delivered to; the server's own is then SLUICE_URL or the saved login")
	cmd.Flags().StringVar(&secret, "secret", "", "signing secret of your own, whsec_… or whsk_… (default a new one)")
	cmd.Flags().StringVar(&signature, "signature", "", "v1 (default): signed with a secret that the receiver knows; v1a: with a private key, whose public key it knows")
	cmd.Flags().StringVar(&from, "from", "", "where it begins: LATEST (default), EARLIEST, an offset (exclusive), a time, or -N")
	return cmd
}

func (m *Main) listWebhooks() *cobra.Command {
	return m.reader("webhook", "List the webhooks of the project", "/v1/webhooks", webhookColumns)
}

func (m *Main) getWebhook() *cobra.Command {
	return m.named("webhook NAME", "Show a webhook, without its secrets", http.MethodGet, webhookPath, webhookColumns)
}

func (m *Main) deleteWebhook() *cobra.Command {
	return m.remover(removal{
		use: "webhook NAME", short: "Delete webhooks, with their places and dead letters", columns: webhookColumns, path: below(webhookPath),
	})
}

func (m *Main) updateWebhook() *cobra.Command {
	var w webhookFlags
	var to string
	var enable, disable bool
	cmd := &cobra.Command{
		Use: "webhook NAME", Short: "Change a webhook; it keeps its place in the stream", Args: cobra.ExactArgs(1),
		Example: "  sluice update webhook web --batch 50 --ordering none\n  sluice update webhook web --disable",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := w.body(cmd)
			if err != nil {
				return err
			}
			if to != "" {
				body["url"] = to
			}
			if enable && disable {
				return usagef("--enable or --disable, not both")
			}
			if enable || disable {
				body["enabled"] = enable
			}
			if len(body) == 0 {
				return usagef("nothing to change: see `sluice update webhook --help` for what can be")
			}
			return m.show(cmd, http.MethodPatch, webhookPath(args[0]), false, body, webhookColumns)
		},
	}
	w.bind(cmd)
	cmd.Flags().StringVar(&to, "url", "", "another address to deliver to")
	cmd.Flags().BoolVar(&enable, "enable", false, "go on delivering where it stopped")
	cmd.Flags().BoolVar(&disable, "disable", false, "deliver nothing until it is enabled")
	return cmd
}

// webhooks are the commands that do something with a webhook.
func (m *Main) webhooks() *cobra.Command {
	cmd := &cobra.Command{Use: "webhooks", Short: "Try, inspect and repair webhook deliveries", Args: cobra.ArbitraryArgs, RunE: m.group}
	post := func(path string) func(string) string {
		return func(name string) string { return webhookPath(name) + path }
	}
	cmd.AddCommand(
		m.named("test NAME", "Deliver a made-up event at once and tell what came of it", http.MethodPost, post("/test"), deliveryColumns),
		m.named("deliveries NAME", "List the last attempts to deliver, the newest first", http.MethodGet, post("/deliveries"), deliveryColumns),
		m.named("dead-letters NAME", "List the batches that were given up", http.MethodGet, post("/dead-letters"), []column{
			{"PARKED AT", "parkedAt"}, {"EVENTS", "events"}, {"ATTEMPTS", "attempts"}, {"STATUS", "status"}, {"REASON", "reason"}, {"FIRST", "firstOffset"},
			{"LAST", "lastOffset"}, {"ID", "id"},
		}),
		m.named("rotate-secret NAME", "Make a new signing secret; the old one signs beside it for 24 hours", http.MethodPost, post("/secret/rotate"),
			[]column{{"SECRET", "secret"}, {"OLD ONE SIGNS UNTIL", "oldSecretValidUntil"}}),
		m.replayWebhook(), m.verifyWebhook(),
	)
	return cmd
}

func (m *Main) replayWebhook() *cobra.Command {
	var from, to string
	var dead []string
	var all bool
	cmd := &cobra.Command{
		Use: "replay NAME", Short: "Deliver a part of the log again, or dead letters", Args: cobra.ExactArgs(1),
		Example: "  sluice webhooks replay web --from 2026-11-20T08:00:00Z --to 2026-11-20T09:00:00Z\n  sluice webhooks replay web --all-dead-letters",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			switch {
			case all && len(dead) == 0 && from == "":
				body["allDeadLetters"] = true
			case len(dead) > 0 && !all && from == "":
				body["deadLetters"] = dead
			case from != "" && !all && len(dead) == 0:
				body["from"] = from
				if to != "" {
					body["to"] = to
				}
			default:
				return usagef("give --from (and --to), --dead-letter or --all-dead-letters")
			}
			return m.show(cmd, http.MethodPost, webhookPath(args[0])+"/replay", false, body, []column{{"REPLAY", "id"}})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "behind which position: EARLIEST, an offset (exclusive), a time, or -N")
	cmd.Flags().StringVar(&to, "to", "", "up to which: an offset (inclusive), or a time (default the end)")
	cmd.Flags().StringArrayVar(&dead, "dead-letter", nil, "id of a dead letter; may be given several times")
	cmd.Flags().BoolVar(&all, "all-dead-letters", false, "every dead letter")
	return cmd
}

func (m *Main) verifyWebhook() *cobra.Command {
	var secret, headers string
	var anyAge bool
	cmd := &cobra.Command{
		Use: "verify BODY-FILE", Short: "Check the signature of a delivery that was received", Args: cobra.ExactArgs(1),
		Long: "Check that a delivery was signed with a secret and not more than five minutes ago. BODY-FILE holds the body exactly as it was received\n" +
			"(- for stdin), the file of --headers its headers, one a line as `name: value`. Exit 1 and the reason when it was not. No server is asked.",
		Example: "  sluice webhooks verify --secret whsec_… --headers headers.txt body.json",
		RunE: func(_ *cobra.Command, args []string) error {
			if secret == "" || headers == "" {
				return usagef("give --secret and --headers")
			}
			text, err := readGiven(headers)
			if err != nil {
				return fmt.Errorf("the headers: %w", err)
			}
			head, err := readHeaders(text)
			if err != nil {
				return fmt.Errorf("%s: %w", headers, err)
			}
			var body []byte
			if args[0] == "-" {
				body, err = io.ReadAll(m.Stdin)
			} else {
				body, err = readGiven(args[0])
			}
			if err != nil {
				return fmt.Errorf("the body: %w", err)
			}
			var now time.Time
			if !anyAge {
				now = time.Now()
			}
			if err := webhook.Verify(secret, head, body, now); err != nil {
				return err
			}
			_, err = fmt.Fprintln(m.Stdout, "valid")
			return err
		},
	}
	cmd.Flags().StringVar(&secret, "secret", "", "the webhook's signing secret, whsec_…, or public key, whpk_…")
	cmd.Flags().StringVar(&headers, "headers", "", "file with the headers of the delivery")
	cmd.Flags().BoolVar(&anyAge, "any-age", false, "do not look at the time")
	return cmd
}

// readHeaders reads headers as a terminal shows them; a request or status line before them is passed over.
func readHeaders(text []byte) (http.Header, error) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if !bytes.Contains(first, []byte(": ")) {
		text = rest
	}
	r := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.TrimRight(text, "\r\n")), strings.NewReader("\r\n\r\n"))))
	head, err := r.ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("these are not headers, one a line as name: value: %w", err)
	}
	return http.Header(head), nil
}
