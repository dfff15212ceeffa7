package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"sluice/cmd/sluice/client"
	"sluice/relay/sample"
)

const (
	showEvery = 2 * time.Second // an event of each reader
	tellEvery = 5 * time.Second // the counts
	lineWidth = 240             // letters of an event shown
	column    = 18              // letters of a consumer's label
)

// screen is what a person sees. Safe for concurrent use.
type screen struct {
	mu   sync.Mutex
	out  io.Writer
	next map[string]time.Time // when the next event of a reader may be shown
}

// show prints an event of a reader, unless one was shown just now: a flood tells nobody anything.
func (s *screen) show(label string, event []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.next[label]) {
		return
	}
	s.next[label] = now.Add(showEvery)
	text := string(event)
	if runes := []rune(text); len(runes) > lineWidth {
		text = string(runes[:lineWidth]) + "…"
	}
	fmt.Fprintf(s.out, "%-*s %s\n", column, label, text)
}

// introduce says what there is to see, with commands to paste.
func (s *screen) introduce(c *client.Client, source streamInfo, consumers []consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "Sluice runs at %s, with an engine of its own in a temporary folder.\n\n", c.Base)
	fmt.Fprintf(s.out, "%d producers post made-up events to stream %s; they come out again as\n", producers, source.name)
	for _, k := range consumers {
		fmt.Fprintf(s.out, "  %-*s %s\n", column, k.label, k.says)
	}
	fmt.Fprintf(s.out, "Beside them a test server makes up the lives of mobile users, read as\n  %-*s %s\n", column, testLabel, "a streaming client of Airship reads them, from the first on")
	auth := "-H 'Authorization: Bearer " + c.Token + "'"
	event := `{"strmMeta":{"eventContractRef":"` + sample.ExampleRef + `","consentLevels":[0,1,2]},"uniqueIdentifier":"me","consistentValue":"my-session","someSensitiveValue":"secret","notSensitiveValue":"pasted"}`
	fmt.Fprintf(s.out, `
To paste into another terminal while this runs:

  # the last three events with consent level 2, then all that come
  curl -sN %[2]s '%[1]s/v1/streams/demo-2/events?from=-3'

  # an event of your own: encrypted in demo, open up to level 2 in demo-2
  curl -si %[2]s -H 'Strm-Schema-Ref: %[3]s' -d '%[4]s' '%[1]s/event?stream=demo'

  # forget yourself: these fields never open again
  curl -s %[2]s -X DELETE '%[1]s/v1/data-subjects/my-session'

  # as a streaming client would: the events of one stream in their envelope, from the start
  curl -sN --compressed %[2]s -H 'Accept: application/vnd.urbanairship+x-ndjson; version=3;' -d '{"start":"EARLIEST"}' '%[1]s/api/events?stream=demo-2'

  # the same as the test server shows it, of lives that nobody lives
  curl -sN --compressed -u %[7]s:%[8]s -d '{"start":"EARLIEST"}' '%[1]s/api/events/'

  # who reads demo-2, and how far each is
  curl -s %[2]s '%[1]s/v1/consumers/demo-2'

  # all streams
  curl -s %[2]s '%[1]s/v1/streams'

  # as a browser would, without a header: server-sent events
  curl -sN '%[1]s/sse?stream=demo-0-1&from=-2&access_token=%[5]s'

  # what the webhook delivered last, and what its receiver said
  curl -s %[2]s '%[1]s/v1/webhooks/%[6]s/deliveries'

`, c.Base, auth, sample.ExampleRef, event, c.Token, hookName, testUser, testPassword)
}

// tell prints the counts.
func (s *screen) tell(b *books) {
	accepted, received := b.counts()
	var parts []string
	for i, p := range b.pages {
		parts = append(parts, fmt.Sprintf("%s %d", p.label, received[i]))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%d accepted; received: %s\n", accepted, strings.Join(parts, ", "))
}

// summary prints the books of all closed rounds and tells whether they balance.
func (s *screen) summary(b *books, l *lives) (balanced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(s.out, "\n%d events accepted", b.accepted)
	if b.refused > 0 {
		fmt.Fprintf(s.out, ", %d refused", b.refused)
	}
	if b.unsettled > 0 {
		fmt.Fprintf(s.out, ", %d without an answer", b.unsettled)
	}
	fmt.Fprintln(s.out)
	balanced = b.accepted > 0
	for _, p := range b.pages {
		p.mu.Lock()
		fmt.Fprintf(s.out, "  %-*s received %d, dropped for consent %d", column, p.label, p.total.Received, p.total.Dropped)
		if p.unit != "" {
			fmt.Fprintf(s.out, ", in %d %s", p.units, p.unit)
		}
		if p.wrong > 0 {
			fmt.Fprintf(s.out, ", and %d without a valid signature were turned away", p.wrong)
		}
		if p.others > 0 {
			fmt.Fprintf(s.out, ", and %d that others sent", p.others)
		}
		fmt.Fprintln(s.out)
		if err := p.total.Err(); err != nil {
			balanced = false
			fmt.Fprintf(s.out, "    %v\n", err)
		}
		// What had no answer may be there or not; without such, all must add up.
		if missing := b.accepted - p.total.Received - p.total.Dropped; b.unsettled == 0 && missing != 0 {
			balanced = false
			fmt.Fprintf(s.out, "    %d are not accounted for\n", missing)
		}
		p.mu.Unlock()
	}
	received, fault := l.verdict()
	fmt.Fprintf(s.out, "  %-*s received %d, as the log has them\n", column, testLabel, received)
	if fault != nil {
		balanced = false
		fmt.Fprintf(s.out, "    but %v\n", fault)
	}
	if balanced {
		fmt.Fprintln(s.out, "nothing lost, nothing doubled")
	}
	return balanced
}
