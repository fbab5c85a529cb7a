package vip

import "golang.org/x/sys/unix"

// recvfrom is the system call, again when a signal of the runtime came between: a socket with a timeout is not restarted.
func recvfrom(fd int, b []byte, flags int) (n int, from unix.Sockaddr, err error) {
	for {
		if n, from, err = unix.Recvfrom(fd, b, flags); err != unix.EINTR {
			return n, from, err
		}
	}
}
