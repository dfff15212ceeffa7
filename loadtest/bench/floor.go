package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"

	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

// A floor that is a server runs in a process of its own, as sluice does: this binary again, started
// with --floor. It says its address in a line on standard output, and ends when its standard input
// does, so that it cannot outlive the bench.

// floorProcess is a running floor.
type floorProcess struct {
	addr  string
	stdin io.WriteCloser
	cmd   *exec.Cmd
}

func startFloor(ctx context.Context, args ...string) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"--floor"}, args...)...)
	cmd.Env = append(os.Environ(), floorEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floorProcess{stdin: stdin, cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		f.end()
		return nil, fmt.Errorf("the floor said no address: %w", err)
	}
	f.addr = strings.TrimSpace(line)
	return f, nil
}

// floorEnv tells the test binary, which is what os.Executable is in a test, to be a floor.
const floorEnv = "SLUICE_BENCH_FLOOR"

// begin makes the stream floor send.
func (f *floorProcess) begin() error {
	_, err := io.WriteString(f.stdin, "go\n")
	return err
}

func (f *floorProcess) end() {
	f.stdin.Close()
	_ = f.cmd.Wait() // its exit code says nothing about the measurement
}

// serveFloor is the floor's own main.
func serveFloor(o options, stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, l.Addr())
	switch o.floor {
	case "post":
		go servePosts(l)
	case "receive":
		go serveReceiver(l)
	case "stream":
		in := bufio.NewReader(stdin)
		return serveStreams(l, in, o.replay, o.expect)
	default:
		return fmt.Errorf("no floor %q", o.floor)
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

// servePosts answers every POST /event with 204.
func servePosts(l net.Listener) {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Post("/event", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusNoContent) })
	_ = app.Listener(l) // ends with the process
}

// floorWrite is how much the stream floor gives to one write: as much as sluice's largest chunk.
const floorWrite = 64 << 10

// socketSuffix is that of a recording of websocket frames.
const socketSuffix = ".ws"

// serveStreams answers that many requests with the head of a stream, waits for a line of input, and
// writes the bytes of the file to all of them, piece by piece: one loop per core over its share of the
// connections.
func serveStreams(l net.Listener, stdin *bufio.Reader, file string, expect int) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	switch {
	case strings.HasSuffix(file, ".gz"):
		head += "Content-Encoding: gzip\r\n"
	case strings.HasSuffix(file, socketSuffix):
		head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	}
	conns := make([]net.Conn, expect)
	for i := range conns {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		if conns[i] = c; readHead(c) != nil {
			return errors.New("a consumer left")
		}
		if _, err := io.WriteString(c, head+"\r\n"); err != nil {
			return err
		}
	}
	if _, err := stdin.ReadString('\n'); err != nil {
		return err
	}
	var loops sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for i := range cores {
		mine := conns[i*expect/cores : (i+1)*expect/cores]
		loops.Go(func() {
			for at := 0; at < len(content); at += floorWrite {
				piece := content[at:min(at+floorWrite, len(content))]
				for _, c := range mine {
					if _, err := c.Write(piece); err != nil {
						return // the client counts bytes and sees what is missing
					}
				}
			}
		})
	}
	loops.Wait()
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func readHead(c net.Conn) error {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			return nil
		}
	}
}

// checkAndSeal is what no gateway can do without: on every core, hold event after event to be JSON and
// encrypt its two personal fields. It gives events per second.
func (b *bench) checkAndSeal(newSeal func() sealer, d time.Duration) (float64, error) {
	lines := make([][]byte, 1000)
	g := sample.New(uint64(b.run), b.people)
	for i := range lines {
		lines[i] = g.SeedLine(nil, sample.Marker{Producer: 1, N: uint64(i)})
	}
	var done atomic.Int64
	var stop atomic.Bool
	var cores sync.WaitGroup
	errs := make(chan error, runtime.GOMAXPROCS(0))
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		cores.Go(func() {
			seal := newSeal()
			var text []byte
			for !stop.Load() {
				for _, line := range lines {
					if !gjson.ValidBytes(line) {
						errs <- errors.New("a sample event is not JSON")
						return
					}
					text = seal(text[:0], sealedID)
					text = seal(text, sealedSession)
				}
				done.Add(int64(len(lines)))
			}
		})
	}
	time.Sleep(d)
	stop.Store(true)
	cores.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return float64(done.Load()) / time.Since(began).Seconds(), nil
	}
}

var sealedID, sealedSession = []byte("cust-000017"), []byte("s-000017")

// syncFloor is how long the disk takes for one event, in microseconds, for d: 400 bytes more in a file, and an fsync.
// It keeps the pace of the events it is the floor of: a disk and a core that have nothing to do in between wake up
// more slowly than ones that are never let go to sleep.
func (b *bench) syncFloor(d time.Duration) ([]float64, error) {
	f, err := os.CreateTemp(b.dir, "fsync-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var times []float64
	block := make([]byte, 400)
	pace := time.NewTicker(time.Second / latencyRate)
	defer pace.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		<-pace.C
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(began).Nanoseconds())/1e3)
	}
	return times, nil
}

// openFloorStreams is the request a consumer sends to the stream floor.
func openFloorStreams(addr string) []byte { return wire.Request("GET", "/", addr, nil, nil) }

func floorArgs(file string, expect int) []string {
	return []string{"stream", "--replay", file, "--expect", strconv.Itoa(expect)}
}
