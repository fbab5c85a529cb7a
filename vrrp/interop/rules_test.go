package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// status asks a speaker for its status.
func (s segment) status(t *testing.T, p *lab.Process) speaker.InstanceStatus {
	t.Helper()
	n := strings.Count(p.Output(), "status: ")
	s.Must(p.Signal(syscall.SIGUSR1))
	for strings.Count(p.Output(), "status: ") == n || !strings.HasSuffix(p.Output(), "\n") {
		select {
		case <-s.ctx.Done():
			t.Fatal("no status")
		case <-time.After(20 * time.Millisecond):
		}
	}
	line := p.Output()
	line = line[strings.LastIndex(line, "status: ")+len("status: "):]
	line, _, _ = strings.Cut(line, "\n")
	// State is text in JSON and has no reader; what a test looks at is enough.
	var all []struct {
		Priority int
		Counters map[string]uint64
		Adverts  []speaker.AdvertSeen
		Cause    string
	}
	if err := json.Unmarshal([]byte(line), &all); err != nil || len(all) != 1 {
		t.Fatalf("status %q: %v", line, err)
	}
	return speaker.InstanceStatus{Priority: all[0].Priority, Counters: all[0].Counters, Adverts: all[0].Adverts, Cause: all[0].Cause}
}

// tracked makes an instance's script fail while the file is missing.
func tracked(c vrrp.Config, file string, weight int) vrrp.Config {
	c.Scripts = []vrrp.Script{{Name: "chk", Command: []string{"/usr/bin/test", "-e", file}, Interval: 200 * time.Millisecond, Weight: weight, Rise: 1, Fall: 2}}
	c.Instances[0].TrackScripts = []vrrp.Track{{Name: "chk"}}
	return c
}

// TestScriptWeight is scenario 12: the priority in the adverts falls, keepalived takes over, and gives back.
func TestScriptWeight(t *testing.T) {
	s := newSegment(t)
	flag := filepath.Join(t.TempDir(), "ok")
	s.Must(os.WriteFile(flag, nil, 0o600))
	adverts := s.capture(t, "ip.src", "vrrp.prio")
	p, _ := start(t, s.Test, s.a, tracked(config(100), flag, -60))
	s.keepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	s.Must(os.Remove(flag))
	s.Must(p.AwaitOutput(s.ctx, "(VI_1) Changing effective priority from 100 to 40"))
	if _, err := adverts.Await(s.ctx, 1, func(r []string) bool { return r[0] == "10.91.0.1" && r[1] == "40" }); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.owner(t, s.b)
	if d := time.Since(begin); d > 3700*time.Millisecond+tolerance {
		t.Errorf("keepalived took over after %v", d)
	}
	if st := s.status(t, p); st.Priority != 40 || len(st.Adverts) == 0 || st.Adverts[0].Priority != 50 {
		t.Errorf("status %+v", st)
	}
	s.Must(os.WriteFile(flag, nil, 0o600))
	s.Must(p.AwaitOutput(s.ctx, "from 40 to 100"))
	begin = time.Now()
	s.owner(t, s.a)
	if d := time.Since(begin); d > 3700*time.Millisecond+tolerance {
		t.Errorf("back after %v", d)
	}
}

// TestScriptFault is scenario 13: weight 0 means FAULT, two adverts of priority 0.
func TestScriptFault(t *testing.T) {
	s := newSegment(t)
	flag := filepath.Join(t.TempDir(), "ok")
	s.Must(os.WriteFile(flag, nil, 0o600))
	adverts := s.capture(t, "ip.src", "vrrp.prio")
	p, _ := start(t, s.Test, s.a, tracked(config(100), flag, 0))
	s.keepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	s.Must(os.Remove(flag))
	s.Must(p.AwaitOutput(s.ctx, "Entering FAULT STATE"))
	begin := time.Now()
	s.owner(t, s.b)
	took(t, "take-over", begin, 806*time.Millisecond)
	zeros, err := adverts.Await(s.ctx, 2, func(r []string) bool { return r[0] == "10.91.0.1" && r[1] == "0" })
	if err != nil || len(zeros) != 2 {
		t.Errorf("%d adverts of priority 0, %v", len(zeros), err)
	}
}

