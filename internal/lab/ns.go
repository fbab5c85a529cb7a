package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name, held by a file descriptor.
type namespace struct {
	file  *os.File
	inode uint64
}

const threadNS = "/proc/thread-self/ns/net"

// newNamespace makes an empty network namespace; the thread that made it is thrown away.
func newNamespace() (*namespace, error) {
	var ns *namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		f, err := os.Open(threadNS)
		if err != nil {
			return fmt.Errorf("holding the network namespace: %w", err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return errors.Join(fmt.Errorf("network namespace: %w", err), f.Close())
		}
		ns = &namespace{file: f, inode: st.Ino}
		return nil
	})
	return ns, err
}

// do runs fn on a thread inside the namespace and waits for it.
func (ns *namespace) do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return fn()
	})
}

func (ns *namespace) close() error { return ns.file.Close() }

// onThread runs fn on a thread of its own and puts the thread's network namespace back afterwards. If that fails, or fn
// panics, the thread is never used again.
func onThread(fn func() error) error {
	home, err := os.Open(threadNS)
	if err != nil {
		return fmt.Errorf("own network namespace: %w", err)
	}
	defer home.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		finished := false
		defer func() {
			if !finished { // fn left by runtime.Goexit, as a failing test does
				done <- errors.New("the function did not return")
			}
		}()
		err := fn()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		finished = true
		done <- err
	}()
	return <-done
}
