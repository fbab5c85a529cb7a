package track

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const cmdlineBound = 4096 // of a command line, what is read of it

// procfs reads proc(5) without garbage where it is read often. Owned by one goroutine.
type procfs struct {
	root string
	path []byte
	buf  []byte
	dir  []byte
	own  bool // the processes here are those of our own pid namespace: numbers mean the same to the kernel
}

func newProcfs(root string) *procfs {
	p := &procfs{root: root, buf: make([]byte, cmdlineBound), dir: make([]byte, 32<<10)}
	self, err := os.Readlink(root + "/self")
	p.own = err == nil && self == strconv.Itoa(os.Getpid())
	return p
}

// read reads a small file into the buffer that the next read overwrites.
func (p *procfs) read(pid int, name string) ([]byte, bool) {
	p.path = append(p.path[:0], p.root...)
	p.path = append(p.path, '/')
	if pid > 0 {
		p.path = append(strconv.AppendInt(p.path, int64(pid), 10), '/')
	}
	p.path = append(p.path, name...)
	fd, err := unix.Open(string(p.path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, p.buf)
	if err != nil {
		return nil, false
	}
	return p.buf[:n], true
}

// last is the number that was given to a process or thread last; while it stays there is nobody new.
func (p *procfs) last() (string, bool) {
	b, ok := p.read(0, "loadavg")
	if !ok || !p.own {
		return "", false
	}
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, ' ')+1:]), true
}

// name is a process's name, ok unless it is gone or a zombie.
func (p *procfs) name(pid int) (comm string, ok bool) {
	b, ok := p.read(pid, "stat")
	begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if !ok || begin < 0 || end < begin || end+2 >= len(b) {
		return "", false
	}
	switch b[end+2] {
	case 'Z', 'X', 'x':
		return "", false
	}
	return string(b[begin+1 : end]), true
}

// arguments is a process's command line.
func (p *procfs) arguments(pid int) []string {
	b, ok := p.read(pid, "cmdline")
	if !ok || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// pids calls each with the number of every process.
func (p *procfs) pids(each func(pid int)) error {
	fd, err := unix.Open(p.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: p.root, Err: err}
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Getdents(fd, p.dir)
		if err != nil {
			return &os.PathError{Op: "getdents", Path: p.root, Err: err}
		}
		if n <= 0 {
			return nil
		}
		eachNumber(p.dir[:n], each)
	}
}

const direntName = 19 // offset of d_name in linux_dirent64

// eachNumber walks through directory entries.
func eachNumber(b []byte, each func(n int)) {
	for len(b) > direntName {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size <= direntName || size > len(b) {
			return
		}
		n := 0
		for _, c := range b[direntName:size] {
			if c < '0' || c > '9' {
				if c != 0 {
					n = 0
				}
				break
			}
			n = n*10 + int(c-'0')
		}
		if n > 0 {
			each(n)
		}
		b = b[size:]
	}
}
