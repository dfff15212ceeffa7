package webhook

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"time"

	"github.com/tidwall/gjson"

	"sluice/relay/engine"
)

const (
	// maxBatch is how many bytes of events a batch holds before it is closed; one event may be larger.
	maxBatch = 1 << 20
	// keyLanes is how many fifos the events of a webhook with ordering key are spread over.
	keyLanes = 64
)

// batch is some events that are posted together, always the same ones once they were tried.
type batch struct {
	lane        int // whose events alone it holds, counted from 1; 0: all that lie between first and last
	first, last engine.Offset
	events      int
	choice      *choice
	bare        bool   // its body is one event and not a list, as the batch size said when it was begun
	body        []byte // nil: read it from the log again
	erasures    uint64 // relay.Relay.Erasures when the first of its events was opened
	began       time.Time
	charged     int64 // what the budget was told of body
	chained     bool  // the goroutine that posts the one before it posts it next
	tried       bool  // it was on the wire, or was restored: it stays as it is

	name     string // what id gives; empty: not made yet
	attempts int
	since    time.Time // of the first failed attempt
	due      time.Time // of the next one
	gone     bool      // it was refused by 410: who enables the webhook again wants it tried at once
	replay   string    // of which replay; empty: the stream's own turn
	part     int       // of which of its ranges
	fresh    bool      // of a replay: it has an id of its own, since its events may have been accepted before in other batches
}

// id is the message id: of the subscription and the offsets, so that every attempt, whoever makes it, has the same. The batch is closed.
func (b *batch) id(hook string) string {
	if b.name != "" {
		return b.name
	}
	h := sha256.New()
	var in [24]byte
	binary.BigEndian.PutUint64(in[0:], uint64(b.first))
	binary.BigEndian.PutUint64(in[8:], uint64(b.last))
	binary.BigEndian.PutUint64(in[16:], uint64(b.events))
	h.Write([]byte(hook))
	h.Write(in[:])
	if b.fresh {
		h.Write([]byte(b.replay))
	}
	var sum [sha256.Size]byte
	var text [4 + 32]byte
	copy(text[:], "msg_")
	hex.Encode(text[4:], h.Sum(sum[:0])[:16])
	b.name = string(text[:])
	return b.name
}

// add puts an event in; size is how many are expected. The bytes are copied.
func (b *batch) add(line []byte, o engine.Offset, size int) {
	if b.events == 0 {
		b.first = o
		b.body = make([]byte, 0, min((len(line)+1)*size, maxBatch)+len(line)/8+2)
		if !b.bare {
			b.body = append(b.body, '[')
		}
	} else {
		b.body = append(b.body, ',')
	}
	b.body = append(b.body, line...)
	b.last = o
	b.events++
}

// close ends the body.
func (b *batch) close() {
	if !b.bare {
		b.body = append(b.body, ']')
	}
}

// laneOf is the lane of an event by its key link, which lies where the envelope has it. Airship's own events have none;
// theirs go by the device, or where there is none by the contact.
func laneOf(line []byte, airship bool) int {
	path := "strmMeta.keyLink"
	if airship {
		path = "body.strmMeta.keyLink"
	}
	link := gjson.GetBytes(line, path)
	if !link.Exists() || link.Raw == "null" {
		if link = whose(line); !link.Exists() {
			return 0
		}
	}
	h := fnv.New32a()
	h.Write([]byte(link.Raw))
	return int(h.Sum32() % keyLanes)
}

// owners are where an event of Airship's says whose it is. Those of other ages name the channel by its platform.
var owners = []string{
	"device.channel", "device.ios_channel", "device.android_channel", "device.amazon_channel", "device.delivery_address",
	"device.named_user_id", "user.contact_id", "user.named_user_id",
}

// whose is what an event of Airship's says whose it is.
func whose(line []byte) gjson.Result {
	for _, v := range gjson.GetManyBytes(line, owners...) {
		if v.Type == gjson.String && v.Str != "" {
			return v
		}
	}
	return gjson.Result{}
}

// waiting are batches by the time of their next attempt.
type waiting []*batch

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(b any)        { *w = append(*w, b.(*batch)) }
func (w *waiting) Pop() any {
	old := *w
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return b
}

var _ heap.Interface = (*waiting)(nil)
