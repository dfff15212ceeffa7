package verify_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/loadtest/verify"
)

// relay is a stream of n events with offsets 10, 20, …, that cuts every connection after some of them.
func relay(t *testing.T, n, perConnection int) *verify.Follower {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/v1/streams/web/events" || r.URL.Query().Get("envelope") != "offset" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		from := 0
		if f := r.URL.Query().Get("from"); f != "EARLIEST" {
			from, _ = strconv.Atoi(f)
		}
		var out io.Writer = w
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			out = z
		}
		end := min(from/10+perConnection, n)
		for i := from/10 + 1; i <= end; i++ {
			fmt.Fprintf(out, "\n{\"offset\":\"%d\",\"event\":{\"n\":%d}}\n", i*10, i)
		}
		switch {
		case r.URL.Query().Has("limit"):
			fmt.Fprintf(out, "{\"type\":\"OFFSET_UPDATE\",\"offset\":\"%d\"}\n", end*10)
		case end == n:
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			fmt.Fprintf(out, `{"offset":"%d","event":{"n":`, end*10+10) // dies within a line
		}
	}))
	t.Cleanup(srv.Close)
	return &verify.Follower{Base: srv.URL, Stream: "web", Token: "secret"}
}

func TestResumeGoesOnBehindTheLastWholeLine(t *testing.T) {
	f := relay(t, 100, 30)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []uint64
	resumed, err := f.Resume(ctx, func(offset uint64, body []byte) error {
		got = append(got, offset)
		if string(body) != fmt.Sprintf(`{"n":%d}`, offset/10) {
			return fmt.Errorf("%s at %d", body, offset)
		}
		if len(got) == 100 {
			cancel()
		}
		return nil
	})
	if err != nil || resumed != 3 || len(got) != 100 || !slices.IsSorted(got) {
		t.Fatalf("%d events, resumed %d times, %v", len(got), resumed, err)
	}
}

func TestAllReadsPageByPage(t *testing.T) {
	for _, gz := range []bool{false, true} {
		f := relay(t, 100, 30)
		f.Gzip = gz
		n := 0
		err := f.All(t.Context(), time.Second, func(uint64, []byte) error { n++; return nil })
		if err != nil || n != 100 {
			t.Errorf("gzip %v: %d events, %v", gz, n, err)
		}
	}
}

func TestReadTellsWhyItEnded(t *testing.T) {
	f := relay(t, 100, 30)
	_, err := f.Read(t.Context(), url.Values{"from": {"EARLIEST"}}, func(uint64, []byte) error { return nil })
	if !errors.Is(err, verify.ErrCut) {
		t.Errorf("cut within a line: %v", err)
	}
	f.Token = "other"
	var refusal *verify.StatusError
	if _, err := f.Resume(t.Context(), nil); !errors.As(err, &refusal) || refusal.Status != 403 {
		t.Errorf("refused: %v", err)
	}
}
