package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/relay/consent"
)

// setting is one row of the table of settings: its path, where its value lies, and what its reader has to know.
type setting struct {
	path   string
	def    string // as it is written in a file
	value  value
	doc    string // what it is, with unit, and why the default is what it is; wrapped when printed
	secret bool   // may hold a password: printed redacted
}

const day = 24 * time.Hour

// settings is the table of all settings, bound to c. Files, environment, flags, the example and the printed form are all read from it.
func (c *Config) settings() []setting {
	return []setting{
		{path: "listen", def: "127.0.0.1:8080", value: textValue{&c.Edge.Listen, address},
			doc: "Address and port of the HTTP edge. Loopback by default, so that nothing is open to a network before its operator says so."},
		{path: "data", def: "./sluice-data", value: textValue{&c.Data, notEmpty},
			doc: "Folder of the log, the keys and everything else that lasts. One node at a time."},
		{path: "tls.cert", def: "", value: textValue{&c.Edge.CertFile, nil},
			doc: "PEM file of the certificate that listen speaks TLS with, and the authorities between it and its root. Read again when it changes. RSA, for an EC one leaves TLS 1.3 alone. Empty: plain HTTP."},
		{path: "tls.key", def: "", value: textValue{&c.Edge.KeyFile, nil},
			doc: "PEM file of the key of tls.cert."},
		{path: "public_url", def: "", value: textValue{&c.PublicURL, optional(webURL)},
			doc: "How clients reach this gateway, for token issuer and printed addresses. Empty: http:// or, with tls.cert, https:// and the address listened on."},
		{path: "grace", def: "10s", value: durationValue{to: &c.Edge.Grace, min: 100 * time.Millisecond, max: 10 * time.Minute},
			doc: "How long a stop may take to finish what was accepted and to end streams in order. Below the 30s that process managers usually wait."},

		{path: "engine.url", def: "", value: textValue{&c.Engine.URL, optional(natsURLs)}, secret: true,
			doc: "Addresses of an existing NATS JetStream cluster, several by commas. Empty: an embedded engine under data, without a port."},
		{path: "engine.replicas", def: "3", value: intValue{&c.Engine.Replicas, 1, 5},
			doc: "Copies of the log in the cluster of engine.url; 3 survive the loss of one server. The embedded engine always has 1."},
		{path: "engine.shards", def: "4", value: intValue{&c.Engine.Shards, 1, 64},
			doc: "Logs that all streams are spread over, each with its own commit. Fixed by the first start. More help only when one disk queue is the bottleneck."},
		{path: "engine.durability", def: "disk", value: textValue{&c.Engine.Durability, oneOf("disk", "os")},
			doc: "What an accepted event has survived to: disk = fsynced before the answer; os = handed to the operating system, which may keep it in memory for two minutes. The default loses nothing with the power."},

		{path: "retention.age", def: "7d", value: durationValue{to: &c.Relay.Retention, min: time.Second, max: 3650 * day},
			doc: "How long events stay readable, where a stream has no retention of its own. A week lets a consumer be down over a weekend and more."},
		{path: "retention.bytes", def: "100GB", value: sizeValue[int64]{&c.Relay.RetentionBytes, 1 << 20, 1 << 50},
			doc: "Most bytes of log a stream keeps, the oldest go first. A stop for a stream out of hand: 7 days at 500 events/s are about 100 GB."},

		{path: "ingest.timeout", def: "10s", value: durationValue{to: &c.Engine.Timeout, min: 100 * time.Millisecond, max: 10 * time.Minute},
			doc: "How long a producer waits for its event to be confirmed before it is told 504. Below the 15s that proxies usually wait."},
		{path: "ingest.max_event_bytes", def: "1MiB", value: sizeValue[int]{&c.Edge.MaxEventBytes, 16 << 10, 16 << 20},
			doc: "Largest body of one event; more is 413. An existing cluster's max_payload must be at least twice this."},
		{path: "ingest.max_payload_bytes", def: "254KiB", value: sizeValue[int]{&c.Edge.MaxPayloadBytes, 1 << 10, 16 << 20},
			doc: "Largest body at /stream/v0/data; more is 413. The gateway whose clients it serves began with 254 kB and has allowed more since. Never above ingest.max_event_bytes."},
		{path: "ingest.queue_bytes", def: "64MiB", value: sizeValue[int64]{&c.Engine.QueueBytes, 1 << 20, 1 << 40},
			doc: "Memory for events waiting for their commit; more is 503 with Retry-After. A second or two of a fast disk's work."},

		{path: "keys.master", def: "", value: textValue{&c.Keys.Master, masterKey},
			doc: "File of the master key, which seals every other key. Empty: keys/master.key under data, made by the first start. Keep a copy elsewhere: without it nothing opens."},
		{path: "keys.era", def: "30d", value: durationValue{to: &c.Keys.Era, min: day, max: 365 * day, step: day},
			doc: "How long one tree of personal keys serves. Its keys go with its last event: an era after the retention at the latest."},

		{path: "auth.token_ttl", def: "1h", value: durationValue{to: &c.Registry.TokenTTL, min: time.Minute, max: 30 * day},
			doc: "How long an access token lives. Deleting a stream ends its tokens at once, whatever their age."},

		{path: "airship.keepalive", def: "2s", value: durationValue{to: &c.Edge.Keepalive, min: 100 * time.Millisecond, max: time.Minute},
			doc: "How long a stream without events is silent before a blank line. The least patient known client gives up after 5s."},
		{path: "airship.max_connections", def: "100", value: intValue{&c.Edge.MaxConnections, 1, 100_000},
			doc: "Streams of /api/events one token may have open at once; one more is 402 if none of them ends within half a second."},

		{path: "stream.ring_bytes", def: "64MiB", value: sizeValue[int64]{&c.Relay.RingBytes, 1 << 20, 1 << 40},
			doc: "Memory for the newest rendered events, shared by all readers that keep up. Who falls behind reads the log and costs none."},

		{path: "export.min_interval", def: "30s", value: durationValue{to: &c.Registry.MinInterval, min: time.Second, max: 30 * time.Second, step: time.Second},
			doc: "Shortest interval an exporter may have, in whole seconds. Below the default a bucket fills with small objects: for tests and trials."},

		{path: "webhooks.allow_cidrs", def: "", value: listValue{&c.Webhooks.AllowCIDRs, network},
			doc: "Addresses and ranges that webhooks may deliver to although they are private, local or reserved; loopback ones also by http://. None by default, for whoever may create a webhook could reach them through this machine."},
		{path: "webhooks.ca_file", def: "", value: textValue{&c.Webhooks.CAFile, nil},
			doc: "PEM file of certificates that webhook deliveries trust beside the system's. Empty: none."},
		{path: "webhooks.timeout", def: "15s", value: durationValue{to: &c.Webhooks.Timeout, min: 100 * time.Millisecond, max: 5 * time.Minute},
			doc: "How long one attempt may take where the webhook does not say. Most receivers answer in less than a second; one that needs 15s should answer first and work later."},
		{path: "webhooks.park_after", def: "30h", value: durationValue{to: &c.Webhooks.ParkAfter, min: time.Second, max: 30 * day},
			doc: "How long a batch may fail before it becomes a dead letter, whatever is left of the webhook's retry list. The default list takes 27h 35m, so it decides."},

		{path: "limits.per_address", def: "0", value: intValue{&c.Edge.PerAddress, 0, 1_000_000},
			doc: "Connections one client address may have, an IPv6 address counting by its /64; 0: any number. None by default, for behind a proxy all clients have the proxy's address: see trusted_proxies."},
		{path: "trusted_proxies", def: "", value: listValue{&c.Edge.TrustedProxies, network},
			doc: "Addresses and ranges of proxies whose X-Forwarded-For is believed. Under limits.per_address their own connections do not count; each request in progress that they send for a client does, as a connection of the client's. None by default, for anybody can write that header."},

		{path: "cors.allowed_origins", def: "", value: listValue{&c.Edge.Origins, origin},
			doc: "Origins whose web pages may read streams over /sse and /v1/streams/…/events, like https://app.example.com, or * for all. None by default; websockets need none, a token is enough there."},

		{path: "metrics.listen", def: "", value: textValue{&c.Edge.MetricsListen, optional(address)},
			doc: "Address and port for /metrics alone, where it should not be public. Empty: /metrics is on listen."},
		{path: "log.level", def: "info", value: levelValue{&c.LogLevel},
			doc: "Least urgent messages logged: debug, info, warn or error."},
	}
}

