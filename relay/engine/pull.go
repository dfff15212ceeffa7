package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullBytes is what one pull may bring; two are outstanding, so that one is always open while the next is
	// asked for. Never by count: a pull of many large blocks overruns the server's limit for a connection.
	pullBytes  = 1 << 20
	pullExpiry = 30 * time.Second
	pullBeat   = 2 * time.Second
	// pullSilence without message or heartbeat means that the consumer or the connection is gone.
	pullSilence = 3 * pullBeat
	// pullQueue holds what two pulls can bring: the smallest message with its protocol takes more than 256 bytes.
	pullQueue = 8192
)

// puller delivers all messages of a JetStream stream from a sequence on, in order and once, and mends itself: when
// anything is missing or silent it makes a new consumer behind the last message it delivered. One goroutine.
type puller struct {
	link    *link
	js      jetstream.JetStream
	log     *slog.Logger
	stream  string
	filters []string // subjects; none for all
	next    uint64   // sequence to go on from
	max     int      // bytes one pull asks for, at least one message of the greatest length

	heard   *atomic.Int64              // Unix nanoseconds of the last message or heartbeat; may be nil
	started func(pending uint64) error // a consumer was made; so many messages wait in it. An error ends run with it
	idle    func()                     // a heartbeat: nothing waits
	deliver func(m stored, more bool)  // one message; more: others wait behind it
}

// errStop wraps an error that another session would not mend.
type errStop struct{ error }

// run delivers until ctx ends, and then returns nil.
func (p *puller) run(ctx context.Context) error {
	for pause := time.Duration(0); ; {
		began := time.Now()
		err := p.session(ctx)
		if ctx.Err() != nil || p.link.nc.IsClosed() {
			return nil
		}
		var stop errStop
		if errors.As(err, &stop) {
			return stop.error
		}
		if time.Since(began) > 10*time.Second {
			pause = 0
		}
		pause = min(max(2*pause, 10*time.Millisecond), 500*time.Millisecond)
		p.log.Debug("pulling again", slog.String("stream", p.stream), slog.Uint64("from", p.next), slog.Any("error", err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// session pulls through one consumer until something is wrong with it.
func (p *puller) session(ctx context.Context) error {
	lost := p.link.lost()
	asking, cancel := p.link.bounded(ctx)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		Name:              "sluice-" + randomName(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(p.next, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    p.filters,
		MaxWaiting:        8,
		InactiveThreshold: 2 * pullExpiry,
		MemoryStorage:     true,
		Replicas:          1,
	}
	cons, err := p.js.CreateConsumer(asking, p.stream, cfg)
	if err != nil {
		return fmt.Errorf("consumer of %s: %w", p.stream, p.link.why(asking, err))
	}
	name := cons.CachedInfo().Name
	defer func() {
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		// A consumer that cannot be removed now removes itself after InactiveThreshold.
		_ = p.js.DeleteConsumer(dctx, p.stream, name)
	}()
	inbox := p.link.nc.NewInbox()
	queue := make(chan *nats.Msg, pullQueue)
	sub, err := p.link.nc.ChanSubscribe(inbox+".*", queue)
	if err != nil {
		return fmt.Errorf("consumer of %s: %w", p.stream, err)
	}
	defer sub.Unsubscribe()

	request, err := json.Marshal(map[string]any{
		"expires": pullExpiry, "batch": 1_000_000, "max_bytes": max(pullBytes, p.max), "idle_heartbeat": pullBeat,
	})
	if err != nil {
		return err
	}
	asked := 0
	ask := func() error {
		asked++
		return p.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+name, inbox+"."+strconv.Itoa(asked), request)
	}
	if err := errors.Join(ask(), ask()); err != nil {
		return err
	}
	if p.started != nil {
		if err := p.started(cons.CachedInfo().NumPending); err != nil {
			return errStop{err}
		}
	}
	return p.receive(ctx, queue, lost, ask)
}

func (p *puller) receive(ctx context.Context, queue <-chan *nats.Msg, lost <-chan struct{}, ask func() error) error {
	silence := time.NewTimer(pullSilence)
	defer silence.Stop()
	heard, delivered := true, uint64(0)
	for {
		var m *nats.Msg
		select {
		case m = <-queue:
		default:
			select {
			case m = <-queue:
			case <-ctx.Done():
				return nil
			case <-lost:
				return errLost
			case <-silence.C:
				// The timer runs on while messages come: restarting it for each would cost more than they do.
				if !heard {
					return errors.New("nothing was heard of the consumer")
				}
				heard = false
				silence.Reset(pullSilence)
				continue
			}
		}
		heard = true
		p.hear()
		if status := m.Header.Get(hdrStatus); status != "" && m.Reply == "" {
			if status == "100" && p.idle != nil {
				p.idle()
			}
			again, err := pullStatus(status, m.Header.Get(hdrReason))
			if err == nil && again {
				err = ask()
			}
			if err != nil {
				return err
			}
			continue
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("message of %s: %w", p.stream, err)
		}
		delivered++
		if meta.Sequence.Consumer != delivered {
			return errors.New("a message was lost on the way")
		}
		if meta.Sequence.Stream < p.next {
			continue
		}
		p.next = meta.Sequence.Stream + 1
		p.deliver(stored{subject: m.Subject, seq: meta.Sequence.Stream, time: meta.Timestamp, header: m.Header, data: m.Data}, meta.NumPending > 0)
	}
}

// pullStatus says what a status message means: a pull that has ended is asked for again, anything else that is not a
// heartbeat ends the session.
func pullStatus(status, reason string) (again bool, err error) {
	switch {
	case status == "100":
		return false, nil
	case status == "408", status == "409" && (reason == "Message Size Exceeds MaxBytes" || reason == "Batch Completed"):
		return true, nil
	}
	return false, fmt.Errorf("pull ended: status %s %s", status, reason)
}

func (p *puller) hear() {
	if p.heard != nil {
		p.heard.Store(time.Now().UnixNano())
	}
}
