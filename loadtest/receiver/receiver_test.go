package receiver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/loadtest/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func post(t *testing.T, r *receiver.Receiver, id, signature, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	stamp := fmt.Sprint(time.Now().Unix())
	if signature == "" {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "." + body))
		signature = "v1,bm9uc2Vuc2U= v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", stamp)
	req.Header.Set("webhook-signature", signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A ledger that cannot tell right from wrong would prove nothing: each kind of delivery is counted as what it is.
func TestLedger(t *testing.T) {
	var got []uint64
	r, err := receiver.Start(receiver.Config{
		Secret: secret, Refuse: func(n int) bool { return n == 1 }, Each: func(o uint64, _ []byte) { got = append(got, o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer r.Close()
	const one, two = `[{"offset":"1","body":{}},{"offset":"2","body":{}}]`, `[{"offset":"3","body":{}}]`
	for i, c := range []struct {
		id, signature, body string
		status              int
	}{
		{"a", "", one, 200},
		{"b", "", two, 500}, // refused
		{"b", "", two, 200},
		{"a", "", one, 200},                        // again, under its id
		{"c", "", `{"offset":"3","body":{}}`, 200}, // again, under another
	} {
		if status := post(t, r, c.id, c.signature, c.body); status != c.status {
			t.Errorf("%d: status %d", i, status)
		}
	}
	want := receiver.Counts{Attempts: 5, Refused: 1, Batches: 3, Repeats: 1, Events: 3, Doubled: 3}
	if counts := r.Counts(); counts != want || fmt.Sprint(got) != "[1 2 3]" || r.Err() != nil {
		t.Errorf("%+v %v %v", counts, got, r.Err())
	}
	same := 0
	for _, a := range r.Again() {
		if a.SameID {
			same++
		}
	}
	if same != 2 {
		t.Errorf("%d of 3 doubles under their old id", same)
	}
	for i, c := range []struct {
		id, signature, body string
		status              int
	}{{"d", "v1,bm9uc2Vuc2U=", one, 401}, {"a", "", two, 200}, {"e", "", `[]`, 400}, {"", "", one, 401}, {"f", "", `[{"body":{}}]`, 200}} {
		if status := post(t, r, c.id, c.signature, c.body); status != c.status {
			t.Errorf("faulty %d: status %d", i, status)
		}
		if n := r.Counts().Faults; n != i+1 || !errors.Is(r.Err(), receiver.ErrFaults) {
			t.Errorf("faulty %d: %d faults", i, n)
		}
	}
}
