package engine

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
)

// Unix sockets: one socket that all loops accept from, as SO_REUSEPORT does not exist there, and a file that is ours as
// long as we listen.

// fileID is what tells our socket's file from one that another program has put in its place.
type fileID struct{ dev, ino uint64 }

// listenUnix makes the socket and a descriptor of it for each of n loops. The file appears under its name when it is
// listened on and has its owner, in the place of what a program that is no more has left there.
func listenUnix(g *group, b *proxy.Bind, n int) error {
	path := g.place.unix
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	g.fds = append(g.fds, int32(fd))
	for range n - 1 {
		other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("dup: %w", err)
		}
		g.fds = append(g.fds, int32(other))
	}
	sa := newUnixSockaddr(path)
	abstract := path[0] == '@'
	temporary := path + "." + strconv.Itoa(os.Getpid())
	if !abstract {
		if err := vacant(path); err != nil {
			return err
		}
		os.Remove(temporary) // of an earlier process with our number
		sa = newUnixSockaddr(temporary)
	}
	if e := sysBind(int32(fd), &sa); e != 0 {
		return fmt.Errorf("bind: %w", e)
	}
	if abstract {
		return listenWith(fd, b)
	}
	defer os.Remove(temporary) // unless it has its name
	if err := permit(temporary, b); err != nil {
		return err
	}
	if err := listenWith(fd, b); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	g.file, _ = identify(path)
	return nil
}

func identify(path string) (fileID, bool) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino}, true
}

// remove takes the file of a Unix socket away, unless it is somebody else's by now.
func (g *group) remove() {
	if id, ok := identify(g.place.unix); ok && g.place.unix != "" && g.place.unix[0] != '@' && id == g.file {
		os.Remove(g.place.unix)
	}
}

// vacant is an error where somebody listens on a path, or where it is no socket's.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is no socket", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case nil:
	case unix.EAGAIN: // its backlog is full
		return fmt.Errorf("it is held by a program that is busy")
	case unix.ECONNREFUSED:
		return nil
	default:
		return err
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return fmt.Errorf("it is held by another program")
	}
	return fmt.Errorf("it is held by %s (pid %d)", programName("/proc/"+strconv.Itoa(int(cred.Pid))), cred.Pid)
}

// permit gives a socket's file the owner and the mode that its bind wants.
func permit(path string, b *proxy.Bind) error {
	uid, gid, err := owners(b)
	if err != nil {
		return err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	if b.Mode == "" {
		return nil
	}
	mode, err := strconv.ParseUint(b.Mode, 8, 9)
	if err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	return os.Chmod(path, os.FileMode(mode))
}

// owners are the numbers of a bind's user and group; -1 where it names none.
func owners(b *proxy.Bind) (uid, gid int, err error) {
	uid, gid = -1, -1
	if b.User != "" {
		if uid, err = strconv.Atoi(b.User); err != nil {
			u, err := user.Lookup(b.User)
			if err != nil {
				return -1, -1, err
			}
			uid, _ = strconv.Atoi(u.Uid)
		}
	}
	if b.Group != "" {
		if gid, err = strconv.Atoi(b.Group); err != nil {
			g, err := user.LookupGroup(b.Group)
			if err != nil {
				return -1, -1, err
			}
			gid, _ = strconv.Atoi(g.Gid)
		}
	}
	return uid, gid, nil
}

// tryUnix tells what would keep us from listening on a path.
func tryUnix(b *proxy.Bind) error {
	if strings.HasPrefix(b.Unix, "@") {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		defer unix.Close(fd)
		sa := newUnixSockaddr(b.Unix)
		if e := sysBind(int32(fd), &sa); e != 0 {
			return e
		}
		return nil
	}
	if _, _, err := owners(b); err != nil {
		return err
	}
	dir := filepath.Dir(b.Unix)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return vacant(b.Unix)
}
