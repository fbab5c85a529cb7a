package script

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrInsecure is a script that is not run as root, because others could have changed it.
var ErrInsecure = errors.New("insecure script is not run as root")

// DefaultUser is who runs scripts that nobody says a user of: keepalived_script if there is such a user and this is root,
// else "", which is the agent's own.
func DefaultUser() string {
	const name = "keepalived_script"
	if _, err := lookupUser(name); err != nil || os.Geteuid() != 0 {
		return ""
	}
	return name
}

// vet refuses what must not run as root. Of a line for the shell the first word is looked at, if it is a path.
func (s Spec) vet(who identity) error {
	if !s.Secure || os.Geteuid() != 0 || who.credential != nil && who.credential.Uid != 0 {
		return nil
	}
	if err := s.insecure(); err != nil {
		return fmt.Errorf("%w: %w", ErrInsecure, err)
	}
	return nil
}

// Vet is why a script that asks for Secure will not be run, nil if it will. It reads the file system.
func (s Spec) Vet() error {
	s = withDefaults(s)
	who, err := identify(s.User, s.Group)
	if err != nil {
		return err
	}
	return s.vet(who)
}

func (s Spec) insecure() error {
	program := s.Argv[0]
	if s.Shell != "" {
		first, _, _ := strings.Cut(strings.TrimSpace(s.Shell), " ")
		if !strings.HasPrefix(first, "/") {
			return nil
		}
		program = first
	}
	return Insecure(program)
}

// Insecure is why a program must not be run as root: somebody else could put another in its place, because the file, a
// folder on the way to it, or what a link on the way points to, belongs to another user or may be written by one. nil when
// only root can. A name without a slash is looked for in PATH. It reads the file system.
func Insecure(program string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("script %s: %w", program, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("script %s: %w", program, err)
	}
	return insecure(path, 0)
}

const linkBound = 40 // as the kernel's

// insecure looks at each part of a path, from the root on, and at where links lead.
func insecure(path string, links int) error {
	if links > linkBound {
		return fmt.Errorf("%s: too many links", path)
	}
	var parts []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		parts = append(parts, p)
		if p == "/" {
			break
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		p := parts[i]
		st, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if st.Mode()&os.ModeSymlink == 0 {
			if err := onlyRoots(p, st); err != nil {
				return err
			}
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != 0 {
			return fmt.Errorf("%s is a link that does not belong to root", p)
		}
		to, err := os.Readlink(p)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(p), to)
		}
		if i > 0 {
			rest, err := filepath.Rel(p, parts[0])
			if err != nil {
				return err
			}
			to = filepath.Join(to, rest)
		}
		return insecure(to, links+1)
	}
	return nil
}

// onlyRoots: a folder with the sticky bit may be written by all, since what root has in it stays root's.
func onlyRoots(path string, st os.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: owner unknown", path)
	}
	sticky := st.IsDir() && st.Mode()&os.ModeSticky != 0
	switch mode := st.Mode().Perm(); {
	case sys.Uid != 0:
		return fmt.Errorf("%s belongs to uid %d, not to root", path, sys.Uid)
	case sticky:
		return nil
	case mode&0o002 != 0:
		return fmt.Errorf("%s may be written by everybody", path)
	case mode&0o020 != 0 && sys.Gid != 0:
		return fmt.Errorf("%s may be written by group %d", path, sys.Gid)
	}
	return nil
}
