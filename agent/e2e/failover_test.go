package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// fetch is one GET of http://VIP/ by a new connection.
func fetch(h *lab.Host, vip netip.Addr) (string, error) {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, network, addr string) (net.Conn, error) { return h.Dial(ctx, network, addr) },
	}}
	resp, err := c.Get("http://" + vip.String() + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestFailures: whatever ends the holder, the next one has the address, it was never on two hosts, and the first gets it
// back when it returns.
func TestFailures(t *testing.T) {
	for name, kind := range map[string]struct{ fail, mend func(s *site) }{
		"kill": {
			fail: func(s *site) { s.must(s.procs["lb1"].Signal(syscall.SIGKILL)) },
			mend: func(s *site) { <-s.procs["lb1"].Done(); s.start("lb1") },
		},
		"stop": {
			fail: func(s *site) { s.must(s.procs["lb1"].Signal(syscall.SIGSTOP)) },
			mend: func(s *site) { s.must(s.procs["lb1"].Signal(syscall.SIGCONT)) },
		},
		"link": {
			fail: func(s *site) { s.must(s.hosts["lb1"].Cut()) },
			mend: func(s *site) { s.must(s.hosts["lb1"].Heal()) },
		},
		"carrier": {
			fail: func(s *site) { s.must(s.hosts["lb1"].Carrier(false)) },
			mend: func(s *site) { s.must(s.hosts["lb1"].Carrier(true)) },
		},
		"one way out": {
			fail: func(s *site) { s.must(s.hosts["lb1"].CutOut()) },
			mend: func(s *site) { s.must(s.hosts["lb1"].Heal()) },
		},
		"one way in": {
			fail: func(s *site) { s.must(s.hosts["lb1"].CutIn()) },
			mend: func(s *site) { s.must(s.hosts["lb1"].Heal()) },
		},
		"term": {
			fail: func(s *site) { s.must(s.procs["lb1"].Signal(syscall.SIGTERM)) },
			mend: func(s *site) { <-s.procs["lb1"].Done(); s.start("lb1") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3)
			s.up()
			kind.fail(s)
			s.owner(vip1, "lb2")
			s.poll("an answer from the new holder", func(context.Context) bool {
				_, err := s.get(vip1)
				return err == nil
			})
			kind.mend(s)
			s.owner(vip1, "lb1")
			s.neverTwo()
		})
	}
}

// TestAgentAndGuardKilled: with both processes gone nobody is left to take the address off; its own lifetime does.
func TestAgentAndGuardKilled(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	killed := time.Now()
	s.must(s.hosts["lb1"].SignalAll(syscall.SIGKILL))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.watch.Await(ctx, func() bool {
		for _, h := range s.watch.Owners(vip1) {
			if h == "lb1" {
				return false
			}
		}
		return true
	}); err != nil {
		t.Fatalf("the address stays on a host where nothing runs: %v", err)
	}
	if took := time.Since(killed); took > 3*time.Second {
		t.Errorf("the address went after %v, want the lifetime of 2 s", took)
	}
	s.owner(vip1, "lb2")
}

// TestRestartOfAll: configuration, sessions and epochs survive when every node is killed.
func TestRestartOfAll(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	server, err := s.get(vip1)
	s.must(err)
	s.poll("the session on every node", func(ctx context.Context) bool {
		for _, n := range s.names {
			es, err := s.api(n).Table(ctx, "app")
			if err != nil || len(es) != 1 {
				return false
			}
		}
		return true
	})
	before, err := s.api("lb3").Why(t.Context(), "VI_1")
	s.must(err)
	for _, n := range s.names {
		s.must(s.procs[n].Signal(syscall.SIGKILL))
	}
	for _, n := range s.names {
		<-s.procs[n].Done()
	}
	s.start(s.names...)
	s.owner(vip1, "lb1")
	for _, n := range s.names {
		s.version(n, 1)
	}
	s.poll("an answer", func(context.Context) bool {
		again, err := s.get(vip1)
		if err == nil && again != server {
			t.Fatalf("the session moved from %q to %q", server, again)
		}
		return err == nil
	})
	after, err := s.api("lb3").Why(t.Context(), "VI_1")
	s.must(err)
	if after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after the restart, %d before: it has to grow", after.Epoch, before.Epoch)
	}
	s.neverTwo()
}

// TestPartition: of two sides only the one with the majority has an owner, and after the heal there is one within a second.
func TestPartition(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	minority := []*lab.Host{s.hosts["lb1"]}
	majority := []*lab.Host{s.hosts["lb2"], s.hosts["lb3"], s.user}
	s.must(s.lab.Partition(minority, majority))
	s.owner(vip1, "lb2", "lb3")
	s.owner(vip2, "lb2", "lb3")
	s.must(s.lab.Heal())
	healed := time.Now()
	s.owner(vip1)
	s.owner(vip2)
	if took := time.Since(healed); took > time.Second {
		t.Errorf("one owner each only %v after the heal, want a second at most", took)
	}
	s.owner(vip1, "lb1")
	s.neverTwo()
}

// TestApply: a change given to any node reaches all; a broken one changes none.
func TestApply(t *testing.T) {
	s := newSite(t, 3)
	s.up()
	s.write("haproxy.cfg", haproxyCfg+"\nbackend spare\n    server web2 10.77.0.22:8080\n")
	out := s.lab.Start(s.hosts["lb3"], append([]string{s.bin(), "apply"}, s.files()...)...)
	<-out.Done()
	if out.Err() != nil {
		t.Fatalf("apply: %v: %s", out.Err(), out.Output())
	}
	for _, n := range s.names {
		s.version(n, 2)
	}
	s.write("haproxy.cfg", haproxyCfg+"\nfrontend broken\n    bind 10.77.0.1:80\n    default_backend nowhere\n")
	bad := s.lab.Start(s.hosts["lb2"], append([]string{s.bin(), "apply"}, s.files()...)...)
	<-bad.Done()
	if bad.Err() == nil {
		t.Fatalf("a broken file was applied: %s", bad.Output())
	}
	for _, n := range s.names {
		s.version(n, 2)
	}
}
