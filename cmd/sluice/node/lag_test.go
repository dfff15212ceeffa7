package node_test

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A reader that stops is behind by the events that were not written to it, and by none when it has read on.
func TestLagOfAStuckReader(t *testing.T) {
	const lag = `sluice_reader_lag_events{kind="ndjson",stream="web"}`
	const events = 24_000
	r := run(t)
	r.call("POST", "/v1/streams", `{"name":"web"}`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /v1/streams/web/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", adminToken)
	r.until(map[string]string{lag: "0"})
	body := strings.Repeat(click("ada", "0"), 1000)
	for range events / 1000 {
		r.call("POST", "/v1/streams/web/events", body)
	}
	// What the kernel's buffers took is written; the rest is what the reader is behind.
	behind, stable := 0.0, 0
	for end := time.Now().Add(20 * time.Second); stable < 10 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		n, err := strconv.ParseFloat(r.samples()[lag], 64)
		if err != nil {
			t.Fatal(err)
		}
		if stable++; n != behind {
			behind, stable = n, 0
		}
	}
	written, err := strconv.ParseFloat(r.samples()[`sluice_delivered_events_total{kind="ndjson",stream="web"}`], 64)
	if err != nil || behind < 1000 || behind+written != events {
		t.Errorf("the reader is %v events behind and was written %v of %d, %v", behind, written, events, err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
	r.until(map[string]string{lag: "0"})
}
