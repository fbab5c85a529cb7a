package classic

import (
	"os"

	"golang.org/x/sys/unix"
)

// The signals of keepalived 2.2 with JSON support. The last two are real-time signals by the C library's count, which
// keeps 32 and 33 for itself: SIGRTMIN is 34 there, SIGRTMAX 64.
const (
	sigStop       = unix.SIGTERM
	sigReload     = unix.SIGHUP
	sigData       = unix.SIGUSR1
	sigStats      = unix.SIGUSR2
	sigJSON       = unix.Signal(36) // SIGRTMIN+2
	sigStatsClear = unix.Signal(63) // SIGRTMAX-1
)

// obeyed are all signals that a running daemon does something at.
var obeyed = []os.Signal{sigReload, sigStop, unix.SIGINT, sigData, sigStats, sigJSON, sigStatsClear}