// TestEqualPriority is scenario 9: after the heal the higher address keeps it.
func TestEqualPriority(t *testing.T) {
	s := newSegment(t)
	start(t, s.Test, s.a, config(100))
	s.owner(t, s.a)
	s.keepalived(t, s.b, 100, "")
	s.Must(s.b.Cut())
	if err := s.watch.Await(s.ctx, func() bool { return len(s.watch.Owners(netip.MustParseAddr(vip))) == 2 }); err != nil {
		t.Fatal(err)
	}
	s.Must(s.b.Heal())
	begin := time.Now()
	s.owner(t, s.b)
	if d := time.Since(begin); d > 1000*time.Millisecond+tolerance {
		t.Errorf("two owners for %v", d)
	}
}

// TestNoPreempt is scenario 10.
func TestNoPreempt(t *testing.T) {
	s := newSegment(t)
	k := s.keepalived(t, s.b, 50, "")
	s.owner(t, s.b)
	p, _ := start(t, s.Test, s.a, config(100, func(in *vrrp.Instance) { in.NoPreempt = true }))
	s.Must(p.AwaitOutput(s.ctx, "Entering BACKUP STATE"))
	c := s.capture(t, "ip.src")
	if _, err := c.Await(s.ctx, 6, nil); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.Output(), "MASTER") {
		t.Fatal("preempted")
	}
	begin := time.Now()
	s.Must(k.Signal(syscall.SIGTERM))
	s.owner(t, s.a)
	took(t, "take-over", begin, 610*time.Millisecond)
}

// TestMismatches is scenario 16: the field that differs is named once, both speak, nothing is taken for a master.
func TestMismatches(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*vrrp.Instance)
		word   string
	}{
		"password":   {func(in *vrrp.Instance) { in.AuthPass = "other" }, "received an invalid passwd"},
		"auth":       {func(in *vrrp.Instance) { in.AuthType = vrrp.AuthNone }, "received a 1 auth, expecting 0"},
		"advert_int": {func(in *vrrp.Instance) { in.AdvertInt = 2 * time.Second }, "advertisement interval mismatch mine=2 sec rcv'd=1 sec"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSegment(t)
			s.keepalived(t, s.b, 255, "")
			p, _ := start(t, s.Test, s.a, config(50, tc.change))
			s.Must(p.AwaitOutput(s.ctx, tc.word), p.AwaitOutput(s.ctx, "Entering MASTER STATE"))
			if n := strings.Count(p.Output(), tc.word); n != 1 {
				t.Errorf("said %d times", n)
			}
		})
	}
}

// TestOtherList is scenario 17: a list that differs is told and the advert accepted.
func TestOtherList(t *testing.T) {
	s := newSegment(t)
	s.keepalived(t, s.b, 100, "")
	s.owner(t, s.b)
	p, _ := start(t, s.Test, s.a, config(50, func(in *vrrp.Instance) {
		in.Addresses = append(in.Addresses, vrrp.Address{Prefix: netip.MustParsePrefix("10.91.0.101/24")})
	}))
	s.Must(p.AwaitOutput(s.ctx, "unexpected ip number count 1, expected 2"))
	c := s.capture(t, "ip.src")
	if _, err := c.Await(s.ctx, 6, nil); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.Output(), "MASTER") {
		t.Error("made a second master out of it")
	}
}

// sendRaw sends VRRP payloads to the group from a host.
func (s segment) sendRaw(t *testing.T, from *lab.Host, ttl int, payloads ...[]byte) {
	t.Helper()
	conn, err := from.ListenPacket("ip4:112", "10.91.0.9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.IPConn).SyscallConn()
	s.Must(err)
	s.Must(raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_TTL, ttl)
	}))
	s.Must(err)
	for _, b := range payloads {
		if _, err := conn.WriteTo(b, &net.IPAddr{IP: packet.Group4.AsSlice()}); err != nil {
			t.Fatal(err)
		}
	}
}

