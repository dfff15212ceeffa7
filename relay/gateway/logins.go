package gateway

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What a wrong password costs: people mistype, so the first ones cost nothing. Each one more doubles the wait for the next, up to one guess
// a minute.
const (
	loginsFree  = 5
	loginPause  = time.Second
	loginPauses = time.Minute      // the longest
	loginForget = 15 * time.Minute // without a wrong one, and they are forgotten
	// loginsKept bounds the counts: a hundred bytes each. To drive out one's own takes minutes of everybody's hashing.
	loginsKept = 10_000
)

// logins slows down who guesses at passwords. It counts the wrong ones for an account together with where they come from: who is hammered on
// from elsewhere still gets in. An account that does not exist counts like one that does, so nothing is told of either. Each node counts for
// itself. Safe for concurrent use; the zero logins has seen none.
type logins struct {
	mu     sync.Mutex
	counts map[loginKey]loginCount
}

// loginKey is one guesser at one account.
type loginKey struct {
	account [sha256.Size]byte // of the address, which is as long and as private as the client likes
	from    netip.Prefix
}

// loginCount is what a guesser has done. Times are the edge's.
type loginCount struct {
	wrong       int
	last, until time.Duration
}

func (rq *request) login(email string, ps proxies) loginKey {
	from := rq.peer.Addr()
	if ps.trust(from) {
		if client, ok := ps.client(rq.header); ok {
			from = client
		}
	}
	return loginKey{sha256.Sum256([]byte(strings.ToLower(email))), addressKey(from)}
}

// wait is how long k has to hold off.
func (l *logins) wait(k loginKey, now time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.counts[k].until-now)
}

// wrong counts a wrong password.
func (l *logins) wrong(k loginKey, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.counts[k]
	if now-c.last > loginForget {
		c = loginCount{}
	}
	c.wrong, c.last = c.wrong+1, now
	if over := c.wrong - loginsFree; over >= 0 {
		c.until = now + min(loginPause<<min(over, 10), loginPauses)
	}
	if !known && len(l.counts) >= loginsKept {
		l.makeRoom(now)
	}
	if l.counts == nil {
		l.counts = make(map[loginKey]loginCount)
	}
	l.counts[k] = c
}

// right forgets the wrong passwords before the right one.
func (l *logins) right(k loginKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.counts, k)
}

// makeRoom forgets what is old, and any one where nothing is. The caller holds mu.
func (l *logins) makeRoom(now time.Duration) {
	for k, c := range l.counts {
		if now-c.last > loginForget {
			delete(l.counts, k)
		}
	}
	for k := range l.counts {
		if len(l.counts) < loginsKept {
			return
		}
		delete(l.counts, k)
	}
}

// heldOff answers who has to wait before they may try a password again.
func (g *Gateway) heldOff(rs *response, k loginKey) bool {
	wait := g.logins.wait(k, g.uptime())
	if wait == 0 {
		return false
	}
	no := denial{status: http.StatusTooManyRequests, result: resultRate, wait: wait}
	no.text = fmt.Sprintf("Too many wrong passwords for this e-mail address; try again in %d s", no.seconds())
	no.write(rs, shapeManage)
	return true
}
