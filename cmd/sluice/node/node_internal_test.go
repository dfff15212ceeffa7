package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// trace writes down who ended.
type trace struct {
	mu    sync.Mutex
	ended []string
}

func (r *trace) part(name string, lasts time.Duration, err error) (string, func(context.Context) error) {
	return name, func(ctx context.Context) error {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ended = append(r.ended, name)
		}()
		if lasts > 0 {
			time.Sleep(lasts)
			return err
		}
		<-ctx.Done()
		time.Sleep(time.Second) // work in hand: nobody behind it may stop meanwhile
		return nil
	}
}

// Parts stop in the order of the data's flow, each when those before it have finished.
func TestStopOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &trace{}
		s := &store{died: make(chan struct{}, 1)}
		for _, name := range []string{"engine", "relay", "gateway"} {
			s.start(r.part(name, 0, nil))
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if want := []string{"gateway", "relay", "engine"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended %v, want %v", r.ended, want)
		}
	})
}

// A part that ends on its own is the end of all, in the same order, with its name in the reason; so is one that ends without an error.
func TestDeathOfAPart(t *testing.T) {
	broken := errors.New("disk gone")
	for _, died := range []error{broken, nil} {
		synctest.Test(t, func(t *testing.T) {
			r := &trace{}
			s := &store{died: make(chan struct{}, 1)}
			s.start(r.part("engine", 0, nil))
			s.start(r.part("relay", time.Minute, died))
			s.start(r.part("gateway", 0, nil))
			<-s.died
			err := s.stop()
			if err == nil || !strings.HasPrefix(err.Error(), "relay: ") || died != nil && !errors.Is(err, died) {
				t.Errorf("the reason is %v", err)
			}
			if want := []string{"relay", "gateway", "engine"}; !slices.Equal(r.ended, want) {
				t.Errorf("ended %v, want %v", r.ended, want)
			}
		})
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", ":8080": "localhost:8080", "0.0.0.0:1": "localhost:1", "[::]:1": "localhost:1", "[::1]:1": "[::1]:1", "example.com:443": "example.com:443",
	} {
		if got := reachable(address); got != want {
			t.Errorf("%s is reached at %s, want %s", address, got, want)
		}
	}
}
