package classic

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/vrrp"
)

// vrrpProtocol is VRRP's IP protocol number (RFC 9568 section 5.1.1.4), as /proc/net/raw writes it.
const vrrpProtocol = "0070"

// rival is another process of this network namespace that speaks VRRP.
type rival struct {
	pid  int
	name string
}

// rivals finds who else has a raw socket for VRRP.
func rivals() []rival {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/self/net/raw", "/proc/self/net/raw6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue // no such family
		}
		for l := range bytes.Lines(b) {
			f := strings.Fields(string(l))
			if len(f) > 9 && strings.HasSuffix(f[1], ":"+vrrpProtocol) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	var out []rival
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err == nil && pid != os.Getpid() && holds(p.Name(), inodes) {
			out = append(out, rival{pid, processName(pid)})
		}
	}
	return out
}

func holds(pid string, inodes map[string]bool) bool {
	dir := filepath.Join("/proc", pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false // gone, or not ours to see
	}
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		return err == nil && inodes[to]
	})
}

// clash says what another process has in common with c. ok is false when it speaks for other virtual routers; what it
// speaks for is read from the file that its command line names.
func (r rival) clash(c vrrp.Config) (text string, ok bool) {
	who := fmt.Sprintf("process %d (%s) on this host", r.pid, r.name)
	theirs, err := r.config()
	if err != nil {
		return fmt.Sprintf("%s speaks VRRP too; for which virtual routers can't be told: %v", who, err), true
	}
	var both []string
	for _, in := range c.Instances {
		for _, t := range theirs.Instances {
			if in.VirtualRouterID == t.VirtualRouterID && in.Interface == t.Interface {
				both = append(both, fmt.Sprintf("virtual_router_id %d on %s (%s here, %s there)", in.VirtualRouterID, in.Interface, in.Name, t.Name))
			}
		}
	}
	if len(both) == 0 {
		return "", false
	}
	return fmt.Sprintf("%s speaks for %s too: one of the two has to stop", who, strings.Join(both, ", ")), true
}

// config reads the configuration of another keepalived, or of this program under that name.
func (r rival) config() (vrrp.Config, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.pid))
	if err != nil {
		return vrrp.Config{}, err
	}
	argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	if len(argv) > 1 && argv[1] == "keepalived" {
		argv = argv[1:]
	}
	if filepath.Base(argv[0]) != "keepalived" {
		return vrrp.Config{}, fmt.Errorf("%s is no keepalived", filepath.Base(argv[0]))
	}
	o, err := Parse(argv)
	if err != nil {
		return vrrp.Config{}, err
	}
	if !filepath.IsAbs(o.File) {
		o.File = filepath.Join(fmt.Sprintf("/proc/%d/cwd", r.pid), o.File)
	}
	c, _, err := load(o) // its mistakes are its own
	return c, err
}
