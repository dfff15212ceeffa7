// Package server hides how load and durability tests get a real sluice: built from this module, started
// as a child process on a free loopback port, ended politely or by kill -9, and started again on the
// same port and data. Also how to make streams and tokens on it by its management API.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// readyTimeout is how long a server may take until /ready says 200.
const readyTimeout = 30 * time.Second

// Config says how the server is run.
type Config struct {
	Binary string    // what Build made
	Data   string    // folder for --data
	Addr   string    // host:port; empty: a free port of 127.0.0.1
	Token  string    // the admin token; empty: a random one
	Env    []string  // NAME=value, beside PATH, HOME and the admin token
	Args   []string  // further arguments of `sluice serve`
	Stderr io.Writer // where the log goes; nil: dropped
}

// Process is a running server. Its methods may be called by one goroutine at a time.
type Process struct {
	Admin
	Addr string // host:port
	cfg  Config
	cmd  *exec.Cmd

	done chan struct{} // closed when the process has ended, after err is set
	err  error
}

// Start runs the server and returns when it is ready. The caller ends it with Stop or Kill; the end of
// ctx kills it.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	if cfg.Addr == "" {
		addr, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		cfg.Addr = addr
	}
	if cfg.Token == "" {
		cfg.Token = fmt.Sprintf("loadtest-%016x%016x", rand.Uint64(), rand.Uint64())
	}
	args := append([]string{"serve", "--listen", cfg.Addr, "--data", cfg.Data}, cfg.Args...)
	cmd := exec.CommandContext(ctx, cfg.Binary, args...)
	// Nothing of the caller's own SLUICE_ settings may change what is measured.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cfg.Data, "SLUICE_ADMIN_TOKEN=" + cfg.Token}, cfg.Env...)
	cmd.Stdout, cmd.Stderr = cfg.Stderr, cfg.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	p := &Process{Addr: cfg.Addr, Admin: Admin{Base: "http://" + cfg.Addr, Token: cfg.Token}, cfg: cfg, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := p.waitReady(ctx); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// Again starts an ended server on the same address and data, with the same admin token.
func (p *Process) Again(ctx context.Context) (*Process, error) { return Start(ctx, p.cfg) }

func (p *Process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	last := "no answer"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Base+"/ready", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			last = fmt.Sprintf("%d %s", resp.StatusCode, text)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w: it ended: %v", ErrNotReady, p.err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ErrNotReady, last)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the server with SIGKILL, as a crash would, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails only for a process that has ended
	<-p.done
}

// Stop asks the server to drain with SIGTERM and gives its exit code. One that has not ended after
// grace is killed, which is an error.
func (p *Process) Stop(grace time.Duration) (code int, err error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(grace):
		p.Kill()
		return -1, fmt.Errorf("the server did not end within %s of SIGTERM", grace)
	}
}

// FreeAddr finds a free port of 127.0.0.1, host:port, below those the kernel gives to outgoing connections. A port among them could
// be taken by a client that reconnects while the server is down, even by a connection to itself.
func FreeAddr() (string, error) {
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return "", err
		}
		return addr, nil
	}
	return "", ErrNoPort
}
