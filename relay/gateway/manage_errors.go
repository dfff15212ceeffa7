package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"sluice/auth"
	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Why a value that was sent cannot be read; what is allowed is the whole text, its place is said around it.
var (
	errManageUTF8  = errors.New("is not valid UTF-8")
	errManageCount = errors.New("must be a whole number from 0 on, as a string or a number")
	errManageSpan  = errors.New("must be " + manageSpanWords)
	errManageSize  = errors.New("must be a size such as 500MB, 20GiB or 100GB")
)

// manageError is an answer that says no: {"error":{"code":404,"status":"Not Found","message":"…"}}. Its message names the
// field and the rule, never a value of an event or a data subject's id.
type manageError struct {
	Err manageErrorText `json:"error"`

	retryAfter string // seconds, for Retry-After; empty: no such header
	cause      error  // for the log, never shown
}

type manageErrorText struct {
	Code    int    `json:"code" example:"404" doc:"The HTTP status code."`
	Status  string `json:"status" example:"Not Found" doc:"The name of the status code."`
	Message string `json:"message" example:"Stream 'web' does not exist" doc:"What is wrong and what to do."`
}

func (e *manageError) Error() string  { return e.Err.Message }
func (e *manageError) GetStatus() int { return e.Err.Code }
func (e *manageError) Unwrap() error  { return e.cause }

// GetHeaders is how huma asks for headers beside the status.
func (e *manageError) GetHeaders() http.Header {
	h := http.Header{}
	if e.retryAfter != "" {
		h.Set(fiber.HeaderRetryAfter, e.retryAfter)
	}
	if e.Err.Code == http.StatusUnauthorized {
		h.Set(fiber.HeaderWWWAuthenticate, "Bearer")
	}
	return h
}

func manageErrorf(code int, format string, args ...any) *manageError {
	return &manageError{Err: manageErrorText{Code: code, Status: http.StatusText(code), Message: fmt.Sprintf(format, args...)}}
}

func manageUnauthorized() *manageError {
	return manageErrorf(http.StatusUnauthorized, "The request could not be authorized")
}

func manageInternal() *manageError {
	return manageErrorf(http.StatusInternalServerError, "The server could not complete the request; its log says why")
}

func manageNotFound(what, name string) *manageError {
	return manageErrorf(http.StatusNotFound, "%s '%s' does not exist", what, name)
}

func manageForbidden(a auth.Action) *manageError {
	if a == auth.Administer {
		return manageErrorf(http.StatusForbidden, "This token may not do that; it takes the admin token")
	}
	return manageErrorf(http.StatusForbidden, "This token may not do that; management takes the admin token or a user's")
}

// manageVerdict turns the law's answer about doing something to a named project into an error; nil when it is allowed.
func manageVerdict(v registry.Verdict, a auth.Action, name string) error {
	switch v {
	case registry.Allowed:
		return nil
	case registry.Forbidden:
		return manageForbidden(a)
	default:
		return manageNotFound("Project", name)
	}
}

// manageErrorOf is the one table from an error of the core to an answer.
func manageErrorOf(err error) *manageError {
	var known *manageError
	var invalid *registry.Invalid
	var inUse *registry.InUse
	var definition *contract.DefinitionError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		return manageErrorf(http.StatusBadRequest, "%s", invalid.Error())
	case errors.As(err, &inUse):
		return manageErrorf(http.StatusConflict, "%s", inUse.Text)
	case errors.As(err, &definition):
		return manageErrorf(http.StatusBadRequest, "%s", definition.Error())
	case errors.Is(err, registry.ErrNotFound):
		return manageErrorf(http.StatusNotFound, "It does not exist, or not any more")
	case errors.Is(err, registry.ErrExists):
		return manageErrorf(http.StatusConflict, "The name is taken; choose another one or delete what has it")
	case errors.Is(err, engine.ErrConflict):
		return manageErrorf(http.StatusConflict, "Somebody else changed it at the same time; look at it and try again")
	case errors.Is(err, engine.ErrTooLarge):
		return manageErrorf(http.StatusRequestEntityTooLarge, "It is too large to be stored")
	case errors.Is(err, registry.ErrBehind):
		e := manageErrorf(http.StatusGatewayTimeout, "The change is stored, but this server has not seen it yet; look again in a moment")
		e.cause = err
		return e
	case errors.Is(err, registry.ErrContended), errors.Is(err, engine.ErrBusy), errors.Is(err, engine.ErrClosed):
		return manageLater(err, "The server is busy or stopping; nothing was changed, try again")
	case errors.Is(err, consent.ErrCutOff):
		return manageLater(err, "This server does not hear of the others; try again or at another one")
	case errors.Is(err, engine.ErrNoLog):
		return manageLater(err, "The log does not answer; try again in a moment")
	case errors.Is(err, engine.ErrDiskFull):
		return manageLater(err, "The disk of the server is nearly full; nothing was changed")
	case errors.Is(err, engine.ErrUnconfirmed), errors.Is(err, context.DeadlineExceeded):
		e := manageErrorf(http.StatusGatewayTimeout, "The change was not confirmed in time; look whether it was made before trying again")
		e.cause = err
		return e
	default:
		e := manageInternal()
		e.cause = err
		return e
	}
}

// manageTaken says which name is taken where the core says that one is. name is empty where the core chose it: then it says it.
func manageTaken(err error, what, name string) error {
	switch {
	case !errors.Is(err, registry.ErrExists):
		return err
	case name == "":
		return manageErrorf(http.StatusConflict, "%s %s", what, err)
	}
	return manageErrorf(http.StatusConflict, "%s '%s' exists already", what, name)
}

func manageLater(cause error, text string) *manageError {
	e := manageErrorf(http.StatusServiceUnavailable, "%s", text)
	e.retryAfter, e.cause = "1", cause
	return e
}

// fail is the app's last word: errors of the router and of what runs before an operation.
func (m *manageAPI) fail(c *fiber.Ctx, err error) error {
	var routing *fiber.Error
	var known *manageError
	switch {
	case errors.As(err, &known):
	case errors.As(err, &routing):
		if routing.Code == http.StatusMethodNotAllowed && c.Method() == fiber.MethodOptions {
			// The router has listed the methods of the path in Allow by now.
			c.Append(fiber.HeaderAllow, fiber.MethodOptions)
			return c.SendStatus(http.StatusNoContent)
		}
		known = manageRoutingError(routing.Code)
	default:
		known = manageErrorOf(err)
	}
	m.note(c.Method(), c.Route().Path, known)
	manageWrite(c, known)
	return nil
}

// manageWrite answers an error that no operation gave.
func manageWrite(c *fiber.Ctx, e *manageError) {
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // three plain members
	}
	for k, v := range e.GetHeaders() {
		c.Set(k, v[0])
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Status(e.Err.Code).Response().SetBodyRaw(body)
}

func manageRoutingError(code int) *manageError {
	switch code {
	case http.StatusNotFound:
		return manageErrorf(code, "There is nothing at this path; /openapi.json lists what there is")
	case http.StatusMethodNotAllowed:
		return manageErrorf(code, "This path does not know the method; the header Allow lists those it knows")
	default:
		return manageErrorf(code, "The request could not be handled")
	}
}

// note logs what the answer does not tell: the cause of a 5xx. The route is the pattern, never the path.
func (m *manageAPI) note(method, route string, e *manageError) {
	if e.cause != nil {
		m.log.Error("management request could not be completed", slog.String("method", method), slog.String("route", route),
			slog.Int("status", e.Err.Code), slog.Any("error", e.cause))
	}
}
