package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// manageDelivery is one attempt to deliver one batch.
type manageDelivery struct {
	ID            string     `json:"id" example:"msg_6c1f0d1b9a2e4f7788aa0c3b5d9e1f20" doc:"The header webhook-id, the same in every attempt."`
	At            time.Time  `json:"at"`
	FirstOffset   string     `json:"firstOffset,omitempty" example:"12288"`
	LastOffset    string     `json:"lastOffset,omitempty" example:"12297"`
	Events        int        `json:"events"`
	Attempt       int        `json:"attempt" doc:"1 for the first."`
	Status        *int       `json:"status" doc:"What the receiver answered; null: nothing."`
	Result        string     `json:"result" enum:"delivered,address_not_allowed,dns,connect,tls,timeout,connection_broken,bad_answer,redirect,status,gone,expired"`
	DurationMs    float64    `json:"durationMs"`
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
	Parked        bool       `json:"parked,omitempty" doc:"true: it was the last attempt; the batch is a dead letter."`
	Replay        string     `json:"replay,omitempty" doc:"The replay it belongs to."`
}

// manageDeadLetter is a batch that was given up: where it lies in the log, never what it holds.
type manageDeadLetter struct {
	ID          string    `json:"id" example:"msg_6c1f0d1b9a2e4f7788aa0c3b5d9e1f20"`
	FirstOffset string    `json:"firstOffset" example:"12288"`
	LastOffset  string    `json:"lastOffset" example:"12297"`
	Events      int       `json:"events"`
	Attempts    int       `json:"attempts"`
	FailingFrom time.Time `json:"failingSince"`
	ParkedAt    time.Time `json:"parkedAt"`
	Status      *int      `json:"status" doc:"What the receiver answered last; null: nothing."`
	Reason      string    `json:"reason" example:"status"`
}

type manageReplay struct {
	From        string   `json:"from,omitempty" example:"2026-11-20T08:00:00Z" doc:"Behind which position: EARLIEST, an offset (exclusive), an RFC 3339 time, or -N."`
	To          string   `json:"to,omitempty" example:"2026-11-20T09:00:00Z" doc:"Up to which: an offset (inclusive), or a time; left out: the end of the stream."`
	DeadLetters []string `json:"deadLetters,omitempty" nullable:"false" maxItems:"1000" doc:"Instead of from and to: the ids of dead letters."`
	All         bool     `json:"allDeadLetters,omitempty" doc:"Instead of from and to: every dead letter."`
}

type manageReplayed struct {
	ID      string `json:"id" example:"rp-0b6e…" doc:"Deliveries of this replay name it."`
	Batches int    `json:"deadLetters,omitempty" doc:"How many dead letters it holds."`
}

type manageRotate struct {
	Secret    string `json:"secret,omitempty" doc:"whsec_ and 24 to 64 bytes in base64, or whsk_ and an ed25519 private key; left out: a new one."`
	Signature string `json:"signature,omitempty" enum:"v1,v1a" doc:"The kind of a new secret; left out: that of the former one."`
}

type manageRotated struct {
	Secret      string    `json:"secret" doc:"Shown this once."`
	PublicKey   string    `json:"publicKey,omitempty" doc:"What signatures of the kind v1a are checked with."`
	OldSignsFor time.Time `json:"oldSecretValidUntil" doc:"Until then deliveries carry a signature of the former secret too."`
}

type manageDeliveriesOut struct {
	Body []manageDelivery `nullable:"false"`
}

type manageDeadLettersOut struct {
	Body []manageDeadLetter `nullable:"false"`
}

type manageReplayIn struct {
	ManageWebhookName
	Body manageReplay
}

type manageRotateIn struct {
	ManageWebhookName
	Body *manageRotate
}

type manageDeliveryOut struct{ Body manageDelivery }

type manageReplayOut struct{ Body manageReplayed }

type manageRotateOut struct{ Body manageRotated }

func (m *manageAPI) registerDeliveries(api huma.API) {
	const one = "/v1/webhooks/{webhook}"
	tags := []string{"webhooks"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: one + "/deliveries", Tags: tags,
		Summary: "List the last 100 attempts to deliver, the newest first", Description: "From another node than the one that delivers they are some seconds old.",
	}, m.listDeliveries)
	manageRegister(m, api, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: one + "/dead-letters", Tags: tags,
		Summary: "List the batches that were given up, the oldest first", Description: "The last 1,000. They hold positions, never events.",
	}, m.listDeadLetters)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-dead-letters", Method: http.MethodDelete, Path: one + "/dead-letters", Tags: tags,
		Summary: "Forget all dead letters", Description: "Answers what went.",
	}, m.deleteDeadLetters)
	manageRegister(m, api, huma.Operation{
		OperationID: "replay-webhook", Method: http.MethodPost, Path: one + "/replay", Tags: tags,
		Summary: "Deliver a part of the log again, or dead letters",
		Description: "Beside the deliveries that go on. Dead letters are the batches they were, with their ids, and leave the list; what fails again " +
			"comes back to it. A range is delivered in new batches with new ids.",
	}, m.replayWebhook)
	manageRegister(m, api, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: one + "/test", Tags: tags,
		Summary: "Deliver a made-up event at once", Description: "Signed and sent as any other. The answer says what came of it, 200 also when it failed.",
	}, m.testWebhook)
	manageRegister(m, api, huma.Operation{
		OperationID: "rotate-webhook-secret", Method: http.MethodPost, Path: one + "/secret/rotate", Tags: tags,
		Summary: "Give a webhook a new signing secret", Description: "For 24 hours deliveries carry a signature of the former one too.",
	}, m.rotateWebhook)
}

