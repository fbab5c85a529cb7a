package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab"
)

// hooksConf has scripts of the daemon's own start and end.
const hooksConf = `global_defs {
   enable_script_security
   script_user root
   startup_script "/bin/sh -c 'echo up >> /run/hooked'"
   shutdown_script "/bin/sh -c 'echo down >> /run/hooked'"
}
vrrp_instance VI_1 {
   interface eth0
   virtual_router_id 51
   priority 255
   virtual_ipaddress {
      10.77.0.100/24
   }
}
`

// TestNamespace: with -s the daemon speaks in a namespace of `ip netns`, whoever starts it wherever. Its start is still
// answered, its pid files and its log are where one looks for them, and the scripts of its start and end run.
func TestNamespace(t *testing.T) {
	n := lab.New(t)
	outside, red := newBox(t, n, "outside", "10.77.0.1/16"), n.Host("red", "10.77.0.2/16")
	outside.write("keepalived.conf", hooksConf)
	inside := n.Start(red, "sleep", "600")
	const named = `mkdir -p /run/netns && : > /run/netns/red && mount --bind /proc/$1/ns/net /run/netns/red && shift && exec "$@"`
	code, out := outside.exit("sh", "-c", named, "sh", strconv.Itoa(inside.Pid()), ours, "-s", "red", "-f", "/run/keepalived.conf", "-d", "-a",
		"-g", "/run/log")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	pid := outside.pid("keepalived/keepalived_red/keepalived.pid")
	if outside.pid("keepalived/keepalived_red/vrrp.pid") != pid {
		t.Error("the pid files disagree")
	}
	there := *outside
	there.h = red
	there.until("MASTER", func() bool { return there.has("eth0", "10.77.0.100") })
	if outside.has("eth0", "10.77.0.100") {
		t.Error("the address is on the host that started the daemon")
	}
	n.Must(red.AddAddr("eth0", "10.77.0.55/16"))
	log := func() string {
		b, err := os.ReadFile(filepath.Join(outside.run, "log"))
		n.Must(err)
		return string(b)
	}
	for _, want := range []string{
		": Startup complete\n", ":  VRRP Instance = VI_1\n", ": (VI_1) Entering MASTER STATE", ": Assigned address 10.77.0.55 for interface eth0\n",
	} {
		there.until(fmt.Sprintf("logged %q", want), func() bool { return strings.Contains(log(), want) })
	}
	n.Must(syscall.Kill(pid, syscall.SIGTERM))
	there.until("gone", func() bool { return syscall.Kill(pid, 0) != nil && !there.has("eth0", "10.77.0.100") })
	if hooked, err := os.ReadFile(filepath.Join(outside.run, "hooked")); err != nil || string(hooked) != "up\ndown\n" {
		t.Errorf("the scripts of start and end wrote %q (%v)", hooked, err)
	}
	if left, _ := filepath.Glob(filepath.Join(outside.run, "keepalived", "*", "*.pid")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if strings.Count(log(), "Assigned address 10.77.0.100 ") != 1 {
		t.Errorf("an address whose lifetime is extended is reported again and again: %s", log())
	}
}
