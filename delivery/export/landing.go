package export

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"sluice/delivery"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/payload"
	"sluice/relay/registry"
)

// Landing is what the landing of payloads is among a Runner's subscriptions: one for each stream that takes payloads, by its uuid.
const Landing delivery.Kind = "landing"

const (
	// landEvery is the length of the windows of landing files, in seconds; none crosses an hour.
	landEvery = 60
	// landedRoot, receiptRoot and asideRoot are where the three files of a window lie: payloads, where each came from, and what could not
	// be read. Apart, so that who takes all files below the first gets payloads and nothing else.
	landedRoot  = "ingest/stream"
	receiptRoot = "ingest/receipts"
	asideRoot   = "ingest/unparsable"
	// receiptSuffix is what a landed file's receipts are called beside it by those who read both.
	receiptSuffix = ".receipts"
	// noteBytes is more than one receipt takes.
	noteBytes = 160

	timeForm = "2006-01-02T15:04:05.000Z07:00"
)

// The parts of a landing.
const (
	partPayloads = iota
	partReceipts
	partAside
)

// landing is the layout of payloads: JSON lines as they are in the log, XML as CBOR; and beside them, in files of their own, a line for each
// payload that says which request brought it, and what is no XML, set aside.
type landing struct {
	relay  *relay.Relay
	log    *slog.Logger
	stream *registry.Stream
}

// Receipt is one line of the receipts of a landed file, in the order of its records.
type Receipt struct {
	RequestID string `json:"_request_id"`
	Received  string `json:"_received_at"` // RFC 3339, UTC, milliseconds
	Records   int    `json:"records"`      // how many of the file's records came of this payload
}

// Aside is a payload that could not be read, in the file of those that were set aside. Either XML or Base64 is what the producer sent, byte
// for byte.
type Aside struct {
	Offset    engine.Offset `json:"offset,string"`
	RequestID string        `json:"_request_id"`
	Received  string        `json:"_received_at"` // RFC 3339, UTC, milliseconds
	Reason    string        `json:"reason"`
	XML       string        `json:"xml,omitempty"`
	Base64    []byte        `json:"base64,omitempty"` // where it is not UTF-8
}

// dayOf is the folder of a stream's files of a day (UTC) below one of the roots.
func dayOf(root string, st *registry.Stream, day time.Time) string {
	return path.Join(root, st.Project.Name, st.PublicID, day.UTC().Format("2006-01-02"))
}

func (l landing) extension() string {
	name := ".ndjson"
	if l.stream.Payload == "xml" {
		name = ".cbor"
	}
	if l.stream.Gzip {
		name += ".gz"
	}
	return name
}

// parts names the files by when the first payload of theirs was accepted; one that came late, by when its window began. The upload's id makes
// the name one that never comes again.
func (l landing) parts(p *plan) []part {
	at := time.UnixMilli(max(p.First, (p.Window-landEvery)*1000)).UTC()
	name := func(root, extension string) string {
		return path.Join(dayOf(root, l.stream, at), at.Format("15-04-05")+"-"+p.Upload+extension)
	}
	return []part{
		partPayloads: {name(landedRoot, l.extension()), p.Upload},
		partReceipts: {name(receiptRoot, ".ndjson"), p.Upload + "-receipts"},
		partAside:    {name(asideRoot, ".ndjson"), p.Upload + "-unparsable"},
	}
}

// memory counts the receipts, which for small payloads are larger than those.
func (l landing) memory(p *plan) int64 {
	return 2*min(p.Bytes, PartBytes) + min(p.Bytes*noteBytes, PartBytes)
}

func (l landing) write(ctx context.Context, p *plan, to func(int) io.Writer) error {
	w := lander{landing: l, payloads: to(partPayloads), receipts: to(partReceipts), aside: to(partAside)}
	if l.stream.Gzip {
		w.packer = gzip.NewWriter(w.payloads)
		w.payloads = w.packer
	}
	if err := l.relay.Payloads(ctx, l.stream, p.From, p.To, w.land); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.set > 0 {
		l.log.Warn("payloads that cannot be read as XML were set aside", slog.String("stream", l.stream.UUID), slog.Int("payloads", w.set))
	}
	if w.packer != nil && w.landed > 0 {
		return w.packer.Close()
	}
	return nil
}

