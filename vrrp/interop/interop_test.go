package interop

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

const (
	vip        = "10.91.0.100"
	limit      = 60 * time.Second
	keepalived = `global_defs {
  vrrp_version 2
}
vrrp_instance VI_1 {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority %d
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass test
  }
  virtual_ipaddress {
    10.91.0.100/24
  }
  %s
}
`
)

// tolerance is how late a busy machine may make what a test waits for; REEVE_LONG asks for the figures of an idle one.
var tolerance = func() time.Duration {
	if os.Getenv("REEVE_LONG") != "" {
		return 350 * time.Millisecond
	}
	return 2 * time.Second
}()

func fine() bool { return os.Getenv("REEVE_LONG") != "" }

// early is how much sooner than it should something may come.
const early = 350 * time.Millisecond

// config is keepalived's configuration above for the speaker.
func config(priority int, change ...func(*vrrp.Instance)) vrrp.Config {
	in := vrrp.Instance{
		Name: "VI_1", Interface: "eth0", VirtualRouterID: 51, Priority: priority, AdvertInt: time.Second,
		AuthType: vrrp.AuthPass, AuthPass: "test",
		Addresses: []vrrp.Address{{Prefix: netip.MustParsePrefix(vip + "/24")}},
	}
	for _, f := range change {
		f(&in)
	}
	return vrrp.Config{
		Global: vrrp.Global{
			GarpMasterDelay: 5 * time.Second, GarpMasterRepeat: 5, GarpMasterRefreshRept: 1,
		},
		Instances: []vrrp.Instance{in},
	}
}

type segment struct {
	*lab.Test
	a, b, observer *lab.Host
	watch          *lab.Watch
	ctx            context.Context
}

func newSegment(t *testing.T) segment {
	t.Helper()
	t.Parallel()
	n := lab.New(t)
	s := segment{Test: n, a: n.Host("a", "10.91.0.1/24"), b: n.Host("b", "10.91.0.2/24"), observer: n.Host("o", "10.91.0.9/24")}
	s.watch = n.Watch()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	s.ctx = ctx
	return s
}

func (s segment) keepalived(t *testing.T, h *lab.Host, priority int, words string) *lab.Process {
	t.Helper()
	return s.keepalivedWith(t, h, fmt.Sprintf(keepalived, priority, words))
}

func (s segment) keepalivedWith(t *testing.T, h *lab.Host, conf string) *lab.Process {
	t.Helper()
	p, err := h.Keepalived(t.TempDir(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Output())
		}
	})
	return p
}

func (s segment) owner(t *testing.T, want *lab.Host) {
	t.Helper()
	if err := s.watch.Await(s.ctx, func() bool {
		o := s.watch.Owners(netip.MustParseAddr(vip))
		return len(o) == 1 && o[0] == want.Name()
	}); err != nil {
		t.Fatalf("address never on %s alone: %v; %v", want.Name(), err, s.watch.Timeline(netip.MustParseAddr(vip)))
	}
}

func (s segment) nobody(t *testing.T) {
	t.Helper()
	if err := s.watch.Await(s.ctx, func() bool { return len(s.watch.Owners(netip.MustParseAddr(vip))) == 0 }); err != nil {
		t.Fatalf("the address never went: %v; %v", err, s.watch.Timeline(netip.MustParseAddr(vip)))
	}
}

// took fails unless the time since start is near want.
func took(t *testing.T, what string, start time.Time, want time.Duration) {
	t.Helper()
	if d := time.Since(start); d < want-early || d > want+tolerance {
		t.Errorf("%s took %v, want %v", what, d, want)
	}
}

var fields = []string{
	"eth.dst", "ip.version", "ip.hdr_len", "ip.dsfield", "ip.len", "ip.flags", "ip.frag_offset", "ip.ttl", "ip.proto", "ip.dst",
	"ip.checksum.status", "vrrp.version", "vrrp.type", "vrrp.virt_rtr_id", "vrrp.prio", "vrrp.addr_count", "vrrp.auth_type",
	"vrrp.adver_int", "vrrp.checksum", "vrrp.checksum.status", "vrrp.ip_addr", "vrrp.auth_string", "ip.src",
}

