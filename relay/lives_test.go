package relay_test

import (
	"strings"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

// What the test server makes up is what the contract takes, all of it.
func TestLivesFollowTheContract(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	for seed := range uint64(4) {
		l := sample.NewLives(seed)
		var body []byte
		for range 1500 {
			body = append(l.Next(body, time.Now()), '\n')
		}
		res, err := n.AcceptBulk(t.Context(), st, relay.Bulk{Body: body})
		if err != nil || res.Accepted != 1500 {
			line := 0
			if len(res.Errors) > 0 {
				line = res.Errors[0].Line - 1
			}
			t.Fatalf("%d taken: %v %v\n%s", res.Accepted, err, res.Errors, strings.Split(string(body), "\n")[line])
		}
	}
	if got := len(n.ids(st)); got != 6000 {
		t.Errorf("%d of 6000 events are there: ids come twice", got)
	}
}