func forged(t *testing.T, priority uint8) []byte {
	a, err := packet.New(51, priority, time.Second, "test", []netip.Addr{netip.MustParseAddr(vip)})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := a.MarshalBinary()
	return b
}

// TestMalformed is scenario 18: garbage costs counters.
func TestMalformed(t *testing.T) {
	s := newSegment(t)
	s.Must(s.observer.Do(func() error { return nil }))
	p, _ := start(t, s.Test, s.a, config(255))
	s.owner(t, s.a)
	bad := func(at int, to byte) []byte { b := forged(t, 100); b[at] = to; return b }
	s.sendRaw(t, s.observer, 255, bad(6, 1), forged(t, 100)[:7], bad(3, 255), bad(0, 1), bad(1, 77), []byte{0}, append(forged(t, 1), 9))
	s.sendRaw(t, s.observer, 254, forged(t, 255))
	for _, want := range []string{"checksum", "too_short", "version", "unknown_vrid", "too_long", "ttl"} {
		for s.status(t, p).Counters[want] == 0 {
			if s.ctx.Err() != nil {
				t.Fatalf("%s is not counted: %v", want, s.status(t, p).Counters)
			}
		}
	}
	if strings.Contains(p.Output(), "BACKUP") {
		t.Error("garbage changed the state")
	}
}

// TestForgedZero is scenario 19.
func TestForgedZero(t *testing.T) {
	s := newSegment(t)
	p, _ := start(t, s.Test, s.a, config(50))
	s.Must(p.AwaitOutput(s.ctx, "Entering BACKUP STATE")) // its sockets are open by then
	s.sendRaw(t, s.observer, 255, forged(t, 0))
	begin := time.Now()
	s.owner(t, s.a)
	took(t, "MASTER after priority 0", begin, 806*time.Millisecond)
	c := s.capture(t, "ip.src", "frame.time_epoch")
	if _, err := c.Await(s.ctx, 1, nil); err != nil {
		t.Fatal(err)
	}
	s.sendRaw(t, s.observer, 255, forged(t, 0))
	if _, err := c.Await(s.ctx, 3, func(r []string) bool { return r[0] == "10.91.0.1" }); err != nil {
		t.Fatal(err)
	}
	zero, answered := 0.0, false
	for _, r := range c.Rows() {
		if r[0] == "10.91.0.9" {
			zero = epoch(t, r[1])
		} else if d := epoch(t, r[1]) - zero; zero > 0 && d < 0.1 {
			answered = true
		}
	}
	if !answered {
		t.Errorf("no answer at once: %q", c.Rows())
	}
}

// TestNotify is scenario 22: in order, with keepalived's arguments, MASTER when the address is there.
func TestNotify(t *testing.T) {
	s := newSegment(t)
	out := filepath.Join(t.TempDir(), "out")
	sh := func(text string) []string {
		return []string{"/bin/sh", "-c", "{ " + text + "; } >> " + out, "sh"}
	}
	p, _ := start(t, s.Test, s.a, config(100, func(in *vrrp.Instance) {
		in.Notifies.Any.Argv = sh(`echo "$# $1 $2 $3 $4 $REEVE_INSTANCE $REEVE_STATE $REEVE_PRIORITY $REEVE_EPOCH"`)
		in.Notifies.Master.Argv = sh(`test -e /sys/class/net/eth0 && echo "master $#"; sleep 0.3`)
		in.Notifies.Backup.Argv = sh(`echo backup`)
		in.Notifies.Stop.Argv = sh(`echo stop`)
	}))
	s.owner(t, s.a)
	time.Sleep(10 * time.Millisecond) // it is MASTER: now it is told to stop while the script of MASTER runs
	s.Must(p.Signal(syscall.SIGTERM))
	<-p.Done()
	b, err := os.ReadFile(out)
	s.Must(err)
	want := "backup\n4 INSTANCE VI_1 BACKUP 100 VI_1 BACKUP 100 0\nmaster 0\n"
	end := "stop\n4 INSTANCE VI_1 STOP 100 VI_1 STOP 100 0\n"
	if got := string(b); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, end) {
		t.Errorf("notified\n%s", got)
	}
}