func (s segment) capture(t *testing.T, fields ...string) *lab.Capture {
	t.Helper()
	c, err := s.observer.Capture(s.ctx, "eth0", "proto 112", "vrrp", fields...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	return c
}

func TestAdvertsEqualKeepaliveds(t *testing.T) {
	rows := map[string][]string{}
	for _, who := range []string{"keepalived", "reeve"} {
		t.Run(who, func(t *testing.T) {
			n := lab.New(t)
			s := segment{Test: n, a: n.Host("a", "10.91.0.1/24"), observer: n.Host("o", "10.91.0.9/24")}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			s.ctx = ctx
			c := s.capture(t, fields...)
			if who == "reeve" {
				start(t, n, s.a, config(100))
			} else {
				s.keepalived(t, s.a, 100, "")
			}
			got, err := c.Await(ctx, 2, nil)
			if err != nil {
				t.Fatal(err)
			}
			rows[who] = got[1]
		})
	}
	k, r := rows["keepalived"], rows["reeve"]
	if len(k) != len(fields) || len(r) != len(fields) {
		t.Fatalf("rows %q and %q", k, r)
	}
	for i, f := range fields[:len(fields)-1] {
		if k[i] != r[i] {
			t.Errorf("%s: keepalived sends %q, Reeve %q", f, k[i], r[i])
		}
	}
	if r[19] != "1" && !strings.EqualFold(r[19], "good") {
		t.Errorf("checksum status is %q", r[19])
	}
}

// TestLone is scenario 1: the first advert after 3.61 s, then one a second, five gratuitous ARPs at once and five later.
func TestLone(t *testing.T) {
	s := newSegment(t)
	adverts := s.capture(t, "frame.time_epoch", "vrrp.prio")
	arp, err := s.observer.Capture(s.ctx, "eth0", "arp", "arp.isgratuitous == 1", "arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "arp.dst.hw_mac", "eth.dst")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arp.Stop() })
	begin := time.Now()
	start(t, s.Test, s.a, config(100))
	s.owner(t, s.a)
	took(t, "MASTER", begin, 3610*time.Millisecond)
	rows, err := adverts.Await(s.ctx, 6, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(rows); i++ {
		if gap := epoch(t, rows[i][0]) - epoch(t, rows[i-1][0]); math.Abs(gap-1) > 0.1+tolerance.Seconds()/4 {
			t.Errorf("advert %d came after %.3f s", i, gap)
		}
	}
	garps, err := arp.Await(s.ctx, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g := strings.Join(garps[0], " "); g != "1 10.91.0.100 10.91.0.100 ff:ff:ff:ff:ff:ff ff:ff:ff:ff:ff:ff" {
		t.Errorf("gratuitous ARP is %q", g)
	}
}

func epoch(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestOwner is scenario 2.
func TestOwner(t *testing.T) {
	s := newSegment(t)
	begin := time.Now()
	start(t, s.Test, s.a, config(255))
	s.owner(t, s.a)
	if d := time.Since(begin); d > time.Second+tolerance {
		t.Errorf("the owner of the addresses took %v", d)
	}
}

// TestBackupOfKeepalived is scenarios 3 and 5: silent as long as keepalived speaks, MASTER after its own skew when it stops.
func TestBackupOfKeepalived(t *testing.T) {
	s := newSegment(t)
	k := s.keepalived(t, s.a, 100, "")
	s.owner(t, s.a)
	start(t, s.Test, s.b, config(50))
	c := s.capture(t, "ip.src", "vrrp.prio")
	rows, err := c.Await(s.ctx, 6, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r[0] != "10.91.0.1" {
			t.Errorf("advert from %s", r)
		}
	}
	begin := time.Now()
	s.Must(k.Signal(syscall.SIGTERM))
	s.owner(t, s.b)
	took(t, "take-over", begin, 806*time.Millisecond)
}

// TestKeepalivedBacksReeve: keepalived takes over when Reeve stops (one advert of priority 0), and gives back.
func TestKeepalivedBacksReeve(t *testing.T) {
	s := newSegment(t)
	zeros := s.capture(t, "ip.src", "vrrp.prio")
	p, _ := start(t, s.Test, s.a, config(100))
	s.keepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	begin := time.Now()
	s.Must(p.Signal(syscall.SIGTERM))
	s.owner(t, s.b)
	took(t, "take-over by keepalived", begin, 806*time.Millisecond)
	select {
	case <-p.Done():
		if p.Err() != nil {
			t.Error(p.Err())
		}
	case <-time.After(3 * time.Second):
		t.Error("the speaker did not end")
	}
	begin = time.Now()
	start(t, s.Test, s.a, config(100))
	s.owner(t, s.a)
	took(t, "coming back", begin, 3610*time.Millisecond)
	n := 0
	for _, r := range zeros.Rows() {
		if r[0] == "10.91.0.1" && r[1] == "0" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d adverts of priority 0, want 1", n)
	}
}

// TestLinkDown is scenario 7.
func TestLinkDown(t *testing.T) {
	s := newSegment(t)
	p, _ := start(t, s.Test, s.a, config(100))
	s.keepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	begin := time.Now()
	s.Must(s.a.Carrier(false))
	s.Must(p.AwaitOutput(s.ctx, "Entering FAULT STATE"))
	if d := time.Since(begin); d > 150*time.Millisecond+tolerance {
		t.Errorf("FAULT after %v", d)
	}
	s.owner(t, s.b)
	begin = time.Now()
	s.Must(s.a.Heal())
	s.owner(t, s.a)
	if d := time.Since(begin); d < 3*time.Second || d > 4*time.Second+tolerance {
		t.Errorf("back after %v", d)
	}
}

// TestPartition is scenario 8: both are master while cut, one within an advert of the heal.
func TestPartition(t *testing.T) {
	s := newSegment(t)
	start(t, s.Test, s.a, config(100))
	s.keepalived(t, s.b, 50, "")
	s.owner(t, s.a)
	s.Must(s.b.Cut())
	if err := s.watch.Await(s.ctx, func() bool { return len(s.watch.Owners(netip.MustParseAddr(vip))) == 2 }); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Must(s.b.Heal())
	s.owner(t, s.a)
	if d := time.Since(begin); d > 1150*time.Millisecond+tolerance {
		t.Errorf("two owners for %v after the heal", d)
	}
}

// TestDeleted is scenario 23: an address that somebody deletes is back at once, and MASTER stays.
func TestDeleted(t *testing.T) {
	s := newSegment(t)
	p, _ := start(t, s.Test, s.a, config(255))
	s.owner(t, s.a)
	s.Must(p.AwaitOutput(s.ctx, "Entering MASTER STATE"))
	begin := time.Now()
	s.Must(s.a.DelAddr("eth0", vip+"/24"))
	s.owner(t, s.a)
	if d := time.Since(begin); d > 50*time.Millisecond && fine() || d > tolerance {
		t.Errorf("back after %v", d)
	}
	if strings.Contains(p.Output(), "BACKUP") {
		t.Error("gave up MASTER")
	}
}

// TestReload is scenario 24 (a): an address more, no change of state, the cadence stays.
func TestReload(t *testing.T) {
	s := newSegment(t)
	p, file := start(t, s.Test, s.a, config(255))
	s.owner(t, s.a)
	write(t, file, config(255, func(in *vrrp.Instance) {
		in.Addresses = append(in.Addresses, vrrp.Address{Prefix: netip.MustParsePrefix("10.91.0.101/24")})
	}))
	s.Must(p.Signal(syscall.SIGHUP))
	if _, err := s.watch.AwaitOwner(s.ctx, netip.MustParseAddr("10.91.0.101"), "a"); err != nil {
		t.Fatal(err)
	}
	write(t, file, config(255))
	s.Must(p.Signal(syscall.SIGHUP))
	if err := s.watch.Await(s.ctx, func() bool { return len(s.watch.Owners(netip.MustParseAddr("10.91.0.101"))) == 0 }); err != nil {
		t.Fatal(err)
	}
	if len(s.watch.Timeline(netip.MustParseAddr(vip))) != 1 || strings.Contains(p.Output(), "BACKUP") {
		t.Error("the reload moved the other address")
	}
	// (b) the instance goes
	write(t, file, vrrp.Config{})
	s.Must(p.Signal(syscall.SIGHUP))
	s.nobody(t)
}

// TestKilled: the guard takes the address off, and a leftover goes before the first advert.
func TestKilled(t *testing.T) {
	s := newSegment(t)
	s.Must(s.a.AddAddr("eth0", vip+"/24")) // of a former life
	s.owner(t, s.a)                        // the watch has seen it, so that what follows is not taken for it
	p, _ := start(t, s.Test, s.a, config(100))
	s.nobody(t)
	s.owner(t, s.a)
	begin := time.Now()
	s.Must(p.Signal(syscall.SIGKILL))
	s.nobody(t)
	if d := time.Since(begin); d > 100*time.Millisecond && fine() || d > tolerance {
		t.Errorf("the address stayed for %v", d)
	}
}
