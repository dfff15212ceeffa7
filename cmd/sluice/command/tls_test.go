package command_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/cmd/sluice/command"
)

// A server with a certificate of its own says how to reach it, and every command does so with what it says, reading over
// HTTP/2 and over a websocket included. A restart keeps the certificate.
func TestServeSelfSigned(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"SLUICE_ADMIN_TOKEN=" + adminToken}
	printed := regexp.MustCompile(`export SLUICE_URL=(\S+) SLUICE_CA_FILE=(\S+)`)
	var c *terminal
	for range 2 {
		s := serve(t, data, env, "--tls-self-signed")
		says := printed.FindStringSubmatch(s.errors.String())
		if says == nil || says[1] != s.url || !strings.HasPrefix(s.url, "https://") {
			t.Fatalf("at %s it prints %s", s.url, s.errors)
		}
		if c == nil { // the second round trusts what the first one printed
			c = newTerminal(t, "SLUICE_CA_FILE="+says[2])
		}
		c.env = append(c.env, "SLUICE_URL="+s.url, "SLUICE_TOKEN="+adminToken)
		name := strings.TrimPrefix(strings.ReplaceAll(s.url, ":", "-"), "https-//")
		c.ok("create", "stream", name, "--save")
		c.ok("simulate", "random-events", name, "--count", "2", "--interval", "0", "--quiet")
		lines := c.ok("listen", "events", name, "--from", "EARLIEST", "--limit", "2")
		frames := c.ok("listen", "web-socket", name, "--from", "EARLIEST", "--limit", "2")
		if lines != frames || strings.Count(lines, "\n") != 2 {
			t.Errorf("as lines\n%sover a websocket\n%s", lines, frames)
		}
		stranger := s.withAdmin()
		stranger.fails(command.ExitRefused, "SLUICE_CA_FILE", "list", "stream")
		stranger.env = append(stranger.env, "SLUICE_URL=http"+strings.TrimPrefix(s.url, "https"))
		stranger.fails(command.ExitRefused, "https://", "list", "stream")
		if code := s.end(); code != command.ExitOK {
			t.Fatalf("serve ended with %d: %s", code, s.errors)
		}
	}
}

func TestServeRefusesCertificates(t *testing.T) {
	c := newTerminal(t)
	data := filepath.Join(t.TempDir(), "d")
	c.fails(command.ExitUsage, "tls.key", "serve", "--data", data, "--tls-cert", "x.pem")
	c.fails(command.ExitUsage, "leave one of them out", "serve", "--data", data, "--tls-cert", "x.pem", "--tls-key", "y.pem", "--tls-self-signed")
	c.fails(command.ExitRefused, "x.pem", "serve", "--data", data, "--listen", "127.0.0.1:0", "--tls-cert", "x.pem", "--tls-key", "y.pem")
	c.fails(command.ExitUsage, "trusted_proxies", "serve", "--data", data, "--trusted-proxies", "proxy.example")
}