// TestLease: verdicts of a cluster. The lease makes MASTER at once, its end takes the address off, a stopped process is
// fenced by the guard and does not speak when it wakes.
func TestLease(t *testing.T) {
	s := newSegment(t)
	verdicts, in, err := os.Pipe()
	s.Must(err)
	defer in.Close()
	file := filepath.Join(t.TempDir(), "c.json")
	write(t, file, config(100))
	p := s.a.Command("/proc/self/exe")
	p.Env = []string{configEnv + "=" + file, clusterEnv + "=1"}
	p.Stdin = verdicts
	s.StartProcess(p)
	say := func(kind string, epoch, ms int) { fmt.Fprintf(in, "%s VI_1 %d %d - 0\n", kind, epoch, ms) }
	s.Must(p.AwaitOutput(s.ctx, "stand VI_1 {Priority:100 NoPreempt:false PreemptDelay:0s Ready:true Holding:false}"))
	fmt.Fprintln(in, "quorum - 0 0 - 0")

	begin := time.Now()
	say("granted", 1, 400)
	s.owner(t, s.a)
	if d := time.Since(begin); d > 100*time.Millisecond && fine() || d > 390*time.Millisecond {
		t.Errorf("the address came after %v", d)
	}
	released := func(epoch int) {
		t.Helper()
		s.Must(p.AwaitOutput(s.ctx, fmt.Sprintf("released VI_1 %d", epoch)))
		if on, err := s.a.Addrs("eth0"); err != nil || slices.Contains(on, netip.MustParsePrefix(vip+"/24")) {
			t.Errorf("released with the address on: %v %v", on, err)
		}
		s.nobody(t) // the watch hears of it later than the kernel did it
	}
	released(1)
	if d := time.Since(begin); d < 380*time.Millisecond || d > 400*time.Millisecond+tolerance {
		t.Errorf("the lease of 400 ms ended after %v", d)
	}

	say("granted", 2, 500)
	s.owner(t, s.a)
	c := s.capture(t, "vrrp.prio")
	begin = time.Now()
	s.Must(p.Signal(syscall.SIGSTOP))
	s.nobody(t)
	if d := time.Since(begin); d > 550*time.Millisecond+tolerance {
		t.Errorf("a frozen holder kept the address for %v", d)
	}
	say("extended", 2, 60000) // it waits in the pipe: the answer to a renewal that came too late
	time.Sleep(time.Second)   // more than an advert_int asleep
	s.Must(p.Signal(syscall.SIGCONT))
	released(2)
	if n := len(c.Rows()); n != 0 {
		t.Errorf("%d adverts after the lease", n)
	}

	say("granted", 3, 30000)
	s.owner(t, s.a)
	fenced := len(s.watch.Timeline(netip.MustParseAddr(vip)))
	s.Must(s.a.DelAddr("eth0", vip+"/24"))
	if err := s.watch.Await(s.ctx, func() bool { return len(s.watch.Timeline(netip.MustParseAddr(vip))) > fenced }); err != nil {
		t.Fatal("not put back")
	}
	s.sendRaw(t, s.observer, 255, forged(t, 200))
	s.Must(p.AwaitOutput(s.ctx, "it is not obeyed"))
	say("yield", 3, 0)
	released(3)
	say("granted", 4, 30000)
	s.owner(t, s.a)
	s.Must(p.Signal(syscall.SIGUSR2), p.AwaitOutput(s.ctx, "release: <nil>"))
	released(4)
	// A cluster of two without its other half: plain VRRP from BACKUP.
	begin = time.Now()
	fmt.Fprintln(in, "no-quorum - 0 0 - 2")
	s.owner(t, s.a)
	took(t, "MASTER without a quorum", begin, 3610*time.Millisecond)
}
