package webhook_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

func TestCheckURL(t *testing.T) {
	closed, err := webhook.New(webhook.Config{})
	if err != nil {
		t.Fatal(err)
	}
	open, err := webhook.New(webhook.Config{AllowCIDRs: []string{"127.0.0.0/8", "10.1.0.0/16", "fd00::/8"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url            string
		closed, opened bool // whether it passes
	}{
		{"https://example.com/x?y=1", true, true},
		{"https://example.com:8443", true, true},
		{"https://example.com:65535", true, true},
		{"https://example.com:", true, true},
		{"https://example.com:0", false, false},
		{"https://example.com:65536", false, false},
		{"https://8.8.8.8/", true, true},
		{"https://[2606:4700::1]/", true, true},
		{"http://example.com/", false, false},
		{"http://127.0.0.1:8080/", false, true},
		{"http://localhost:8080/", false, true},
		{"http://10.1.0.1/", false, false}, // opened, but not loopback
		{"https://10.1.0.1/", false, true},
		{"https://10.2.0.1/", false, false},
		{"https://127.0.0.1/", false, true},
		{"https://localhost/", false, true},
		{"https://LOCALHOST./", false, true},
		{"https://169.254.169.254/latest", false, false},
		{"https://168.63.129.16/", false, false},
		{"https://100.100.100.200/", false, false},
		{"https://192.168.1.1/", false, false},
		{"https://172.16.0.1/", false, false},
		{"https://0.0.0.0/", false, false},
		{"https://224.0.0.1/", false, false},
		{"https://255.255.255.255/", false, false},
		{"https://[::1]/", false, false},
		{"https://[::]/", false, false},
		{"https://[fe80::1]/", false, false},
		{"https://[fd00::1]/", false, true},
		{"https://[fc00::1]/", false, false},
		{"https://[ff02::1]/", false, false},
		{"https://[::ffff:10.2.0.1]/", false, false},
		{"https://[::ffff:8.8.8.8]/", true, true},
		{"https://[64:ff9b::a02:1]/", false, false},
		{"https://[64:ff9b::808:808]/", true, true},
		{"https://[2002:a02:1::1]/", false, false},
		{"https://2130706433/", false, false},
		{"https://0x7f000001/", false, false},
		{"https://127.1/", false, false},
		{"https://user:pass@example.com/", false, false},
		{"https://example.com/#part", false, false},
		{"https:///x", false, false},
		{"ftp://example.com", false, false},
		{"example.com", false, false},
		{"https://example.com/a b", false, false},
		{"https://example.com/\r\nx: y", false, false},
		{"https://example.com/" + strings.Repeat("a", 2048), false, false},
	} {
		for service, want := range map[*webhook.Service]bool{closed: c.closed, open: c.opened} {
			err := service.CheckURL(c.url)
			if (err == nil) != want || err != nil && !errors.Is(err, webhook.ErrURL) {
				t.Errorf("%.60q (opened: %t): %v", c.url, service == open, err)
			}
		}
	}
	if _, err := webhook.New(webhook.Config{AllowCIDRs: []string{"10.0.0.0/40"}}); err == nil {
		t.Error("a range that is none was taken")
	}
}

// A name is judged by what it leads to, at the moment of connecting: the webhook was made when the address was open, and no byte goes
// where it may not.
func TestAddressIsCheckedAtDelivery(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	r := newReceiver(t, nil)
	h := w.hook(st, strings.Replace(r.server.URL, "http://127.0.0.1", "https://localhost", 1), func(s *registry.WebhookSpec) { s.Retry = nil })
	// 127.0.0.2 alone: what localhost leads to stays refused.
	n := w.node(webhook.Config{AllowCIDRs: []string{"127.0.0.2", "::2"}}, alone)
	if err := n.CheckURL(h.URL); err == nil {
		t.Fatal("localhost passes by its name")
	}
	open := w.node(webhook.Config{AllowCIDRs: []string{"192.0.2.0/24"}}, alone)
	if _, err := open.Test(t.Context(), h); !errors.Is(err, webhook.ErrURL) {
		t.Errorf("a webhook whose address is not open any more: %v", err)
	}
	if len(r.all) != 0 {
		t.Errorf("%d requests arrived", len(r.all))
	}
}
