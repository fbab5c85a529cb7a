package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// chooseFrom is a session with a request, before a backend of these servers; no socket is opened.
func chooseFrom(t interface{ Fatal(...any) }, b *proxy.Backend) *session {
	rt := &backend{name: "be", per: perLoop(1)}
	conf := &backConf{rt: rt, src: b, http: true}
	conf.compileBalance(b)
	rt.conf.Store(conf)
	rt.ordered.Store(conf.algorithm == proxy.LeastConn || conf.algorithm == proxy.LeastTime)
	ids := serverIDs(b.Servers)
	for i := range b.Servers {
		s := &server{name: b.Servers[i].Name, backend: rt, per: perLoop(1)}
		s.configure(&b.Servers[i])
		s.up.Store(true)
		conf.servers = append(conf.servers, &serverConf{rt: s, index: i, id: ids[i], resolved: true, backup: b.Servers[i].Backup})
	}
	conf.chooser.Store(newChooser(conf, 1))
	l := &loop{}
	s := &session{l: l, http: true, t: &txn{bc: conf, except: -1}, peer: netip.MustParseAddrPort("10.1.2.3:4567")}
	text := "GET /a/b/c?user=u1&x=2 HTTP/1.1\r\nHost: www.example.org\r\n\r\n"
	s.client.in = &buffer{b: []byte(text), w: len(text)}
	if f := http1.ParseRequest(s.client.in.data(), &s.t.head); f != http1.None {
		t.Fatal(f)
	}
	return s
}

// everyWay are all ways of choosing.
func everyWay() (out []proxy.Backend) {
	for alg := proxy.RoundRobin; alg <= proxy.LeastTime; alg++ {
		b := proxy.Backend{Balance: alg, BalanceArgs: proxy.BalanceArgs{Name: map[proxy.Algorithm]string{proxy.URLParam: "user", proxy.Hdr: "Host"}[alg]}}
		out = append(out, b)
		if alg.Hashes() {
			b.HashType = proxy.HashType{Method: proxy.Consistent, Avalanche: true}
			out = append(out, b)
			b.HashFactor = 150
			out = append(out, b)
			b.HashType.Method = proxy.Maglev
			out = append(out, b)
		}
	}
	return out
}

func wayName(b *proxy.Backend) string {
	return fmt.Sprintf("%v/%d/%d", b.Balance, b.HashType.Method, b.HashFactor)
}

// Whatever the algorithm: nobody is chosen who is down, has no weight or, but where a key or a queue decides, is full; a
// backup only when no other is left; and somebody whenever there is one.
func TestNobodyUnfitIsChosen(t *testing.T) {
	ways := everyWay()
	rapid.Check(t, func(t *rapid.T) {
		b := ways[rapid.IntRange(0, len(ways)-1).Draw(t, "way")]
		b.AllBackups = rapid.Bool().Draw(t, "all backups")
		for i := range rapid.IntRange(1, 7).Draw(t, "servers") {
			b.Servers = append(b.Servers, proxy.Server{Name: fmt.Sprint(i), Weight: rapid.IntRange(0, 5).Draw(t, "weight"),
				Backup: rapid.IntRange(0, 3).Draw(t, "backup") == 0, MaxConn: rapid.IntRange(0, 2).Draw(t, "maxconn")})
		}
		s := chooseFrom(t, &b)
		conf := s.t.bc
		for _, sc := range conf.servers {
			sc.rt.up.Store(rapid.IntRange(0, 3).Draw(t, "up") > 0)
			for range rapid.IntRange(0, 2).Draw(t, "load") {
				sc.rt.take()
			}
		}
		conf.chooser.Store(newChooser(conf, 1))
		s.t.except = rapid.IntRange(-1, len(conf.servers)-1).Draw(t, "except")
		for range 20 {
			judgeChoice(t, &b, s)
		}
	})
}

func judgeChoice(t *rapid.T, b *proxy.Backend, s *session) {
	conf := s.t.bc
	fit := func(backup bool) (out []*serverConf) {
		for _, sc := range conf.servers {
			if sc.backup == backup && sc.rt.up.Load() && sc.rt.weight > 0 {
				out = append(out, sc)
			}
		}
		return out
	}
	want := fit(false)
	if len(want) == 0 {
		if want = fit(true); len(want) > 1 && !b.AllBackups {
			want = want[:1]
		}
	}
	sc, none := s.pick()
	if none != (len(want) == 0) {
		t.Fatalf("none is %v with %d to choose from", none, len(want))
	}
	keyed := b.Balance.Hashes() && b.Balance != proxy.RDPCookie && b.Balance != proxy.HashOf // this request has no key of these two: it takes turns
	free := slices.DeleteFunc(slices.Clone(want), func(sc *serverConf) bool { return sc.rt.full() })
	switch {
	case none:
	case sc == nil && (len(free) > 0 || keyed):
		t.Fatalf("%s: nobody is chosen of %d", wayName(b), len(free))
	case sc == nil:
	case !slices.Contains(want, sc):
		t.Fatalf("%s: server %s is unfit", wayName(b), sc.rt.name)
	case sc.rt.full() && !keyed:
		t.Fatalf("%s: server %s is full", wayName(b), sc.rt.name)
	case sc.index == s.t.except && len(free) > 1 && !b.Balance.Hashes():
		t.Fatalf("%s: the server to avoid is chosen, though there are others", wayName(b))
	}
}

// Under load that comes and goes each server has its share: exactly where turns are taken, about so where chance decides.
func TestLoadFollowsWeights(t *testing.T) {
	for _, alg := range []proxy.Algorithm{proxy.RoundRobin, proxy.StaticRR, proxy.LeastConn, proxy.Random} {
		b := proxy.Backend{Balance: alg, Servers: []proxy.Server{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}, {Name: "c", Weight: 5}}}
		s := chooseFrom(t, &b)
		counts := make([]int, 3)
		var busy []*serverConf
		const picks = 8000
		for range picks {
			sc, _ := s.pick()
			sc.rt.take()
			counts[sc.index]++
			if busy = append(busy, sc); len(busy) > 80 {
				busy[0].rt.release()
				busy = busy[1:]
			}
		}
		for i, srv := range b.Servers {
			want := picks * srv.Weight / 8
			if off := counts[i] - want; max(off, -off) > map[bool]int{true: 1, false: picks / 40}[alg == proxy.RoundRobin || alg == proxy.StaticRR] {
				t.Errorf("%v: server of weight %d has %d of %d, want about %d", alg, srv.Weight, counts[i], picks, want)
			}
		}
	}
}

func TestChoosingDoesNotAllocate(t *testing.T) {
	for _, b := range everyWay() {
		for i := range 20 {
			b.Servers = append(b.Servers, proxy.Server{Name: strings.Repeat("s", i+1), Weight: 1 + i%3, MaxConn: 100})
		}
		s := chooseFrom(t, &b)
		if n := testing.AllocsPerRun(200, func() {
			s.t.keyed = keyUnasked
			sc, _ := s.pick()
			sc.rt.take()
			sc.rt.release()
		}); n != 0 {
			t.Errorf("%s: %v allocations a choice", wayName(&b), n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, way := range everyWay() {
		for i := range 20 {
			way.Servers = append(way.Servers, proxy.Server{Name: fmt.Sprint(i), Weight: 1 + i%3})
		}
		b.Run(wayName(&way), func(b *testing.B) {
			s := chooseFrom(b, &way)
			b.ReportAllocs()
			for b.Loop() {
				s.t.keyed = keyUnasked
				s.pick()
			}
		})
	}
}