// disagreement is what two settings of a section, each in its own bounds, cannot both be.
type disagreement struct{ path, with, text string }

// check holds settings against each other.
func (c *Config) check() (all []disagreement) {
	if c.Engine.QueueBytes < 2*int64(c.Edge.MaxEventBytes) {
		all = append(all, disagreement{"ingest.queue_bytes", "ingest.max_event_bytes",
			fmt.Sprintf("must be at least twice ingest.max_event_bytes, which is %s", FormatSize(int64(c.Edge.MaxEventBytes)))})
	}
	if c.Edge.CertFile != "" && c.Edge.KeyFile == "" {
		all = append(all, disagreement{"tls.key", "tls.cert", "must be set, for tls.cert is"})
	}
	if c.Edge.KeyFile != "" && c.Edge.CertFile == "" {
		all = append(all, disagreement{"tls.cert", "tls.key", "must be set, for tls.key is"})
	}
	return all
}

// masterKey checks keys.master by its owner's rule: which places of a key there are.
func masterKey(s string) error {
	if errors.Is(consent.Config{Dir: ".", Master: s}.Validate(), consent.ErrMasterURI) {
		return consent.ErrMasterURI
	}
	return nil
}

// envName is the environment's spelling of a path.
func envName(path string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// flagName is the command line's spelling of a path, without its dashes.
func flagName(path string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(path)
}
