package config

import (
	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
)

func genBalance(t *rapid.T, b *proxy.Backend) {
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	b.Balance = proxy.Algorithm(num(t, "balance", int(proxy.RoundRobin), int(proxy.LeastTime)))
	switch a := &b.BalanceArgs; b.Balance {
	case proxy.URI:
		a.Len, a.Depth, a.Whole, a.PathOnly = num(t, "len", 0, 1<<31-1), num(t, "depth", 0, 1<<31-2), flag("whole"), flag("path")
	case proxy.URLParam:
		a.Name = str(t, "param")
	case proxy.Hdr:
		a.Name, a.DomainOnly = genName.Draw(t, "header"), flag("domain")
	case proxy.RDPCookie:
		a.Name = maybe(t, "rdp", func() string { return genName.Draw(t, "rdp cookie") })
	case proxy.HashOf:
		a.Sample = proxy.Word{Text: rapid.SampledFrom([]string{"src", "req.cook(id),lower", "path,field(2,/)"}).Draw(t, "sample")}
	case proxy.Random:
		a.Draws = num(t, "draws", 0, 1000)
	case proxy.LeastTime:
		a.LastByte = flag("last byte")
	}
	b.HashType = proxy.HashType{Method: proxy.HashMethod(num(t, "method", 0, 2)), Function: proxy.HashFunction(num(t, "function", 0, 4)), Avalanche: flag("avalanche")}
	b.PersistRDP = maybe(t, "persist", func() string { return rapid.SampledFrom([]string{"msts", "other"}).Draw(t, "persisted") })
	b.HashFactor = maybe(t, "factor", func() int { return num(t, "factor", 101, 65535) })
	b.FullConn = num(t, "fullconn", 0, 1<<31-1)
	b.AllBackups, b.Persist, b.PreferLast = flag("all backups"), flag("persist"), flag("last")
}

func genServer(t *rapid.T, s *proxy.Server, j int) {
	s.ID = maybe(t, "id", func() int { return 1000*j + num(t, "id", 1, 1000) })
	s.MinConn, s.MaxQueue = num(t, "minconn", 0, 1000), num(t, "maxqueue", 0, 1000)
	s.SlowStart, s.Disabled = millis(t, "slowstart"), rapid.Bool().Draw(t, "disabled")
	s.Observe, s.ErrorLimit, s.OnError = proxy.Observe(num(t, "observe", 0, 2)), num(t, "limit", 1, 1<<31-1), proxy.OnError(num(t, "error", 0, 3))
	s.OnMarkedDown = rapid.SampledFrom([]string{"", "shutdown-sessions"}).Draw(t, "down")
	s.OnMarkedUp = rapid.SampledFrom([]string{"", "shutdown-backup-sessions"}).Draw(t, "up")
	s.MaxFails, s.FailTimeout = num(t, "fails", 0, 1<<31-1), millis(t, "fail timeout")
}

// genFollowers lets servers that nobody checks follow one that is checked.
func genFollowers(t *rapid.T, b *proxy.Backend) {
	for i := range b.Servers {
		for _, o := range b.Servers {
			if b.Servers[i].Check == "" && o.Check != "" && rapid.Bool().Draw(t, "track") {
				b.Servers[i].Track = b.Name + "/" + o.Name
			}
		}
	}
}

func genCookie(t *rapid.T) *proxy.Cookie {
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	c := &proxy.Cookie{Name: str(t, "cookie"), Mode: proxy.CookieMode(num(t, "mode", 0, 3)), NoCache: flag("nocache"), PostOnly: flag("post"),
		HTTPOnly: flag("http"), Secure: flag("secure"), MaxIdle: seconds(t, "idle", 0, 1000), MaxLife: seconds(t, "life", 0, 1000),
		Domains: list(t, "domains", 2, func(int) string { return genHost.Draw(t, "domain") }),
		Attrs:   list(t, "attrs", 2, func(int) string { return genHost.Draw(t, "attr") })}
	c.Indirect = c.Mode != proxy.CookieRewrite && flag("indirect")
	c.Preserve = (c.Mode == proxy.CookieInsert || c.Indirect) && flag("preserve")
	return c
}
