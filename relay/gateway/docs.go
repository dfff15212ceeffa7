package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

const docsPath = "/docs"

var docsInlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// serveDocs serves the try-it page and its parts from the binary. Its content policy lets the browser load and call this
// server only, so that a page that named another host would stay blank instead of leaking that it was opened.
func serveDocs(app *fiber.App) {
	ui := v5emb.NewWithConfig(swgui.Config{
		SettingsUI: map[string]string{
			"tryItOutEnabled":        "true",
			"displayRequestDuration": "true",
		},
	})("Sluice", "/openapi.json", docsPath)

	// The page never changes, so it is rendered once; the handler is asked for the files only.
	var rendered docsPage
	ui.ServeHTTP(&rendered, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: docsPath}})
	page := bytes.TrimSpace(rendered.Bytes())
	policy := docsPolicy(page)

	app.Get(docsPath, func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
		c.Set(fiber.HeaderContentSecurityPolicy, policy)
		c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
		return c.Send(page)
	})
	files := adaptor.HTTPHandler(ui)
	app.Get(docsPath+"/:file", func(c *fiber.Ctx) error {
		if err := files(c); err != nil {
			return err
		}
		if c.Response().StatusCode() == fiber.StatusNotFound {
			c.Response().Reset()
			return fiber.ErrNotFound
		}
		return nil
	})
}

// docsPage collects what a handler writes.
type docsPage struct {
	bytes.Buffer
	header http.Header
}

func (p *docsPage) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

func (p *docsPage) WriteHeader(int) {}

// docsPolicy allows the page's own inline scripts by their hashes, and beyond that this server alone.
func docsPolicy(page []byte) string {
	var scripts strings.Builder
	for _, m := range docsInlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		scripts.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return "default-src 'none'; script-src 'self'" + scripts.String() +
		"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
