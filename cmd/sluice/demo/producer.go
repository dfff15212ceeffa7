package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/client"
	"sluice/loadtest/verify"
	"sluice/relay/sample"
)

const (
	producers = 4
	// closingProducer sends one event a round, its last; closingMark begins its markers.
	closingProducer = 999
	closingMark     = `"p999-`
)

// producer posts made-up events, one at a time, each when it is due. One goroutine.
type producer struct {
	number    uint32
	sent      uint64
	generator *sample.Generator
	pause     time.Duration
	client    *client.Client
	event     []byte
}

func newProducer(number uint32, o Options, c *client.Client) *producer {
	return &producer{
		number:    number,
		generator: sample.New(o.Seed+uint64(number), 0),
		pause:     max(time.Second*producers/time.Duration(max(o.Rate, 1)), time.Microsecond),
		client:    c,
	}
}

// run sends a round's share of events, or until ctx ends. The error is a refusal that waiting does not mend.
func (p *producer) run(ctx context.Context, books *books) error {
	tick := time.NewTicker(p.pause)
	defer tick.Stop()
	for range perRound / producers {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		p.sent++
		var ref string
		p.event, ref = p.generator.Event(p.event[:0], sample.Marker{Producer: p.number, N: p.sent})
		if err := p.post(ctx, ref, books.round()); err != nil {
			return err
		}
	}
	return nil
}

// postLast sends an event that every reader may see.
func (p *producer) postLast(ctx context.Context, books *books) error {
	p.sent++
	for range 1000 {
		p.event = p.generator.Example(p.event[:0], sample.Marker{Producer: p.number, N: p.sent})
		if len(gjson.GetBytes(p.event, "strmMeta.consentLevels").Array()) == 4 {
			return p.post(ctx, sample.ExampleRef, books.round())
		}
	}
	return errors.New("nobody of the made-up people agrees to every consent level")
}

// post writes an event down, sends it, and writes down the answer.
func (p *producer) post(ctx context.Context, ref string, ledger *verify.Ledger) error {
	marker, err := ledger.Sending(p.event)
	if err != nil {
		return err
	}
	// A post that has begun is finished: one cut off at the end would leave its outcome open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err = p.client.Post(ctx, ref, p.event)
	var no *client.Refusal
	switch {
	case err == nil:
		ledger.Settle(marker, verify.Stored)
	case errors.As(err, &no) && no.Passing():
		ledger.Settle(marker, verify.Refused)
	case errors.As(err, &no) && no.Status < 500:
		ledger.Settle(marker, verify.Refused)
		return fmt.Errorf("a made-up event was refused: %w", err)
	case no == nil:
		return err // nobody answers any more
	}
	return nil
}
