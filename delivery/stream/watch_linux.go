package stream

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watch hears of all connections followed when their clients leave. The kernel keeps the list, so that thousands cost
// neither goroutines nor time; its descriptor is itself one that the runtime's poller waits for. Safe for concurrent use.
type watch struct {
	mu   sync.Mutex
	file *os.File        // the epoll instance; nil until the first connection
	list syscall.RawConn // of file
	over bool
	last uint64
	all  map[uint64]*farEnd
}

func newWatch() *watch { return &watch{all: map[uint64]*farEnd{}} }

// start makes the epoll instance and its goroutine, which ends with close. The caller holds mu.
func (w *watch) start() error {
	if w.over {
		return errNoWatch
	}
	if w.file != nil {
		return nil
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "clients")
	list, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return err
	}
	w.file, w.list = file, list
	go w.listen()
	return nil
}

func (w *watch) listen() {
	var events [64]syscall.EpollEvent
	_ = w.list.Read(func(fd uintptr) (stop bool) {
		for {
			n, err := syscall.EpollWait(int(fd), events[:], 0)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return true
			}
			if n == 0 {
				return false
			}
			for _, e := range events[:n] {
				w.tell(e)
			}
		}
	})
}

func (w *watch) tell(e syscall.EpollEvent) {
	w.mu.Lock()
	f := w.all[uint64(uint32(e.Pad))<<32|uint64(uint32(e.Fd))]
	w.mu.Unlock()
	if f == nil {
		return // forgotten since
	}
	if e.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		f.said(broken)
		return
	}
	f.said(ended)
}

// add begins to watch a connection. What the kernel tells names the key, not the descriptor, whose number may be
// another connection's by then.
func (w *watch) add(f *farEnd) error {
	w.mu.Lock()
	if err := w.start(); err != nil {
		w.mu.Unlock()
		return err
	}
	w.last++
	f.key = w.last
	w.all[f.key] = f
	w.mu.Unlock()
	err := w.control(f, syscall.EPOLL_CTL_ADD, syscall.EPOLLRDHUP)
	if err != nil {
		w.drop(f)
	}
	return err
}

// again goes on watching a connection whose far end sends no more: what is left to hear is that it is gone.
func (w *watch) again(f *farEnd) error { return w.control(f, syscall.EPOLL_CTL_MOD, 0) }

func (w *watch) remove(f *farEnd) {
	// One that is closed already has left the kernel's list by itself.
	_ = w.control(f, syscall.EPOLL_CTL_DEL, 0)
	w.drop(f)
}

func (w *watch) drop(f *farEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, f.key)
}

// control changes the kernel's list. Each event is told once, until it is asked for again.
func (w *watch) control(f *farEnd, op int, events uint32) error {
	e := syscall.EpollEvent{Events: events | syscall.EPOLLONESHOT, Fd: int32(f.key), Pad: int32(f.key >> 32)}
	var failed error
	err := f.raw.Control(func(fd uintptr) {
		err := w.list.Control(func(epoll uintptr) { failed = syscall.EpollCtl(int(epoll), op, int(fd), &e) })
		failed = errors.Join(failed, err)
	})
	return errors.Join(failed, err)
}

// close ends the watch; nothing more is told.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.file != nil {
		_ = w.file.Close()
	}
}

// unanswered is how long a socket's far end has acknowledged nothing, while there is something to acknowledge.
func unanswered(fd int) time.Duration {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Unacked == 0 {
		return 0
	}
	return time.Duration(info.Last_ack_recv) * time.Millisecond
}
