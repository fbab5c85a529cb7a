package track

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

func TestMatch(t *testing.T) {
	args := func(a ...string) []string { return a }
	for _, tc := range []struct {
		name string
		p    vrrp.Process
		comm string
		argv []string
		want bool
	}{
		{"name", vrrp.Process{Command: "haproxy"}, "haproxy", nil, true},
		{"not a part of the name", vrrp.Process{Command: "ssh"}, "sshd", nil, false},
		{"name, whatever the arguments", vrrp.Process{Command: "haproxy"}, "haproxy", args("/usr/sbin/haproxy", "-f", "x"), true},
		{"long name", vrrp.Process{Command: "a-very-long-program-name"}, "a-very-long-pro", args("/opt/a-very-long-program-name"), true},
		{"long name, another end", vrrp.Process{Command: "a-very-long-program-name"}, "a-very-long-pro", args("/opt/a-very-long-program-nose"), false},
		{"long name of a script", vrrp.Process{Command: "a-very-long-program-name"}, "a-very-long-pro", args("/bin/bash", "/opt/a-very-long-program-name"), true},
		{"path", vrrp.Process{Command: "/usr/sbin/haproxy"}, "haproxy", args("/usr/sbin/haproxy", "-f", "x"), true},
		{"another path", vrrp.Process{Command: "/usr/sbin/haproxy"}, "haproxy", args("/opt/haproxy"), false},
		{"full command", vrrp.Process{Command: "/bin/a", Args: args("b"), FullCommand: true}, "a", args("/bin/a", "b"), true},
		{"full command, one argument more", vrrp.Process{Command: "/bin/a", Args: args("b"), FullCommand: true}, "a", args("/bin/a", "b", "c"), false},
		{"full command without arguments", vrrp.Process{Command: "/bin/a", FullCommand: true}, "a", args("/bin/a", "b"), false},
		{"arguments", vrrp.Process{Command: "a", Args: args("b", "c")}, "a", args("a", "b", "c"), true},
		{"exact", vrrp.Process{Command: "a", Args: args("b"), ParamMatch: "exact"}, "a", args("a", "b", "c"), false},
		{"param_match alone: none", vrrp.Process{Command: "a", ParamMatch: "partial"}, "a", args("a"), true},
		{"param_match alone: some", vrrp.Process{Command: "a", ParamMatch: "partial"}, "a", args("a", "b"), false},
		{"partial", vrrp.Process{Command: "a", Args: args("b", "c"), ParamMatch: "partial"}, "a", args("a", "b", "c", "d"), true},
		{"partial is not initial", vrrp.Process{Command: "a", Args: args("b", "c"), ParamMatch: "partial"}, "a", args("a", "b", "cd"), false},
		{"initial", vrrp.Process{Command: "a", Args: args("b", "c"), ParamMatch: "initial"}, "a", args("a", "b", "cd"), true},
		{"initial, an earlier one differs", vrrp.Process{Command: "a", Args: args("b", "c"), ParamMatch: "initial"}, "a", args("a", "bx", "c"), false},
		{"initial, too few", vrrp.Process{Command: "a", Args: args("b", "c"), ParamMatch: "initial"}, "a", args("a", "b"), false},
		{"a kernel thread has no command line", vrrp.Process{Command: "a", FullCommand: true}, "a", nil, false},
	} {
		m := newMatcher(tc.p)
		if got := m.match(tc.comm, tc.argv); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestQuorum(t *testing.T) {
	type step struct {
		at    time.Duration
		count int
		up    bool
	}
	for _, tc := range []struct {
		name  string
		p     vrrp.Process
		steps []step
	}{
		{"one", vrrp.Process{}, []step{{0, 0, false}, {1, 1, true}, {2, 2, true}, {3, 0, false}}},
		{"two", vrrp.Process{Quorum: 2}, []step{{0, 1, false}, {1, 2, true}, {2, 1, false}}},
		{"at most two", vrrp.Process{Quorum: 1, QuorumMax: 2}, []step{{0, 1, true}, {1, 3, false}, {2, 2, true}, {3, 0, false}}},
		{"none at all", vrrp.Process{QuorumMax: -1}, []step{{0, 0, true}, {1, 1, false}, {2, 0, true}}},
		{"the first count has no delay", vrrp.Process{ForkDelay: 5}, []step{{0, 1, true}}},
		{"fork_delay", vrrp.Process{ForkDelay: 5}, []step{{0, 0, false}, {1, 1, false}, {5, 1, false}, {6, 1, true}}},
		{"gone within fork_delay", vrrp.Process{ForkDelay: 5}, []step{{0, 0, false}, {1, 1, false}, {5, 0, false}, {6, 1, false}, {11, 1, true}}},
		{"terminate_delay", vrrp.Process{TerminateDelay: 5}, []step{{0, 1, true}, {1, 0, true}, {5, 0, true}, {6, 0, false}, {7, 1, true}}},
		{"back within terminate_delay", vrrp.Process{TerminateDelay: 5}, []step{{0, 1, true}, {1, 0, true}, {3, 1, true}, {20, 1, true}}},
		{"too many after a fork", vrrp.Process{QuorumMax: 1, Quorum: 1, ForkDelay: 5, TerminateDelay: 9}, []step{{0, 1, true}, {1, 2, true}, {6, 2, false}, {7, 1, false}, {16, 1, true}}},
	} {
		q := quorum{c: tc.p}
		if q.state.Word() != "unknown" {
			t.Errorf("%s: begins as %s", tc.name, q.state.Word())
		}
		for _, s := range tc.steps {
			q.step(s.count, time.Unix(100, 0).Add(s.at))
			if q.state.Up != s.up || !q.state.Known || q.state.Count != s.count || q.state.Note == "" {
				t.Errorf("%s: at %d with %d: %+v", tc.name, s.at, s.count, q.state)
			}
		}
	}
}

// FuzzEvents: what comes from a socket of the kernel is read within its bounds.
func FuzzEvents(f *testing.F) {
	msg := make([]byte, unix.SizeofNlMsghdr+cnMsgLen+procEventLen+24)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint32(msg[16:], cnIdxProc)
	binary.NativeEndian.PutUint32(msg[36:], procEventFork)
	f.Add(msg)
	f.Add(msg[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		eachEvent(b, func(_ uint32, data []byte) {
			if n++; n > len(b) || len(data) > len(b) {
				t.Fatal("more than there is")
			}
		})
		eachNumber(b, func(n int) {
			if n <= 0 {
				t.Fatal("no number of a process")
			}
		})
	})
}
