package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/delivery/webhook"
	"sluice/relay/backup"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
	"sluice/relay/usage"
)

// withEverything gives a world with all the parts that a node has, so that its document has all the routes that a node's has.
func withEverything(t *testing.T) *manageWorld {
	t.Helper()
	return newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		runner := delivery.New(e.Cells(), delivery.Config{Alone: true, Log: cfg.Log})
		var err error
		cfg.Exports, err = export.New(export.Config{
			Engine: e, Relay: w.relay, Registry: w.reg, Runner: runner, Folders: filepath.Join(w.dir, "export"), Landing: filepath.Join(w.dir, "landing"), Log: cfg.Log,
		})
		w.must(err)
		cfg.Webhooks, err = webhook.New(webhook.Config{
			AllowCIDRs: []string{"127.0.0.1"}, Relay: w.relay, Engine: e, Registry: w.reg, Runner: runner, Version: "1.2.3", Log: cfg.Log,
		})
		w.must(err)
		cfg.Couriers, err = load.New(load.Config{
			Dir: filepath.Join(w.dir, "feeds"), Cells: e.Cells(), Registry: w.reg, Runner: runner, Log: cfg.Log,
			List: func(context.Context, *registry.Stream, time.Time) ([]load.Landed, error) { return nil, nil },
			Open: func(context.Context, *registry.Stream, string) (io.ReadCloser, error) { return nil, load.ErrNoFile },
		})
		w.must(err)
		cfg.Usage, err = usage.Open(t.Context(), usage.Config{Engine: e, Log: cfg.Log})
		w.must(err)
		cfg.Backup = &backup.Source{Engine: e, Vault: w.vault, Version: "1.2.3"}
		run(runner.Run)
		run(cfg.Exports.Run)
		run(cfg.Webhooks.Run)
		run(cfg.Couriers.Run)
		run(cfg.Usage.Run)
		w.must(complete(*cfg))
	})
}

// complete says which part of an edge is not there. A part that is new brings routes that nobody would walk unless it is in this world too.
func complete(cfg gateway.Config) error {
	own := []string{"Conns"} // the edge makes its own
	v := reflect.ValueOf(cfg)
	var missing error
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Pointer && v.Field(i).IsNil() && !slices.Contains(own, name) {
			missing = errors.Join(missing, errors.New("the world with everything has no "+name))
		}
	}
	return missing
}

// userToken logs a user in.
func (w *manageWorld) userToken(email, password string) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	w.must(err)
	res, err := w.client.Post(w.base+"/v1/auth", "application/json", bytes.NewReader(body))
	w.must(err)
	defer res.Body.Close()
	var in struct{ IDToken string }
	w.must(json.NewDecoder(res.Body).Decode(&in))
	if res.StatusCode != http.StatusOK || in.IDToken == "" {
		w.t.Fatalf("%s cannot log in: status %d", email, res.StatusCode)
	}
	return in.IDToken
}
