package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/internal/lab"
)

// The addresses of the site. VI_1 prefers lb1, VI_2 prefers lb2, so that lb3 is left for Raft's leader.
var (
	vip1 = netip.MustParseAddr("10.77.0.100")
	vip2 = netip.MustParseAddr("10.77.0.101")
)

// patience bounds what should take far less.
const patience = 20 * time.Second

// site is three agents, two web servers and a client on one switch.
type site struct {
	t     *testing.T
	lab   *lab.Test
	watch *lab.Watch
	dir   string
	key   string
	names []string
	hosts map[string]*lab.Host
	procs map[string]*lab.Process
	user  *lab.Host // where clients live
	extra map[string][]string
}

// newSite makes the hosts and the files; no agent runs yet.
func newSite(t *testing.T, nodes int) *site {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	s := &site{
		t: t, lab: lab.New(t), dir: t.TempDir(), key: base64.StdEncoding.EncodeToString(key),
		hosts: map[string]*lab.Host{}, procs: map[string]*lab.Process{}, extra: map[string][]string{},
	}
	for i := 1; i <= nodes; i++ {
		name := fmt.Sprintf("lb%d", i)
		s.names = append(s.names, name)
		s.hosts[name] = s.lab.Host(name, fmt.Sprintf("10.77.0.%d/24", i))
		s.write(name+".conf", keepalivedConf(i))
	}
	for i := 1; i <= 2; i++ {
		web := s.lab.Host(fmt.Sprintf("web%d", i), fmt.Sprintf("10.77.0.%d/24", 20+i))
		if _, err := web.Web(":8080"); err != nil {
			t.Fatal(err)
		}
	}
	s.user = s.lab.Host("user", "10.77.0.50/24")
	s.write("haproxy.cfg", haproxyCfg)
	s.watch = s.lab.Watch()
	return s
}

const haproxyCfg = `defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    option redispatch

frontend one
    bind 10.77.0.100:80
    default_backend app

frontend two
    bind 10.77.0.101:80
    default_backend app

backend app
    balance roundrobin
    stick-table type ip size 10k expire 10m
    stick on src
    server web1 10.77.0.21:8080 check inter 200 rise 1 fall 2
    server web2 10.77.0.22:8080 check inter 200 rise 1 fall 2
`

// keepalivedConf is the file of node i: the priorities differ from node to node, as they do in a keepalived pair.
func keepalivedConf(i int) string {
	one := []int{150, 100, 50}[i-1]
	two := []int{100, 150, 50}[i-1]
	return fmt.Sprintf(`vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority %d
    advert_int 1
    virtual_ipaddress {
        10.77.0.100/24
    }
}

vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 52
    priority %d
    advert_int 1
    virtual_ipaddress {
        10.77.0.101/24
    }
}
`, one, two)
}

func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// files are the arguments that name the whole configuration.
func (s *site) files() []string {
	var out []string
	for _, n := range s.names {
		out = append(out, n+"="+filepath.Join(s.dir, n+".conf"))
	}
	return append(out, filepath.Join(s.dir, "haproxy.cfg"))
}

func (s *site) start(names ...string) {
	s.t.Helper()
	for _, name := range names {
		argv := []string{lab.Program(), "agent", "-node", name, "-bind", s.ip(name), "-data-dir", filepath.Join(s.dir, name),
			"-bootstrap-expect", fmt.Sprint(len(s.names)), "-encrypt", s.key, "-log-level", "debug"}
		for _, other := range s.names {
			if other != name {
				argv = append(argv, "-retry-join", s.ip(other))
			}
		}
		argv = append(argv, s.extra[name]...)
		s.procs[name] = s.lab.Start(s.hosts[name], append(argv, s.files()...)...)
	}
}

func (s *site) ip(name string) string {
	return fmt.Sprintf("10.77.0.%d", slices.Index(s.names, name)+1)
}

// api is a client of the agent, over its host's loopback.
func (s *site) api(name string) *api.Client {
	s.t.Helper()
	h := s.hosts[name]
	c, err := api.New(api.Options{Address: api.DefaultAddress, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) { return h.Dial(ctx, network, addr) }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// up starts every agent and waits until both addresses are where they belong and version 1 runs everywhere.
func (s *site) up() {
	s.t.Helper()
	s.start(s.names...)
	s.owner(vip1, "lb1")
	s.owner(vip2, s.names[min(1, len(s.names)-1)])
	for _, n := range s.names {
		s.version(n, 1)
	}
}

// owner waits until exactly one of the hosts (any one if none is named) has the address.
func (s *site) owner(vip netip.Addr, hosts ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name, err := s.watch.AwaitOwner(ctx, vip, hosts...)
	if err != nil {
		s.t.Fatalf("%v is on %v, wanted on one of %v: %v", vip, s.watch.Owners(vip), hosts, err)
	}
	return name
}

// version waits until the agent runs the version.
func (s *site) version(name string, want uint64) {
	s.t.Helper()
	c := s.api(name)
	s.poll(fmt.Sprintf("%s to run version %d", name, want), func(ctx context.Context) bool {
		self, err := c.Self(ctx)
		return err == nil && self.ConfigVersion == want && self.ConfigProblem == ""
	})
}

// poll asks until yes; for what tells nobody when it changes.
func (s *site) poll(what string, yes func(context.Context) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// neverTwo fails the test if an address was ever on two hosts at once.
func (s *site) neverTwo() {
	s.t.Helper()
	for _, vip := range []netip.Addr{vip1, vip2} {
		if n := s.watch.OwnersMax(vip); n > 1 {
			s.t.Errorf("%v was on %d hosts at once: %+v", vip, n, s.watch.Timeline(vip))
		}
	}
}

// get asks a VIP once from a source address and returns who answered.
func (s *site) get(vip netip.Addr) (string, error) {
	return fetch(s.user, vip)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) bin() string { return lab.Program() }