// lander writes the files of one plan. One goroutine.
type lander struct {
	landing
	payloads, receipts, aside io.Writer
	packer                    *gzip.Writer // nil: payloads are not packed
	xml                       payload.Document
	records, notes            []byte // not yet written
	landed, set               int
}

// flushAt is from how many bytes on what was collected is written.
const flushAt = 64 << 10

func (w *lander) land(p *relay.StoredPayload) error {
	records := 1
	if p.Kind == engine.KindXML {
		switch err := w.xml.Parse(p.Body); {
		case err != nil:
			return w.setAside(p, err.Error())
		case w.xml.Rows() == 0:
			return w.setAside(p, "The root element has no elements, so there is no record in it")
		}
		records = w.xml.Rows()
		w.records = w.xml.AppendCBOR(w.records)
	} else {
		w.records = append(append(w.records, p.Body...), '\n')
	}
	w.landed++
	w.notes = appendReceipt(w.notes, Receipt{RequestID: uuid.UUID(p.RequestID).String(), Received: received(p), Records: records})
	if len(w.records)+len(w.notes) < flushAt {
		return nil
	}
	return w.flush()
}

func (w *lander) flush() error {
	if len(w.records) == 0 {
		return nil
	}
	if _, err := w.payloads.Write(w.records); err != nil {
		return err
	}
	_, err := w.receipts.Write(w.notes)
	w.records, w.notes = w.records[:0], w.notes[:0]
	return err
}

// setAside writes a payload at once: there are few of them.
func (w *lander) setAside(p *relay.StoredPayload, why string) error {
	a := Aside{Offset: p.Offset, RequestID: uuid.UUID(p.RequestID).String(), Received: received(p), Reason: why}
	if utf8.Valid(p.Body) {
		a.XML = string(p.Body)
	} else {
		a.Base64 = p.Body
	}
	w.set++
	line := json.NewEncoder(w.aside)
	line.SetEscapeHTML(false) // it is to be read
	return line.Encode(a)
}

func received(p *relay.StoredPayload) string {
	return time.UnixMilli(p.Accepted).UTC().Format(timeForm)
}

func appendReceipt(dst []byte, r Receipt) []byte {
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain texts and numbers
	}
	return append(append(dst, line...), '\n')
}

// asideBytes bounds a line of the payloads set aside: the largest, with every byte escaped, and what stands around it.
const asideBytes = 6*(32<<20) + 4<<10

// landings tells the Runner of each stream that takes payloads.
func (x *Exports) landings(s *registry.Snapshot, names map[string]bool, counted map[series]bool) []delivery.Subscription {
	if x.landing == "" {
		return nil
	}
	var subs []delivery.Subscription
	for _, st := range s.PayloadStreams() {
		e := &exporter{Exports: x, name: st.Project.Name + "/" + st.Name, interval: landEvery, stream: st, place: x.landing, counted: series{st.Name, Landing}}
		counted[e.counted] = true
		e.layout = landing{relay: x.relay, log: x.log, stream: st}
		e.open = func() (Store, error) { return x.landingStore(st) }
		place := x.landing
		if st.SinkID != "" {
			e.place, place = st.SinkID, st.SinkID
			if sink := s.SinkByID(st.SinkID); sink != nil {
				place = sink.Version()
			}
		}
		names[e.name] = true
		// What was accepted lands, also of a stream that takes no more.
		subs = append(subs, delivery.Subscription{ID: st.UUID, Version: strings.Join([]string{place, st.Project.Name, st.Payload, fmt.Sprint(st.Gzip)}, "|"), Sink: e})
	}
	return subs
}

// landingStore opens where the payloads of a stream land.
func (x *Exports) landingStore(st *registry.Stream) (Store, error) {
	if st.SinkID == "" {
		return x.open(Target{Project: st.Project.Name, Type: TypeFolder, Bucket: x.landing})
	}
	sink := x.registry.Snapshot().SinkByID(st.SinkID)
	if sink == nil {
		return nil, &Refused{Reason: "the stream's sink is gone"}
	}
	return x.openSink(sink)
}
