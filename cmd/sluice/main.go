// Sluice is a webhook and streaming relay gateway. Events come in over HTTP; each is held to its data contract, has its personal fields
// encrypted, and is written once to a durable log; every consumer then sees exactly what the event's consent allows.
//
// The whole street, and the package of each stretch:
//
//	request → relay/gateway (who calls, which route) → relay (Accept) → relay/contract (one pass: schema, rules, personal fields)
//	        → relay/consent (encrypt under the key of this person and day) → relay/engine (one commit, one fsync) → 204
//
//	log → relay/engine (tail) → relay (View: drop, decrypt; render once for all) → delivery/stream (lines, server-sent events, websockets) → reader
//
// Beside it stand relay/registry, the control plane, auth, who may do what, config, what a node is told, and loadtest, which measures
// and verifies. This program is cmd/sluice/command: a gateway (serve, joined in cmd/sluice/node), a demonstration (cmd/sluice/demo) and a
// client of its HTTP API (cmd/sluice/client).
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"sluice/cmd/sluice/command"
)

func main() {
	leanHeap()
	ctx, stop := signal.NotifyContext(context.Background(), orders()...)
	context.AfterFunc(ctx, stop) // a second signal finds its default again: it ends the process at once
	m := command.Main{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Environ()}
	os.Exit(m.Run(ctx, os.Args[1:]))
}

// orders are the signals to stop. A terminal that is closed says SIGHUP, but for who was started by nohup to outlive it.
func orders() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	return []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
}

// leanHeap lets the heap grow by half of what lives before it is collected, not by all of it; any other GOGC than 100 holds. What reading
// the log leaves behind is large and dies young: ten replays at once then take half the memory, and the collector's share of the
// processor stays too small to be measured.
func leanHeap() {
	if was := debug.SetGCPercent(50); was != 100 {
		debug.SetGCPercent(was)
	}
}
