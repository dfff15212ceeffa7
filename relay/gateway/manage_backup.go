package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"sluice/auth"
)

const typeTar = "application/x-tar"

// backupBuffer is how much of a backup is written at a time, in bytes.
const backupBuffer = 64 << 10

type manageBackupIn struct {
	ManageScope
	MasterKey bool `query:"masterKey" doc:"true: the master key is in it, so that it opens by itself; keep it as you keep that key."`
}

// manageBackupOut is an answer of bytes. huma calls a Body that is a function to write it.
type manageBackupOut struct {
	Body func(huma.Context)
}

func (m *manageAPI) registerBackup(api huma.API) {
	const path = "/v1/backup"
	manageRegister(m, api, huma.Operation{
		OperationID: "get-backup", Method: http.MethodGet, Path: path, Tags: []string{"backup"},
		Summary: "Take a backup of everything: all projects, their events and their keys",
		Description: "A stream of tar, whose last file is `complete.json`; without it the backup broke off. What was acknowledged before the call is in it. " +
			"For the admin token alone. `sluice backup DIR` unpacks and checks it, `sluice restore DIR` makes a store of it.",
	}, m.getBackup)
	api.OpenAPI().Paths[path].Get.Responses["200"].Content = map[string]*huma.MediaType{
		typeTar: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}
}

func (m *manageAPI) getBackup(ctx context.Context, in *manageBackupIn) (*manageBackupOut, error) {
	if _, _, err := m.projectFor(ctx, auth.Administer, in.Project); err != nil {
		return nil, err
	}
	if !m.backingUp.CompareAndSwap(false, true) {
		return nil, manageErrorf(http.StatusConflict, "A backup is being taken already; take another one when it has ended")
	}
	// It lasts longer than other calls may.
	running := m.startBackup(context.WithoutCancel(ctx), in.MasterKey)
	return &manageBackupOut{Body: func(c huma.Context) {
		answer := humafiber.Unwrap(c)
		answer.Set(fiber.HeaderContentType, typeTar)
		answer.Set(fiber.HeaderContentDisposition, `attachment; filename="sluice-backup.tar"`)
		if answer.Method() == fiber.MethodHead {
			_ = running.Close()
			return
		}
		answer.Context().SetBodyStream(running, -1)
	}}, nil
}

// startBackup begins a backup, which is written as fast as it is read.
func (m *manageAPI) startBackup(ctx context.Context, master bool) *runningBackup {
	ctx, cancel := context.WithCancel(ctx)
	from, to := io.Pipe()
	r := &runningBackup{from: from, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		w := bufio.NewWriterSize(to, backupBuffer)
		err := m.backup.Write(ctx, w, master)
		if err == nil {
			err = w.Flush()
		}
		if err != nil && ctx.Err() == nil {
			m.log.Error("a backup broke off", slog.Any("error", err))
		}
		m.backingUp.Store(false)
		// With an error the transport breaks the answer off, so that the client does not take it for whole.
		_ = to.CloseWithError(err)
	}()
	return r
}

// runningBackup is a backup that is being sent. The transport reads it on one goroutine and closes it when it has sent it, or given up.
type runningBackup struct {
	from   *io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
	// sending is called before what was read is sent; may be nil.
	sending func()
}

func (r *runningBackup) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.sending != nil {
		r.sending()
	}
	return n, err
}

// Close ends the backup, if it has not come to its end, and returns when nothing works on it any more.
func (r *runningBackup) Close() error {
	r.cancel()
	err := r.from.CloseWithError(errors.New("nobody reads the backup any more"))
	<-r.ended
	return err
}
