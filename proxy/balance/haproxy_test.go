package balance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// peer is a running HAProxy with one backend, all of whose servers are one listener: what it answers is the name of the
// server it picked.
type peer struct {
	t      *testing.T
	url    string
	socket string
}

// startPeer needs the haproxy package; the test fails without it.
func startPeer(t *testing.T, alg proxy.Algorithm, servers []Server) *peer {
	t.Helper()
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		bin = "/usr/sbin/haproxy"
	}
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(target.Close)
	address := ports.Free(t, "127.0.0.1").String()
	dir := t.TempDir()
	p := &peer{t: t, url: "http://" + address + "/", socket: filepath.Join(dir, "s")}
	var b strings.Builder
	fmt.Fprintf(&b, "global\n nbthread 1\n stats socket %s level admin\n", p.socket)
	fmt.Fprintf(&b, "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n")
	fmt.Fprintf(&b, "listen b\n bind %s\n balance %s\n http-response set-header x-picked %%s\n", address, alg)
	for _, s := range servers {
		fmt.Fprintf(&b, " server %d %s weight %d", s.ID, target.Listener.Addr(), s.Weight)
		b.WriteString("\n")
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "-db", "-f", file)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("the order is compared with HAProxy's, package haproxy: %v", err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("haproxy does not listen: %s", log.String())
		}
	}
}

// pick asks n times from a source address; -1 is "no server".
func (p *peer) pick(source string, n int) []int {
	p.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	tr := &http.Transport{DialContext: d.DialContext}
	defer tr.CloseIdleConnections()
	client := http.Client{Transport: tr, Timeout: 5 * time.Second}
	var ids []int
	for range n {
		res, err := client.Get(p.url)
		if err != nil {
			p.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		id := -1
		if res.StatusCode == 200 {
			if _, err := fmt.Sscan(res.Header.Get("x-picked"), &id); err != nil {
				p.t.Fatal(err)
			}
		}
		ids = append(ids, id)
	}
	return ids
}

func (p *peer) command(format string, args ...any) {
	p.t.Helper()
	c, err := net.Dial("unix", p.socket)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(c, line)
	answer, _ := bufio.NewReader(c).ReadString(0)
	if s := strings.TrimSpace(answer); s != "" {
		p.t.Fatalf("%s: %s", line, s)
	}
}

func take(p *Picker, n int) []int {
	var ids []int
	for range n {
		id, ok := p.Next()
		if !ok {
			id = -1
		}
		ids = append(ids, id)
	}
	return ids
}

func weighted(weights ...int) []Server {
	var servers []Server
	for i, w := range weights {
		servers = append(servers, Server{ID: i + 1, Weight: w})
	}
	return servers
}

// step is one event: so many picks, then a server told something.
type step struct {
	picks  int
	server int
	what   string // "down", "up", or a weight
}

func TestRoundRobinOrderIsHAProxys(t *testing.T) {
	cases := []struct {
		name    string
		servers []Server
		steps   []step
	}{
		{"equal", weighted(1, 1, 1, 1), nil},
		{"3:1", weighted(3, 1), nil},
		{"5:3:2", weighted(5, 3, 2), nil},
		{"7:5:3:1", weighted(7, 5, 3, 1), nil},
		{"light first", weighted(1, 2, 3, 4, 5), nil},
		{"coprime", weighted(13, 11, 7, 5), nil},
		{"256:1", weighted(256, 1, 100), nil},
		{"zero", weighted(2, 0, 1), nil},
		{"all zero", weighted(0, 0), nil},
		{"down and up", weighted(5, 3, 2), []step{{7, 1, "down"}, {13, 1, "up"}, {4, 2, "down"}, {9, 2, "up"}}},
		{"equal down and up", weighted(1, 1, 1, 1), []step{{6, 2, "down"}, {7, 2, "up"}, {1, 1, "down"}, {1, 3, "down"}, {5, 1, "up"}, {0, 3, "up"}}},
		{"long down", weighted(3, 1, 2), []step{{100, 3, "down"}, {301, 3, "up"}}},
		{"all down and back", weighted(2, 1), []step{{4, 1, "down"}, {3, 2, "down"}, {2, 2, "up"}, {5, 1, "up"}}},
		{"weights at run time", weighted(1, 1, 1), []step{{5, 1, "4"}, {20, 1, "1"}, {7, 2, "0"}, {9, 2, "3"}, {11, 3, "2"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			theirs := startPeer(t, proxy.RoundRobin, c.servers)
			ours := New(c.servers)
			compare(t, theirs, ours, c.steps)
		})
	}
}

func compare(t *testing.T, theirs *peer, ours *Picker, steps []step) {
	t.Helper()
	check := func(n int, after string) {
		t.Helper()
		want, got := theirs.pick("127.0.0.1", n), take(ours, n)
		if !slices.Equal(want, got) {
			t.Errorf("after %s\nHAProxy %v\nours    %v", after, want, got)
		}
	}
	after := "start"
	for _, s := range steps {
		check(s.picks, after)
		after = fmt.Sprintf("server %d %s", s.server, s.what)
		switch s.what {
		case "down":
			theirs.command("set server b/%d state maint", s.server)
			ours.SetUp(s.server, false)
		case "up":
			theirs.command("set server b/%d state ready", s.server)
			ours.SetUp(s.server, true)
		default:
			theirs.command("set server b/%d weight %s", s.server, s.what)
			var w int
			_, _ = fmt.Sscan(s.what, &w)
			ours.SetWeight(s.server, w)
		}
	}
	check(300, after)
}

func TestSourceIsHAProxys(t *testing.T) {
	servers := weighted(3, 1, 2, 5)
	theirs := startPeer(t, proxy.Source, servers)
	weights := []int{3, 1, 2, 5}
	sources := func(after string) {
		t.Helper()
		slots := NewSlots(weights)
		for i := range 40 {
			addr := netip.AddrFrom4([4]byte{127, byte(i % 3), byte(i * 7), byte(1 + i)})
			want, got := theirs.pick(addr.String(), 1)[0], int(slots.Owners()[slots.Find(HashSource(addr))])+1
			if want != got {
				t.Errorf("after %s, from %v: HAProxy %v, ours %v", after, addr, want, got)
			}
		}
	}
	sources("start")
	for _, id := range []int{2, 4, 1} {
		theirs.command("set server b/%d state maint", id)
		weights[id-1] = 0
		sources(fmt.Sprintf("server %d down", id))
	}
	theirs.command("set server b/4 state ready")
	weights[3] = 5
	sources("server 4 up")
}

// Scenarios nobody thought of: random weights, servers that go and come back, always the same ones.
func TestRandomScenariosAreHAProxys(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			weights := make([]int, 2+rnd.IntN(5))
			for i := range weights {
				weights[i] = rnd.IntN(12)
			}
			var steps []step
			for range 12 {
				what := []string{"down", "up"}[rnd.IntN(2)]
				steps = append(steps, step{rnd.IntN(40), 1 + rnd.IntN(len(weights)), what})
			}
			servers := weighted(weights...)
			compare(t, startPeer(t, proxy.RoundRobin, servers), New(servers), steps)
		})
	}
}