// manageTime is a time as all are shown: UTC, in milliseconds.
func manageTime(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func manageShowDelivery(a webhook.Attempt) manageDelivery {
	out := manageDelivery{
		ID: a.ID, At: manageTime(a.At), Events: a.Events, Attempt: a.Number, Result: manageOr(a.Failure, "delivered"),
		DurationMs: float64(a.Took.Microseconds()) / 1000, Parked: a.Parked, Replay: a.Replay, Status: manageStatus(a.Status),
	}
	if a.Last != 0 {
		out.FirstOffset, out.LastOffset = a.First.String(), a.Last.String()
	}
	if !a.Next.IsZero() {
		next := manageTime(a.Next)
		out.NextAttemptAt = &next
	}
	return out
}

func manageStatus(status int) *int {
	if status == 0 {
		return nil
	}
	return &status
}

func (m *manageAPI) listDeliveries(ctx context.Context, in *ManageWebhookName) (*manageDeliveriesOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	attempts, err := m.webhooks.Attempts(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	out := &manageDeliveriesOut{Body: make([]manageDelivery, 0, len(attempts))}
	for _, a := range attempts {
		out.Body = append(out.Body, manageShowDelivery(a))
	}
	return out, nil
}

func manageShowDead(letters []webhook.DeadLetter) []manageDeadLetter {
	out := make([]manageDeadLetter, 0, len(letters))
	for _, d := range letters {
		out = append(out, manageDeadLetter{
			ID: d.ID, FirstOffset: d.First.String(), LastOffset: d.Last.String(), Events: d.Events, Attempts: d.Attempts,
			FailingFrom: manageTime(d.Since), ParkedAt: manageTime(d.At), Status: manageStatus(d.Status), Reason: d.Failure,
		})
	}
	return out
}

func (m *manageAPI) listDeadLetters(ctx context.Context, in *ManageWebhookName) (*manageDeadLettersOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	letters, err := m.webhooks.DeadLetters(ctx, w.ID)
	return &manageDeadLettersOut{manageShowDead(letters)}, err
}

func (m *manageAPI) deleteDeadLetters(ctx context.Context, in *ManageWebhookName) (*manageDeadLettersOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	gone, err := m.webhooks.ForgetDead(ctx, w.ID, nil)
	return &manageDeadLettersOut{manageShowDead(gone)}, err
}

func (m *manageAPI) replayWebhook(ctx context.Context, in *manageReplayIn) (*manageReplayOut, error) {
	w, err := m.webhook(ctx, &in.ManageWebhookName)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	switch dead := b.All || len(b.DeadLetters) > 0; {
	case dead && (b.From != "" || b.To != "") || b.All && len(b.DeadLetters) > 0:
		return nil, manageErrorf(http.StatusBadRequest, "Name a range by from and to, or dead letters, not both")
	case dead:
		id, n, err := m.webhooks.ReplayDead(ctx, w, b.DeadLetters)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, manageErrorf(http.StatusNotFound, "There is no such dead letter, or not any more")
		}
		return &manageReplayOut{manageReplayed{ID: id, Batches: n}}, nil
	case b.From == "":
		return nil, &registry.Invalid{Field: "from", Reason: "is missing; name a range by from and to, or dead letters"}
	}
	from, err := m.position(ctx, w.Stream, "from", b.From)
	if err != nil {
		return nil, err
	}
	to, err := m.position(ctx, w.Stream, "to", b.To)
	if err != nil {
		return nil, err
	}
	if to <= from {
		return nil, &registry.Invalid{Field: "to", Reason: "nothing lies between it and from"}
	}
	id, err := m.webhooks.Replay(ctx, w, from, to)
	return &manageReplayOut{manageReplayed{ID: id}}, err
}

func (m *manageAPI) testWebhook(ctx context.Context, in *ManageWebhookName) (*manageDeliveryOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	a, err := m.webhooks.Test(ctx, w)
	if err != nil {
		return nil, err
	}
	return &manageDeliveryOut{manageShowDelivery(a)}, nil
}

func (m *manageAPI) rotateWebhook(ctx context.Context, in *manageRotateIn) (*manageRotateOut, error) {
	w, err := m.webhook(ctx, &in.ManageWebhookName)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b == nil {
		b = &manageRotate{}
	}
	secret, public, err := manageSigning(b.Secret, b.Signature, w.PublicKey)
	if err != nil {
		return nil, err
	}
	until, err := m.reg.RotateWebhookSecret(ctx, w.ID, secret, public)
	if err != nil {
		return nil, err
	}
	return &manageRotateOut{manageRotated{Secret: secret, PublicKey: public, OldSignsFor: manageTime(until)}}, nil
}

// manageSigning gives the secret that was asked for, or makes one of a kind (empty: of that of the former, whose public key is given), and
// its public key where it has one.
func manageSigning(secret, kind, former string) (_, public string, err error) {
	asymmetric := kind == "v1a" || kind == "" && former != ""
	switch {
	case secret == "" && asymmetric:
		secret = webhook.NewPrivateKey()
	case secret == "":
		secret = webhook.NewSecret()
	}
	key, err := webhook.ParseSecret(secret)
	if err != nil {
		return "", "", &registry.Invalid{Field: "secret", Reason: err.Error()}
	}
	if public = key.PublicKey(); kind != "" && asymmetric != (public != "") {
		return "", "", &registry.Invalid{Field: "signature", Reason: "is of another kind than the secret: whsec_ is v1, whsk_ is v1a"}
	}
	return secret, public, nil
}
