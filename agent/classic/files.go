package classic

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// replace writes a file so that a reader sees the old one or the new one, never a part, and so that nothing which
// somebody else put at its name (a symbolic link, a fifo, a hard link) is followed or written to: the content goes into a
// new file under a name that can't be guessed, which then takes the name over. mode is exact, whatever the umask.
func replace(path string, content []byte, mode os.FileMode) error {
	var salt [12]byte
	rand.Read(salt[:]) // never fails
	fresh := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+hex.EncodeToString(salt[:]))
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(fresh))
	}
	return nil
}

// pidDir is where pid files are unless somebody says otherwise.
const pidDir = "/run"

// pidFiles are the files that name this process.
type pidFiles struct {
	paths   []string
	written []string
}

// pidNames finds the places of the pid files: those that were asked for, else keepalived's own, which depend on the
// instance's name and the network namespace.
func pidNames(o Options, instance, namespace string, usePIDDir, vrrp bool) []string {
	dir, suffix := pidDir, ""
	if usePIDDir || instance != "" || namespace != "" {
		dir = filepath.Join(pidDir, "keepalived")
	}
	if namespace != "" {
		dir = filepath.Join(dir, "keepalived_"+namespace)
	}
	if instance != "" {
		suffix = "_" + instance
	}
	var out []string
	add := func(asked, name string, wanted bool) {
		switch {
		case asked != "" && wanted:
			out = append(out, asked)
		case wanted:
			out = append(out, filepath.Join(dir, name+suffix+".pid"))
		}
	}
	add(o.PIDFile, "keepalived", true)
	add(o.VRRPPIDFile, "vrrp", vrrp || o.All || o.VRRPPIDFile != "")
	add(o.CheckersPIDFile, "checkers", o.All && !o.VRRPOnly || o.CheckersPIDFile != "")
	add(o.BFDPIDFile, "bfd", o.All || o.BFDPIDFile != "")
	return out
}

// holder is a process that a pid file names and that lives.
type holder struct {
	pid  int
	name string
	file string
}

// running finds a live process that one of the files names. A process that has nothing to do with VRRP is none: its
// number was used again.
func (p *pidFiles) running() (holder, bool) {
	for _, path := range p.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		if name := processName(pid); name != "" && (speaksVRRP(name) || speaksVRRP(programName(pid))) {
			return holder{pid, name, path}, true
		}
	}
	return holder{}, false
}

// speaksVRRP reports whether a program of this name may be a VRRP daemon: keepalived, its children, or this program.
func speaksVRRP(name string) bool {
	return strings.HasPrefix(name, "keepalived") || strings.HasPrefix(name, "reeve")
}

// processName is what the kernel calls a process, "" when there is none. A zombie is none.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	s := string(b)
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open || len(s) < end+3 || s[end+2] == 'Z' {
		return ""
	}
	return s[open+1 : end]
}

// programName is what the file of a process's program is called, which process_name does not change.
func programName(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(exe)
}

// write makes the files; one that can't be made ends the start.
func (p *pidFiles) write() error {
	content := []byte(strconv.Itoa(os.Getpid()) + "\n")
	for _, path := range p.paths {
		dir := filepath.Dir(path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("pid file: %w", err)
		}
		if under(dir) {
			_ = os.Chmod(dir, 0o755) // a umask may have had its way; to write tells whether it matters
		}
		if err := replace(path, content, 0o644); err != nil {
			return fmt.Errorf("pid file: %w", err)
		}
		p.written = append(p.written, path)
	}
	return nil
}

// under reports whether a directory is keepalived's own.
func under(dir string) bool {
	own := filepath.Join(pidDir, "keepalived")
	return dir == own || strings.HasPrefix(dir, own+"/")
}

// remove takes away what write made, unless another process has taken the name over since.
func (p *pidFiles) remove() {
	own := strconv.Itoa(os.Getpid())
	for _, path := range p.written {
		if b, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(b)) != own {
			continue
		}
		_ = os.Remove(path) // what is left is a number that nobody has
		if dir := filepath.Dir(path); under(dir) {
			_ = os.Remove(dir) // keepalived's own directory goes too, when it is empty
		}
	}
	p.written = nil
}
