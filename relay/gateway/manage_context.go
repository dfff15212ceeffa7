package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"sluice/relay/contract"
)

// manageContext is huma's view of a fiber request with the laws of this API in between: path parameters are
// percent-decoded, a body is never inflated and read only as far as allowed, and huma's problem documents become our
// error shape without touching its package-wide NewError.
type manageContext struct {
	manageInner
	fiber *fiber.Ctx
}

// manageInner keeps the embedded field from hiding the method Context.
type manageInner = huma.Context

// manageMiddleware wraps the request for all operations and refuses what no operation may see.
func manageMiddleware(ctx huma.Context, next func(huma.Context)) {
	c := &manageContext{manageInner: ctx, fiber: humafiber.Unwrap(ctx)}
	if err := c.check(); err != nil {
		manageWrite(c.fiber, err)
		return
	}
	c.noteCall()
	next(c)
}

// check holds the request line and the headers to what every operation relies on: names are valid UTF-8, the query can
// be read and says each thing once, the body is not packed.
func (c *manageContext) check() *manageError {
	for _, name := range c.fiber.Route().Params {
		if v, err := url.PathUnescape(c.fiber.Params(name)); err != nil || !utf8.ValidString(v) {
			return manageErrorf(http.StatusBadRequest, "path parameter %s: is not percent-encoded UTF-8", name)
		}
	}
	query, err := url.ParseQuery(string(c.fiber.Request().URI().QueryString()))
	if err != nil {
		return manageErrorf(http.StatusBadRequest, "The query string cannot be read")
	}
	for name, values := range query {
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return manageErrorf(http.StatusBadRequest, "The query string is not valid UTF-8")
		}
		if len(values) > 1 {
			return manageErrorf(http.StatusBadRequest, "query parameter %s: is there %d times", name, len(values))
		}
	}
	if enc := c.fiber.Get(fiber.HeaderContentEncoding); enc != "" && !strings.EqualFold(enc, "identity") {
		return manageErrorf(http.StatusUnsupportedMediaType, "Content-Encoding: send the body unpacked")
	}
	return nil
}

// Unwrap is how humafiber finds the fiber request below.
func (c *manageContext) Unwrap() huma.Context { return c.manageInner }

func (c *manageContext) Param(name string) string {
	v, err := url.PathUnescape(c.fiber.Params(name))
	if err != nil {
		return "" // check has refused the request
	}
	return v
}

// URL holds what huma reads of it, the path and the query; parsing the whole target fails for one that starts with two
// slashes.
func (c *manageContext) URL() url.URL {
	u := c.fiber.Request().URI()
	return url.URL{Path: string(u.Path()), RawQuery: string(u.QueryString())}
}

// Header leaves out what this API does not negotiate: there is only JSON to answer, and curl's own Content-Type says
// nothing about what is sent.
func (c *manageContext) Header(name string) string {
	switch name {
	case fiber.HeaderAccept:
		return ""
	case fiber.HeaderContentType:
		if v := c.fiber.Get(name); v != fiber.MIMEApplicationForm {
			return v
		}
		return fiber.MIMEApplicationJSON
	default:
		return c.manageInner.Header(name)
	}
}

func (c *manageContext) BodyReader() io.Reader {
	req := c.fiber.Request()
	if req.IsBodyStream() {
		return req.BodyStream()
	}
	return bytes.NewReader(req.Body())
}

// SetReadDeadline leaves the connection's deadlines to the edge, which owns them: huma sets one for the body and never
// takes it away again, which would cut the next request of the connection.
func (c *manageContext) SetReadDeadline(time.Time) error { return nil }

func (c *manageContext) SetStatus(code int) {
	if code == http.StatusUnprocessableEntity {
		code = http.StatusBadRequest
	}
	c.manageInner.SetStatus(code)
}

func (c *manageContext) SetHeader(name, value string) {
	if name == fiber.HeaderContentType && strings.HasPrefix(value, "application/problem+") {
		value = fiber.MIMEApplicationJSON
	}
	c.manageInner.SetHeader(name, value)
}

// manageTransform swaps huma's problem documents for our error shape.
func manageTransform(_ huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*huma.ErrorModel); ok {
		return manageProblem(p), nil
	}
	return v, nil
}

// manageJSON is the only format spoken. HTML is not escaped, numbers and lists are as Go writes them.
func manageJSON() huma.Format {
	return huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: manageUnmarshal}
}

// manageUnmarshal is json.Unmarshal with errors for the sender: no Go type names, and nothing that encoding/json would
// silently settle by itself, such as invalid UTF-8 in a name, or a member that is there twice.
func manageUnmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errManageUTF8
	}
	err := json.Unmarshal(data, v)
	if err == nil {
		err = contract.UniqueNames(data)
	}
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	var unclear *contract.Violation
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unclear):
		return errors.New(strings.TrimPrefix(unclear.Text, "Body ")) // its place is said around it
	case errors.As(err, &syntax):
		return fmt.Errorf("is not valid JSON: %w at byte %d", err, syntax.Offset)
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("has a %s that is out of range", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("has at %s a %s where it does not belong", wrong.Field, wrong.Value)
	default:
		return err
	}
}
