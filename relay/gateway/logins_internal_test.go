package gateway

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func guesser(account byte, from string) loginKey {
	k := loginKey{from: addressKey(netip.MustParseAddr(from))}
	k.account[0] = account
	return k
}

func TestLoginsSlowDown(t *testing.T) {
	var l logins
	now := time.Hour
	k := guesser(1, "192.0.2.1")
	var waits []time.Duration
	for range loginsFree + 8 {
		now += l.wait(k, now)
		l.wrong(k, now)
		waits = append(waits, l.wait(k, now))
	}
	want := "[0s 0s 0s 0s 1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s]"
	if got := fmt.Sprint(waits); got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
	for name, other := range map[string]loginKey{"account": guesser(2, "192.0.2.1"), "address": guesser(1, "192.0.2.2")} {
		if wait := l.wait(other, now); wait != 0 {
			t.Errorf("another %s waits %v", name, wait)
		}
	}
	if a, b := guesser(1, "2001:db8::1"), guesser(1, "2001:db8::ffff"); a != b {
		t.Error("two addresses of one IPv6 network count apart")
	}
	// Time forgets them, and so does the right password.
	later := now + loginForget + time.Second
	if l.wrong(k, later); l.wait(k, later) != 0 {
		t.Errorf("long after: %v", l.wait(k, later))
	}
	for range loginsFree {
		l.wrong(k, later)
	}
	if l.right(k); l.wait(k, later) != 0 {
		t.Error("it waits after the right password")
	}
}

func TestLoginsAreBounded(t *testing.T) {
	var l logins
	for i := range loginsKept + 100 {
		k := loginKey{}
		k.account[0], k.account[1] = byte(i), byte(i>>8)
		l.wrong(k, time.Hour)
	}
	if len(l.counts) != loginsKept {
		t.Errorf("%d are kept", len(l.counts))
	}
	l.wrong(guesser(1, "192.0.2.1"), time.Hour+loginForget+time.Second)
	if len(l.counts) != 1 {
		t.Errorf("%d are kept when all are old", len(l.counts))
	}
}
