// Package demo shows the whole street of Sluice on a fresh machine, and proves it: producers post made-up events over real HTTP to a
// node in this process, consumers take them out again at every door, as lines, over a websocket, by a webhook and as files, and
// loadtest/verify, which shares no code with what it checks, works out from what was sent what each consumer has to see. In the end nothing may be lost, doubled, out of order, or shown against consent.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/cmd/sluice/client"
)

// Options are what a demo can be told.
type Options struct {
	For  time.Duration // end after so long; 0: when the context ends
	Rate int           // events a second of all producers together, at least 1
	Seed uint64        // of the made-up events; the same seed sends the same events
	Out  io.Writer     // where it is told what happens; written by one goroutine at a time
}

// Settings are what a node has to be told for a demo, as the variables of its environment: webhooks may be sent to this machine, and
// exports have short windows.
func Settings(dir, listen string) []string {
	return []string{
		"SLUICE_LISTEN=" + listen, "SLUICE_DATA=" + dir, "SLUICE_LOG_LEVEL=warn",
		"SLUICE_WEBHOOKS_ALLOW_CIDRS=127.0.0.1", "SLUICE_EXPORT_MIN_INTERVAL=" + exportInterval.String(),
	}
}

// Server runs a node for the demo: a fresh one with the Settings of dir and listen, with that admin token and with a test server. It calls ready once with
// the URL it is reached at, and returns after ctx ended, when everything accepted is in the log.
type Server func(ctx context.Context, dir, listen, adminToken string, ready func(url string)) error

// ErrUnbalanced is the verdict that something was lost, doubled, out of order or shown against consent; the summary says what.
var ErrUnbalanced = errors.New("what arrived is not what was sent")

// Run starts a server and streams, lets events run until the time is over or ctx ends, and prints a summary. The error is ErrUnbalanced
// when the books do not balance, else what broke.
func Run(ctx context.Context, o Options, serve Server) (err error) {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	admin := "demo-" + rand.Text()

	// The server outlives what talks to it, whichever way the demo ends.
	serverCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serve(serverCtx, filepath.Join(dir, "data"), listenOn(), admin, func(url string) { started <- url })
	}()
	var url string
	select {
	case url = <-started:
	case err := <-ended:
		stop()
		return fmt.Errorf("the server did not start: %w", err)
	}
	showCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		err := <-ended
		cancel() // without a server there is nothing to show
		stopped <- err
	}()
	err = show(showCtx, o, url, admin, dir)
	stop()
	return errors.Join(err, <-stopped)
}

// listenOn is the usual address where that is free, so that pasted commands need no --url, else any free port.
func listenOn() string {
	const usual = "127.0.0.1:8080"
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return usual
}

// show makes the streams, opens the readers, lets the producers run, and balances the books.
func show(ctx context.Context, o Options, url, admin, dir string) error {
	c, err := client.New(url, admin, "default", "sluice-demo", "")
	if err != nil {
		return err
	}
	defer c.Close()
	streams, err := makeStreams(ctx, c)
	if err != nil {
		return err
	}
	// Consumers outlive the producers: what was accepted has to arrive before they may stop.
	readCtx, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	reading, readCtx := errgroup.WithContext(readCtx)
	consumers, lives, err := doors(readCtx, c, streams, dir)
	screen := &screen{out: o.Out, next: map[string]time.Time{}}
	books := newBooks(consumers)
	books.open()
	if err != nil {
		stopReading()
	} else {
		screen.introduce(c, streams[0], consumers)
	}
	for _, p := range books.pages {
		reading.Go(func() error { return p.read(readCtx, p, screen) })
	}
	if lives != nil {
		reading.Go(func() error { return lives.run(readCtx, screen) })
	}
	if err != nil {
		return errors.Join(err, reading.Wait())
	}
	err = send(ctx, readCtx, o, c, streams[0], books, screen)
	stopReading()
	err = errors.Join(err, reading.Wait())
	if balanced := screen.summary(books, lives); !balanced {
		err = errors.Join(ErrUnbalanced, err)
	}
	return err
}

// send lets the producers run, round by round, until the time is over or ctx ends, and after each round waits for the readers and closes
// its books. readCtx ends when a reader has broken off.
func send(ctx, readCtx context.Context, o Options, c *client.Client, to streamInfo, books *books, screen *screen) error {
	token, _, err := c.AccessToken(ctx, to.creds)
	if err != nil {
		return err
	}
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(readCtx, cancel)()
	telling := time.NewTicker(tellEvery)
	defer telling.Stop()
	sender := c.As(token)
	var crew []*producer
	for n := range producers {
		crew = append(crew, newProducer(uint32(n), o, sender))
	}
	closing := newProducer(closingProducer, o, sender)
	for ctx.Err() == nil {
		roundCtx, over := context.WithTimeout(ctx, roundTime)
		sending, sendCtx := errgroup.WithContext(roundCtx)
		for _, p := range crew {
			sending.Go(func() error { return p.run(sendCtx, books) })
		}
		done := make(chan error, 1)
		go func() { done <- sending.Wait() }()
		for ended := false; !ended; {
			select {
			case err = <-done:
				ended = true
			case <-telling.C:
				screen.tell(books)
			}
		}
		over()
		if err == nil {
			err = closing.postLast(context.WithoutCancel(ctx), books)
		}
		if err == nil {
			err = books.await(readCtx)
		}
		books.close()
		books.open()
		if err != nil {
			return err
		}
		if sender.Token, _, err = c.AccessToken(context.WithoutCancel(ctx), to.creds); err != nil {
			return err
		}
	}
	return nil
}
