package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// sealer appends the encrypted form of a personal value, in base64. One goroutine at a time.
type sealer func(dst, plain []byte) []byte

func ownSealer(key *consent.Key) func() sealer { return func() sealer { return key.Seal } }

// tinkSealer encrypts with the library that everybody else has. It panics where that fails, which is
// for values of gigabytes alone.
func tinkSealer() sealer {
	siv, err := subtle.NewAESSIV(make([]byte, subtle.AESSIVKeySize))
	if err != nil {
		panic(err)
	}
	return func(dst, plain []byte) []byte {
		sealed, err := siv.EncryptDeterministically(plain, nil)
		if err != nil {
			panic(err)
		}
		return base64.StdEncoding.AppendEncode(dst, sealed)
	}
}

// sealingKey gives a key as sluice encrypts with, so that the floor is sluice's own encryption and
// nothing else. The store it is made in is closed when this returns; a key outlives it.
func (b *bench) sealingKey(ctx context.Context) (key *consent.Key, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	dir := filepath.Join(b.dir, "floor")
	e, err := engine.Open(ctx, engine.Config{Dir: filepath.Join(dir, "log"), Log: quiet})
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	running := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	go func() { running <- e.Run(run) }()
	defer func() {
		stop()
		err = errors.Join(err, <-running, e.Close())
	}()
	v, err := consent.Open(ctx, e.Cells(), consent.Config{Dir: filepath.Join(dir, "keys"), Log: quiet})
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	s, err := e.NewStream(ctx, engine.StreamID{1}, "floor")
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	key, _, _, err = v.KeyFor(ctx, s.ID, sealedID, sealedSession, time.Now())
	return key, err
}
