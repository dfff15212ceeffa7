package gateway

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterHoldsTheRate(t *testing.T) {
	var l limiter
	now := time.Hour
	for i := range 10 {
		if wait := l.take(now, 10, 1); wait != 0 {
			t.Fatalf("event %d of the first second has to wait %v", i, wait)
		}
	}
	wait := l.take(now, 10, 1)
	if wait != 100*time.Millisecond {
		t.Fatalf("the eleventh has to wait %v", wait)
	}
	if l.room(now, 10) != wait {
		t.Fatalf("room says %v", l.room(now, 10))
	}
	now += wait
	if wait := l.take(now, 10, 1); wait != 0 {
		t.Fatalf("after the wait: %v more", wait)
	}
	if l.take(now, 10, 1) == 0 {
		t.Fatal("two came in where there was room for one")
	}
	// However long nobody came, no more than a second's worth comes at once.
	now += time.Hour
	in := 0
	for l.take(now, 10, 1) == 0 {
		in++
	}
	if in != 10 {
		t.Fatalf("%d came in at once", in)
	}
}

func TestLimiterPaysBack(t *testing.T) {
	var l limiter
	now := time.Hour
	l.take(now, 100, 1000)
	if wait := l.room(now, 100); wait < 9*time.Second || wait > 10*time.Second {
		t.Fatalf("after ten seconds' worth: wait %v", wait)
	}
	if l.room(now+10*time.Second, 100) != 0 {
		t.Fatal("not paid back after ten seconds")
	}
}

func TestLimiterZeroLimitsNothing(t *testing.T) {
	var l limiter
	for range 1000 {
		if l.take(0, 0, 1) != 0 {
			t.Fatal("limited without a limit")
		}
	}
	l.take(0, 0, 1<<30)
	if l.room(0, 0) != 0 || l.pace.Load() != nil {
		t.Fatal("charged without a limit")
	}
}

func TestLimiterManyAtOnce(t *testing.T) {
	// Many times over: that the first two come at once, before there is a rate, takes luck.
	for range 20_000 {
		var l limiter
		var in, ready atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				ready.Add(1)
				for n := 1; ready.Load() < 2; n++ {
					if n%1000 == 0 { // the other may need this processor
						runtime.Gosched()
					}
				}
				for range 20 {
					if l.take(time.Hour, 20, 1) == 0 {
						in.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if in.Load() != 20 {
			t.Fatalf("%d came in, not 20", in.Load())
		}
	}
}

func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		tl := tally{most: 2}
		if !tl.enter(ctx, "a") || !tl.enter(ctx, "a") || tl.enter(ctx, "a") {
			t.Fatal("the third of two came in, or one of two did not")
		}
		if !tl.enter(ctx, "b") {
			t.Fatal("another token pays for the first")
		}
		tl.leave("a")
		if !tl.enter(ctx, "a") {
			t.Fatal("a place that was left is not free")
		}
		// Two are back before the ends of what they replace are heard, and one that is one too many.
		in := make(chan bool, 3)
		for range 3 {
			go func() { in <- tl.enter(ctx, "a") }()
		}
		time.Sleep(overlap / 2)
		tl.leave("b")
		tl.leave("a")
		tl.leave("a")
		for _, want := range []bool{true, true, false} {
			if got := <-in; got != want {
				t.Errorf("one that waits: %t, not %t", got, want)
			}
		}
		stopped, stop := context.WithCancel(ctx)
		stop()
		if tl.enter(stopped, "a") {
			t.Error("one came in without a place")
		}
		tl.leave("a")
		tl.leave("a")
		if len(tl.open) != 0 {
			t.Fatalf("%d tokens are remembered for nothing", len(tl.open))
		}
	})
}
