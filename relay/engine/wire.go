package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers and error codes of JetStream's publish protocol (ADR-50 for batches).
const (
	hdrExpected   = "Nats-Expected-Last-Subject-Sequence"
	hdrBatchID    = "Nats-Batch-Id"
	hdrBatchSeq   = "Nats-Batch-Sequence"
	hdrBatchEnd   = "Nats-Batch-Commit"
	hdrTTL        = "Nats-TTL"
	hdrSequence   = "Nats-Sequence"
	hdrPending    = "Nats-Num-Pending"
	hdrSubject    = "Nats-Subject"
	hdrTime       = "Nats-Time-Stamp"
	hdrStatus     = "Status"
	hdrReason     = "Description"
	codeWrongLast = 10071 // the expectation does not hold
	codeWrongMany = 10164 // the subject is being written to right now

	maxBatchMessages = 1000 // the server's limit for one atomic batch
)

// requestTimeout bounds one question to the log where the caller's context does not.
const requestTimeout = 5 * time.Second

// apiError is a refusal by JetStream.
type apiError struct {
	Code    int    `json:"code"`
	ErrCode int    `json:"err_code"`
	Text    string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("log refused with %d: %s", e.ErrCode, e.Text) }

// ack is the answer to a publish.
type ack struct {
	Err *apiError `json:"error"`
	Seq uint64    `json:"seq"`
}

func parseAck(m *nats.Msg) (ack, error) {
	var a ack
	if m.Header.Get(hdrStatus) == "503" {
		return a, nats.ErrNoResponders
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return a, fmt.Errorf("answer of the log: %w", err)
	}
	return a, nil
}

func isWrongLast(err error) bool {
	var a *apiError
	return errors.As(err, &a) && (a.ErrCode == codeWrongLast || a.ErrCode == codeWrongMany)
}

// stored is one message as the log holds it.
type stored struct {
	subject string
	seq     uint64
	time    time.Time
	header  nats.Header
	data    []byte
}

// getRequest is the body of a get. Exactly one of Seq, Last and Since is set; Next goes with Seq or Since.
type getRequest struct {
	Seq      uint64     `json:"seq,omitempty"`
	Last     string     `json:"last_by_subj,omitempty"`
	Next     string     `json:"next_by_subj,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"`
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes,omitempty"`
}

// unanswered is why a question had no answer: ErrNoLog where time may mend it.
func unanswered(err error) error {
	if comingUp(err) {
		return fmt.Errorf("reading from the log: %w: %w", ErrNoLog, err)
	}
	return fmt.Errorf("reading from the log: %w", err)
}

// errNone: the log holds no such message.
var errNone = errors.New("no such message")

// get reads one message from whichever replica answers. It returns errNone when that one has none.
func get(ctx context.Context, l *link, stream string, req getRequest) (stored, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return stored{}, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	m, err := l.request(ctx, "$JS.API.DIRECT.GET."+stream, body)
	if err != nil {
		return stored{}, unanswered(err)
	}
	return directReply(m)
}

// directReply takes a direct get's answer apart.
func directReply(m *nats.Msg) (stored, error) {
	if status := m.Header.Get(hdrStatus); status != "" {
		if status == "404" {
			return stored{}, errNone
		}
		return stored{}, fmt.Errorf("reading from the log: status %s %s", status, m.Header.Get(hdrReason))
	}
	seq, err := strconv.ParseUint(m.Header.Get(hdrSequence), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("reading from the log: sequence: %w", err)
	}
	s := stored{subject: m.Header.Get(hdrSubject), seq: seq, header: m.Header, data: m.Data}
	s.time, err = time.Parse(time.RFC3339Nano, m.Header.Get(hdrTime))
	if err != nil {
		return stored{}, fmt.Errorf("reading from the log: time: %w", err)
	}
	return s, nil
}

// leaderPatience is how long a question to a leader may go unanswered before it is asked again. A stream that has just lost
// its leader answers nobody, not even later, and has another one after 4 to 10 s.
const leaderPatience = 500 * time.Millisecond

// askLeader repeats a question that only a leader answers, and that may be asked twice, until there is an answer or the
// time is over: what bounded allows.
func (l *link) askLeader(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, leaderPatience)
		err := ask(try)
		unanswered := try.Err() != nil
		done()
		if err == nil || !unanswered || ctx.Err() != nil {
			return l.why(ctx, err)
		}
	}
}

// getLeader is get answered by the stream's leader, so that it sees every acknowledged write.
func getLeader(ctx context.Context, l *link, stream string, req getRequest) (stored, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return stored{}, err
	}
	var m *nats.Msg
	err = l.askLeader(ctx, func(ctx context.Context) error {
		m, err = l.request(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
		return err
	})
	if err != nil {
		return stored{}, unanswered(err)
	}
	var answer struct {
		Err     *apiError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return stored{}, fmt.Errorf("answer of the log's leader: %w", err)
	}
	if answer.Err != nil {
		if answer.Err.Code == 404 && answer.Err.ErrCode == codeNoMessage {
			return stored{}, errNone
		}
		return stored{}, unanswered(answer.Err)
	}
	if answer.Message == nil {
		return stored{}, errNone
	}
	s := stored{subject: answer.Message.Subject, seq: answer.Message.Seq, time: answer.Message.Time, data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		if s.header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return stored{}, fmt.Errorf("answer of the log's leader: %w", err)
		}
	}
	return s, nil
}

const (
	codeNoMessage  = 10037
	codeNoSequence = 10043
)

// nodeID is the name a writer puts into its subjects.
type nodeID [8]byte

func (n nodeID) String() string { return hex.EncodeToString(n[:]) }

// getMany reads up to req.Batch messages, or until req.MaxBytes are read, and calls fn with each in order. more is
// false when nothing further is stored behind them. What fn was called with counts even when an error follows.
func getMany(ctx context.Context, l *link, stream string, req getRequest, fn func(stored)) (more bool, err error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	body, err := json.Marshal(req)
	if err != nil {
		return false, err
	}
	queue := make(chan *nats.Msg, req.Batch+1)
	inbox := l.nc.NewInbox()
	sub, err := l.nc.ChanSubscribe(inbox, queue)
	if err != nil {
		return false, unanswered(err)
	}
	defer sub.Unsubscribe()
	if err := l.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return false, unanswered(l.why(ctx, err))
	}
	for {
		select {
		case m := <-queue:
			switch m.Header.Get(hdrStatus) {
			case "204": // the end of the answer
				return m.Header.Get(hdrPending) != "0", nil
			case "404":
				return false, nil
			}
			s, err := directReply(m)
			if err != nil {
				return true, err
			}
			fn(s)
		case <-ctx.Done():
			return true, unanswered(context.Cause(ctx))
		}
	}
}

// randomName is a name nobody else takes.
func randomName() string {
	var id nodeID
	rand.Read(id[:])
	return id.String()
}
