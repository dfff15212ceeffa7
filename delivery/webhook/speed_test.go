package webhook_test

import (
	"bytes"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// BenchmarkDeliveries measures deliveries of single events to a receiver in the same process; SLUICE_ORDERING=fifo measures one at a time.
func BenchmarkDeliveries(b *testing.B) {
	ordering := "none"
	if o := os.Getenv("SLUICE_ORDERING"); o != "" {
		ordering = o
	}
	w := newWorld(b, b.TempDir())
	st := w.stream("source")
	var taken atomic.Int64
	url := fastReceiver(b, func(*fasthttp.RequestCtx) { taken.Add(1) })
	w.hook(st, url, func(s *registry.WebhookSpec) { s.Ordering, s.BatchSize, s.Envelope = ordering, 1, "airship" })
	w.send(st, 0, 1000)
	b.ReportAllocs()
	for sent := 1000; sent < b.N; sent += 1000 {
		w.send(st, 0, min(1000, b.N-sent))
	}
	total := int64(max(b.N, 1000))
	n := w.node(webhook.Config{}, alone)
	before := cpu()
	b.ResetTimer()
	for taken.Load() < total {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(total), "cpu-µs/delivery")
	n.stop()
}

// BenchmarkFloor is the same bodies posted by a fasthttp client, 64 at a time.
func BenchmarkFloor(b *testing.B) {
	flying := 64
	if os.Getenv("SLUICE_ORDERING") == "fifo" {
		flying = 1
	}
	var taken atomic.Int64
	url := fastReceiver(b, func(*fasthttp.RequestCtx) { taken.Add(1) })
	client := &fasthttp.HostClient{Addr: url[len("http://"):], MaxConns: 64}
	body := bytes.Repeat([]byte("x"), 350)
	b.SetParallelism(max(1, flying/runtime.GOMAXPROCS(0)))
	before := cpu()
	b.ResetTimer()
	post := func() {
		req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		req.SetRequestURI(url)
		req.Header.SetMethod("POST")
		req.SetBodyRaw(body)
		if err := client.DoTimeout(req, res, 5*time.Second); err != nil {
			b.Error(err)
		}
		fasthttp.ReleaseRequest(req)
		fasthttp.ReleaseResponse(res)
	}
	if flying == 1 {
		for range b.N {
			post()
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				post()
			}
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/delivery")
	client.CloseIdleConnections()
}

func fastReceiver(b *testing.B, handle fasthttp.RequestHandler) string {
	b.Helper()
	l, err := listenLoopback()
	if err != nil {
		b.Fatal(err)
	}
	s := &fasthttp.Server{Handler: handle}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	b.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
