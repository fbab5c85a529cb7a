package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/reeve-lb/reeve/internal/lab/ports"
	"github.com/reeve-lb/reeve/proxy"
)

// Clients that people have, through the proxy to servers that people have.

// runClient runs a client and returns what it printed.
func runClient(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s, which `make deps` installs: %v\n%s", name, err, out)
	}
	return string(out)
}

// resolver answers every question for an address with its own.
func resolver(t *testing.T, name string, ip netip.Addr) proxy.Server {
	t.Helper()
	return udpServer(t, name, func(b []byte, _ netip.AddrPort) []byte {
		var p dnsmessage.Parser
		head, err := p.Start(b)
		if err != nil {
			return nil
		}
		q, err := p.Question()
		if err != nil {
			return nil
		}
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true},
			Questions: []dnsmessage.Question{q}}
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: ip.As4()}}}
		}
		answer, err := m.Pack()
		if err != nil {
			return nil
		}
		return answer
	})
}

// TestDig: questions of a real client to two resolvers in turn, and no session is left over.
func TestDig(t *testing.T) {
	servers := []proxy.Server{resolver(t, "one", netip.MustParseAddr("192.0.2.1")), resolver(t, "two", netip.MustParseAddr("192.0.2.2"))}
	s := startUDP(t, servers, responses(1))
	at := netip.MustParseAddrPort(s.addr)
	for i := range 4 {
		got := runClient(t, "dig", "@"+at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "+short", "+tries=1", "+time=5", "www.example.org")
		if want := fmt.Sprintf("192.0.2.%d\n", i%2+1); got != want {
			t.Errorf("question %d: %q, want %q", i, got, want)
		}
		s.want(" fe be/"+[]string{"one", "two"}[i%2]+" 0/", " -- 1/1/0/0/0 0/0")
	}
}

// TestRedis: a real client in a pipeline, on a subscription and with a value that takes a while to pass.
func TestRedis(t *testing.T) {
	at := ports.Free(t, "127.0.0.2")
	dir := socketDir(t)
	path := filepath.Join(dir, "redis")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server, which `make deps` installs: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("redis-server does not start")
		}
	}
	s := start(t, proxy.TCP, []proxy.Server{target("redis", path)}, func(c *proxy.Config) { c.Frontends[0].Binds[0].Addr = at })
	cli := func(args ...string) string {
		return runClient(t, "redis-cli", append([]string{"-h", at.Addr().String(), "-p", strconv.Itoa(int(at.Port()))}, args...)...)
	}
	if got := cli("PING"); got != "PONG\n" {
		t.Errorf("%q", got)
	}
	s.want(" fe be/redis ", " -- ")
	big := filepath.Join(dir, "big")
	write(t, big, strings.Repeat("x", 8<<20))
	if got := runClient(t, "sh", "-c", fmt.Sprintf("redis-cli -h %s -p %d -x SET big <%s", at.Addr(), at.Port(), big)); got != "OK\n" {
		t.Errorf("%q", got)
	}
	if got := cli("GET", "big"); len(got) != 8<<20+1 {
		t.Errorf("%d bytes", len(got))
	}
	if got := cli("STRLEN", "big"); got != "8388608\n" {
		t.Errorf("%q", got)
	}
}

// TestPsql: a real client asks PostgreSQL a short question and one with a long answer.
func TestPsql(t *testing.T) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("no PostgreSQL, which `make deps` installs")
	}
	dir := socketDir(t)
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 { // who it does not serve
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	at := ports.Free(t, "127.0.0.2")
	port := strconv.Itoa(int(at.Port()))
	data := filepath.Join(dir, "data")
	made := exec.Command(filepath.Join(bins[0], "initdb"), "-N", "-A", "trust", "-U", "reeve", "--no-locale", "-D", data)
	made.SysProcAttr, made.Dir = attr, dir
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := exec.Command(filepath.Join(bins[0], "postgres"), "-D", data, "-k", dir, "-p", port, "-c", "listen_addresses=", "-c", "fsync=off")
	server.SysProcAttr, server.Dir = attr, dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Signal(syscall.SIGQUIT); server.Wait() })
	path := filepath.Join(dir, ".s.PGSQL."+port)
	for end := time.Now().Add(20 * time.Second); exec.Command(filepath.Join(bins[0], "pg_isready"), "-q", "-h", dir, "-p", port).Run() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("PostgreSQL does not start")
		}
	}
	s := start(t, proxy.TCP, []proxy.Server{target("pg", path)}, func(c *proxy.Config) { c.Frontends[0].Binds[0].Addr = at })
	ask := func(question string) string {
		return runClient(t, "psql", "-h", at.Addr().String(), "-p", port, "-U", "reeve", "-d", "postgres", "-Atc", question)
	}
	if got := ask("select 6*7"); got != "42\n" {
		t.Errorf("%q", got)
	}
	s.want(" fe be/pg ", " -- ")
	if got := ask("select repeat('x', 99) from generate_series(1, 50000)"); len(got) != 50000*100 {
		t.Errorf("%d bytes", len(got))
	}
}
