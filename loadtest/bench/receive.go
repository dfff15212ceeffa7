package main

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"

	"github.com/valyala/fasthttp"
)

// received is what a receiver of webhooks has got at /hook since it started. Every figure counts events, one a delivery.
type received struct {
	Events   uint64 `json:"events"`   // each once
	Again    uint64 `json:"again"`    // came before
	Strange  uint64 `json:"strange"`  // without a marker
	Order    uint64 `json:"order"`    // not the next of its producer
	Newest   uint64 `json:"newest"`   // the highest number
	Floor    uint64 `json:"floor"`    // posts to /floor
	Sampling []byte `json:"sampling"` // a body
}

// mostNumbers bounds the numbers of events, and so the receiver's memory.
const mostNumbers = 1 << 30

// hookReceiver answers posts with 200. What is posted to /hook goes into the ledger; /floor does the same work and counts apart, so that a
// floor that repeats its bodies posts to the same kind of receiver.
type hookReceiver struct {
	mu   sync.Mutex
	got  received
	seen []uint64 // a bit for each number of the one producer
}

// serveReceiver is the floor that receives, a process of its own.
func serveReceiver(l net.Listener) {
	r := &hookReceiver{}
	s := &fasthttp.Server{Handler: r.serve, NoDefaultServerHeader: true}
	_ = s.Serve(l) // ends with the process
}

func (r *hookReceiver) serve(ctx *fasthttp.RequestCtx) {
	switch string(ctx.Path()) {
	case "/hook":
		r.take(ctx.PostBody(), false)
	case "/floor":
		r.take(ctx.PostBody(), true)
	case "/received":
		r.mu.Lock()
		text, err := json.Marshal(r.got)
		r.mu.Unlock()
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		ctx.SetBody(text)
	default:
		ctx.Error("not here", fasthttp.StatusNotFound)
	}
}

func (r *hookReceiver) take(body []byte, floor bool) {
	_, n, ok := markerIn(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if floor {
		r.got.Floor++
		return
	}
	if !ok || n > mostNumbers {
		r.got.Strange++
		return
	}
	if r.got.Sampling == nil {
		r.got.Sampling = append([]byte(nil), body...)
	}
	if grow := int(n/64) + 1 - len(r.seen); grow > 0 {
		r.seen = append(r.seen, make([]uint64, grow)...)
	}
	bit := uint64(1) << (n % 64)
	if r.seen[n/64]&bit != 0 {
		r.got.Again++
		return
	}
	r.seen[n/64] |= bit
	r.got.Events++
	if n != r.got.Newest+1 {
		r.got.Order++
	}
	r.got.Newest = max(r.got.Newest, n)
}

// look asks a receiver for what it has got.
func (f *floorProcess) look() (received, error) {
	var got received
	status, body, err := fasthttp.Get(nil, "http://"+f.addr+"/received")
	if err != nil {
		return got, err
	}
	if status != fasthttp.StatusOK {
		return got, fmt.Errorf("the receiver said %d", status)
	}
	return got, json.Unmarshal(body, &got)
}
