package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// storeLimit is what JetStream is told it may use: far above any disk, for JetStream answers its own limit by refusing
// for good, whereas the disk guard refuses only while the disk is full.
const storeLimit = 1 << 60

// startServer brings the embedded server up over dir and returns when its streams are recovered.
func startServer(ctx context.Context, cfg *Config) (*server.Server, error) {
	opts := &server.Options{
		ServerName:             "sluice",
		DontListen:             true,
		NoSigs:                 true,
		NoSystemAccount:        true,
		JetStream:              true,
		StoreDir:               cfg.Dir,
		JetStreamMaxStore:      storeLimit,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
		MaxPayload:             int32(max(8<<20, cfg.maxStored()+recordSlack)),
		SyncAlways:             cfg.Durability == "disk",
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded log: %w", err)
	}
	logs := &serverLog{log: cfg.Log.With(slog.String("part", "nats"))}
	srv.SetLoggerV2(logs, false, false, false)
	started := make(chan struct{})
	go func() {
		srv.Start() // returns once the streams are recovered: it has no port to serve
		close(started)
	}()
	select {
	case <-started:
	case <-ctx.Done():
		srv.Shutdown()
		<-started
		srv.WaitForShutdown()
		return nil, fmt.Errorf("embedded log did not start: %w", context.Cause(ctx))
	}
	// Start has returned, so this answers at once unless it failed; a busy machine may take a while to come back to us.
	if !srv.ReadyForConnections(time.Second) || !srv.JetStreamEnabled() {
		srv.Shutdown()
		srv.WaitForShutdown()
		if msg := logs.lastError(); msg != "" {
			return nil, fmt.Errorf("embedded log did not start: %s", msg)
		}
		return nil, errors.New("embedded log did not start")
	}
	return srv, nil
}

// lockDir takes the folder for this process until the file is closed, which the kernel does for a killed process too.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, fmt.Errorf("lock of the data folder: %w", err)
	}
	return f, nil
}

// serverLog hands the server's lines to slog. Its notices are routine here, so they are debug lines.
type serverLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
}

func (l *serverLog) lastError() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *serverLog) line(level slog.Level, format string, args []any) {
	if !l.log.Enabled(context.Background(), level) && level < slog.LevelError {
		return
	}
	text := fmt.Sprintf(format, args...)
	if level >= slog.LevelError {
		l.mu.Lock()
		l.last = text
		l.mu.Unlock()
	}
	l.log.Log(context.Background(), level, "log server", slog.String("line", text))
}

func (l *serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l *serverLog) Fatalf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
