package main

import (
	"errors"
	"fmt"
	"time"

	"sluice/loadtest/wire"
)

// checkLog reads the source stream from its beginning: every acknowledged event once, each producer's
// in order, and nothing behind them.
func (b *bench) checkLog(t *target, acknowledged int) error {
	conn, err := wire.Dial(t.Addr, time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := conn.Open(getEvents(t.Addr, t.stream, t.write, "from=EARLIEST", false))
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	var seq sequence
	n := 0
	err = wire.Lines(s, s.Gzip, func(line []byte) error {
		if err := seq.check(line); err != nil {
			return err
		}
		if n++; n < acknowledged {
			return nil
		}
		if n == acknowledged { // what is doubled would come right behind
			return conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		}
		return fmt.Errorf("more events than the %d acknowledged", acknowledged)
	})
	var timeout interface{ Timeout() bool }
	if n == acknowledged && errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return fmt.Errorf("read the log: %d of %d events: %w", n, acknowledged, err)
}
