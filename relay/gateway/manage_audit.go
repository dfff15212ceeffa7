package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"

	"sluice/auth"
	"sluice/relay/registry"
)

// auditWrite is how long an entry that goes by itself may take to be stored.
const auditWrite = 5 * time.Second

// auditDone is what a verb has done, in the words of the log. A verb that is not here stands as it is.
var auditDone = map[string]string{
	"create": "created", "update": "updated", "delete": "deleted", "activate": "activated", "archive": "archived", "rotate": "rotated",
	"revoke": "revoked", "forget": "forgotten", "replay": "replayed", "test": "tested", "run": "run", "issue": "issue",
}

// auditReads are operations that change nothing although they are posted.
var auditReads = []string{"check"}

// auditEvent names what an operation does, by its id: create-api-key is api-key/created. Empty: it changes nothing.
func auditEvent(op *huma.Operation) string {
	if op.Method == http.MethodGet || op.Method == http.MethodHead {
		return ""
	}
	verb, noun, _ := strings.Cut(strings.TrimSuffix(op.OperationID, "-2021"), "-")
	if slices.Contains(auditReads, verb) {
		return ""
	}
	if done, ok := auditDone[verb]; ok {
		verb = done
	}
	return noun + "/" + verb
}

// noteCall says what the request is in the audit log, as far as it is known before it is done. What is done to a data subject is noted
// without saying to whom.
func (c *manageContext) noteCall() {
	op, note := c.Operation(), registry.AuditOf(c.Context())
	if note == nil {
		return
	}
	if note.Event = auditEvent(op); note.Event == "" {
		return
	}
	if note.Status = op.DefaultStatus; note.Status == 0 {
		note.Status = http.StatusOK
	}
	if slices.Contains(op.Tags, "projects") && note.By.Kind == auth.Admin {
		note.Project = "" // a change of one is noted there when it is found
	}
	if slices.Contains(op.Tags, "data subjects") {
		return
	}
	var parts []string
	for _, name := range c.fiber.Route().Params {
		parts = append(parts, c.Param(name))
	}
	if req := c.fiber.Request(); strings.HasPrefix(op.OperationID, "create-") && !req.IsBodyStream() {
		for _, r := range gjson.GetManyBytes(req.Body(), "name", "sinkName", "ref", "ref.name") {
			if r.Type == gjson.String && r.Str != "" {
				parts = append(parts, r.Str)
				break
			}
		}
	}
	entity := strings.Join(parts, "/")
	if !strings.ContainsFunc(entity, func(r rune) bool { return !unicode.IsPrint(r) }) {
		note.Entity = entity
	}
}

// takeDown writes the entry of a call that made no change, which was not written with one.
func (m *manageAPI) takeDown(note *registry.Audit, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), auditWrite)
	defer cancel()
	if err := m.reg.TakeDown(ctx, note, status); err != nil {
		m.log.Error("a call is missing from the audit log", slog.String("event", note.Event), slog.Int("status", status), slog.Any("error", err))
	}
}

type manageAuditBy struct {
	Kind string `json:"kind" example:"user" doc:"admin, user, token issuer, or what else tried."`
	ID   string `json:"id,omitempty" doc:"The user's, key's or stream's client id; the admin token has none."`
}

// manageAuditEntry is one call that changed something, or tried to.
type manageAuditEntry struct {
	ID     string        `json:"id" doc:"Ascends with time."`
	At     time.Time     `json:"at"`
	Event  string        `json:"event" example:"api-key/created"`
	Entity string        `json:"entity" example:"ak-Jx3uT0bQ2mYc7WdE" doc:"What it was done to: an id or a name."`
	By     manageAuditBy `json:"by"`
	Result string        `json:"result" enum:"done,refused,failed"`
	Status int           `json:"status" example:"201" doc:"The status of the answer."`
}

type manageAuditIn struct {
	ManageScope
	From   time.Time `query:"from" doc:"Not before."`
	To     time.Time `query:"to" doc:"Before."`
	Entity string    `query:"entity" doc:"Of this id or name alone."`
	Event  string    `query:"event" example:"api-key/created" doc:"Of this kind alone."`
	Before string    `query:"before" doc:"The id of the last entry of the page before."`
	Limit  int       `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"How many at most."`
}

type manageAuditOut struct {
	Body []manageAuditEntry `nullable:"false"`
}

func (m *manageAPI) registerAudit(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: []string{"audit"},
		Summary: "List who changed what, the newest first",
		Description: "Every call that changes something is here, with its change or not at all; calls that were refused are too, at most ten a second. " +
			"Kept for 90 days, and of each project the newest 10,000. The admin sees with those of the project the ones that made or deleted projects.",
	}, m.listAudit)
}

func (m *manageAPI) listAudit(ctx context.Context, in *manageAuditIn) (*manageAuditOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	if in.Before != "" && !registry.CheckAuditID(in.Before) {
		return nil, &registry.Invalid{Field: "query parameter before", Reason: "is not the id of an entry"}
	}
	found, err := m.reg.AuditLog(ctx, p, manageCaller(ctx).Kind == auth.Admin, registry.AuditFilter{
		From: in.From, To: in.To, Entity: in.Entity, Event: in.Event, Before: in.Before, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &manageAuditOut{Body: []manageAuditEntry{}}
	for _, e := range found {
		result := "done"
		switch {
		case e.Status >= fiber.StatusInternalServerError:
			result = "failed"
		case e.Status >= fiber.StatusBadRequest:
			result = "refused"
		}
		out.Body = append(out.Body, manageAuditEntry{
			ID: e.ID, At: e.At, Event: e.Event, Entity: e.Entity, By: manageAuditBy{Kind: e.Kind.String(), ID: e.By}, Result: result, Status: e.Status,
		})
	}
	return out, nil
}
