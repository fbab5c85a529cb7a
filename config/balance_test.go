package config

import (
	"strings"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// backendText is a file with one backend of these lines.
func backendText(lines string) string {
	return "backend app\n mode http\n timeout connect 1s\n timeout server 1s\n " + strings.ReplaceAll(lines, "; ", "\n ") + "\n"
}

func TestBalanceIsRead(t *testing.T) {
	for text, want := range map[string]proxy.Backend{
		"balance leastconn":                                   {Balance: proxy.LeastConn},
		"balance uri len 10 whole path-only":                  {Balance: proxy.URI, BalanceArgs: proxy.BalanceArgs{Len: 10, Whole: true, PathOnly: true}},
		"balance url_param user":                              {Balance: proxy.URLParam, BalanceArgs: proxy.BalanceArgs{Name: "user"}},
		"balance hdr(Host) use_domain_only":                   {Balance: proxy.Hdr, BalanceArgs: proxy.BalanceArgs{Name: "Host", DomainOnly: true}},
		"balance random":                                      {Balance: proxy.Random},
		"balance random(4)":                                   {Balance: proxy.Random, BalanceArgs: proxy.BalanceArgs{Draws: 4}},
		"balance hash req.cook(id),lower":                     {Balance: proxy.HashOf, BalanceArgs: proxy.BalanceArgs{Sample: proxy.Word{Text: "req.cook(id),lower"}}},
		"balance rdp-cookie(token)":                           {Balance: proxy.RDPCookie, BalanceArgs: proxy.BalanceArgs{Name: "token"}},
		"balance uri depth 2; balance source":                 {Balance: proxy.Source},
		"balance source; hash-type consistent":                {Balance: proxy.Source, HashType: proxy.HashType{Method: proxy.Consistent, Avalanche: true}},
		"balance source; hash-type consistent wt6":            {Balance: proxy.Source, HashType: proxy.HashType{Method: proxy.Consistent, Function: proxy.WT6}},
		"balance source; hash-type map-based crc32 avalanche": {Balance: proxy.Source, HashType: proxy.HashType{Function: proxy.CRC32, Avalanche: true}},
	} {
		d, ps := parseText(t, "a.cfg", backendText(text))
		if ps.HasErrors() {
			t.Errorf("%s: %v", text, ps)
			continue
		}
		d.Proxy.Backends[0].BalanceArgs.Sample.Pos = source.Pos{}
		if b := d.Proxy.Backends[0]; b.Balance != want.Balance || b.BalanceArgs != want.BalanceArgs || b.HashType != want.HashType {
			t.Errorf("%s: %+v %+v %+v", text, b.Balance, b.BalanceArgs, b.HashType)
		}
	}
	d, ps := parseText(t, "a.hcl", `backend "app" {
  mode = "http"
  balance = "least_time last_byte"
  hash_type = "maglev"
  timeout { 
    connect = "1s"
    server = "1s"
  }
}`)
	if b := d.Proxy.Backends[0]; b.Balance != proxy.LeastTime || !b.BalanceArgs.LastByte || b.HashType.Method != proxy.Maglev || !b.HashType.Avalanche {
		t.Errorf("%+v %v", b, ps)
	}
}

func TestDefaultServer(t *testing.T) {
	d, ps := parseText(t, "a.cfg", backendText("server a 10.0.0.1:80; default-server weight 7 check backup slowstart 3s; server b 10.0.0.2:80; server c 10.0.0.3:80 weight 9 no-check no-backup"))
	if ps.HasErrors() {
		t.Fatal(ps)
	}
	ss := d.Proxy.Backends[0].Servers
	if ss[0].Weight != 1 || ss[0].Check != "" || ss[1].Weight != 7 || ss[1].Check == "" || !ss[1].Backup || ss[1].SlowStart != 3*time.Second ||
		ss[2].Weight != 9 || ss[2].Check != "" || ss[2].Backup {
		t.Errorf("%+v", ss)
	}
	_, ps = parseText(t, "a.cfg", backendText("default-server weight 300; server a 10.0.0.1:80; server b 10.0.0.2:80"))
	if len(ps) != 1 {
		t.Errorf("a mistake is told %d times: %v", len(ps), ps)
	}
}

// What is refused, and what is said to have no effect, each with its place.
func TestBalanceMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"balance leastcon":                        "5:10: error: 'leastcon' is no value for 'balance' (did you mean 'leastconn'?)",
		"balance nonsense":                        "5:10: error: 'nonsense' is no value for 'balance' (roundrobin, static-rr, leastconn, first, random, source, uri, url_param, hdr, rdp-cookie, hash)",
		"balance hdr":                             "5:10: error: 'balance hdr' needs the name of a header in brackets (hdr(Host))",
		"balance hdr(Host":                        "5:10: error: 'hdr(Host' has no closing bracket (hdr(...))",
		"balance url_param":                       "5:10: error: 'url_param' needs a value",
		"balance url_param u check_post":          "5:22: error: 'check_post' is not supported yet",
		"balance uri deep 2":                      "5:14: error: 'deep' is nothing that 'balance uri' knows (len N, depth N, whole, path-only)",
		"balance uri len x":                       "5:18: error: 'x' is no value for 'len' (a number from 1 to 2147483647)",
		"balance random(0)":                       "5:10: error: '0' is no number of draws (random(N), N from 1 to 1000)",
		"balance roundrobin(2)":                   "5:10: error: 'balance roundrobin' has no argument in brackets (write roundrobin)",
		"balance first second":                    "5:16: error: surplus word 'second' after 'balance first'",
		"balance least_time header":               "5:10: error: 'least_time' is no value for 'balance'",
		"balance rdp-cookie()":                    "5:10: error: 'rdp-cookie' has empty brackets (rdp-cookie or rdp-cookie(NAME))",
		"balance rdp-cookie(x)":                   "1:1: warning: backend 'app' is in http mode: 'balance rdp-cookie' falls back to roundrobin (write mode tcp)",
		"balance hash":                            "5:10: error: 'hash' needs a value",
		"balance hash req.cok(id)":                "5:15: error: unknown sample 'req.cok' (did you mean 'req.cook'?)",
		"balance hash status":                     "5:15: error: the sample 'status' is of an answer: there is none before a server is chosen",
		"persist rdp-cookie()":                    "5:10: error: 'rdp-cookie()' is no value for 'persist' (rdp-cookie or rdp-cookie(NAME))",
		"persist rdp-cookie x":                    "5:21: error: surplus word 'x' after 'persist rdp-cookie'",
		"persist rdp-cookie":                      "1:1: warning: backend 'app' is in http mode: 'persist rdp-cookie' has no effect (write mode tcp)",
		"hash-type maglev":                        "5:12: error: 'maglev' is no value for 'hash-type' (map-based, consistent)",
		"hash-type consistent md5":                "5:23: error: 'md5' is no hash function (sdbm, djb2, wt6, crc32, none)",
		"hash-balance-factor 100":                 "5:22: error: '100' is no value for 'hash-balance-factor' (0, or percent over 100)",
		"hash-type consistent":                    "1:1: warning: backend 'app' balances by 'roundrobin', which hashes nothing: 'hash-type' has no effect",
		"balance source; hash-balance-factor 150": "1:1: warning: backend 'app' has no consistent hash: 'hash-balance-factor' has no effect (write hash-type consistent)",
		"balance first; server a 10.0.0.1:80":     "1:1: warning: backend 'app' balances by 'first', and its first server has no maxconn: it gets everything",
		"server a 10.0.0.1:80 maxqueue 3":         "5:2: warning: server 'a' has no maxconn and no queue: 'maxqueue' has no effect (write maxconn N)",
		"mode tcp; server a 10.0.0.1:80 ws h1":    "6:2: warning: backend 'app' is in tcp mode: 'ws' of server 'a' has no effect (write mode http)",
		"balance source; server a 10.0.0.1:80 check slowstart 5s":    "6:2: warning: backend 'app' balances by a static map: 'slowstart' of server 'a' has no effect",
		"server a 10.0.0.1:80 slowstart 5s":                          "5:2: warning: server 'a' has no check and never comes up: 'slowstart' has no effect (write check)",
		"server a 10.0.0.1:80 id 3; server b 10.0.0.2:80 id 3":       "6:2: error: server 'b' of backend 'app' has the id 3 of server 'a'",
		"server a 10.0.0.1:80 track app/b":                           "5:2: error: server 'a' tracks 'app/b', which there is not",
		"server a 10.0.0.1:80 track b; server b 10.0.0.1:80 track a": "error: server 'a' tracks one that in the end tracks itself",
		"server a 10.0.0.1:80 track b; server b 10.0.0.2:80":         "5:2: error: server 'a' tracks 'app/b', which has no check",
		"server a 10.0.0.1:80 observe layer7":                        "5:2: warning: server 'a' has no check that 'observe' could tell of errors (write check)",
		"cookie S rewrite insert":                                    "5:2: error: 'insert', 'rewrite' and 'prefix' of a cookie don't go together (one of them)",
		"cookie S rewrite indirect":                                  "5:2: error: 'rewrite' and 'indirect' of a cookie don't go together",
		"cookie S preserve":                                          "5:2: error: 'preserve' of a cookie needs 'insert' or 'indirect'",
		`cookie S insert attr "a\x3bb"`:                              "5:2: error: an attribute of a cookie has no ';' and nothing that is not printable",
		"cookie S insert dynamic":                                    "error: 'dynamic' is not supported yet",
		"cookie S insert maxidle 5x":                                 "error: '5x' is no time for 'maxidle'",
		"cookie S prefix maxlife 5; server a 10.0.0.1:80 cookie a":   "5:2: warning: the cookie 'S' is not inserted: its dates and attributes have no effect (write insert)",
		"server a 10.0.0.1:80 check on-marked-down shutdown":         "5:44: error: 'shutdown' is no value for 'on-marked-down'",
	} {
		_, ps := parseText(t, "a.cfg", backendText(text))
		found := false
		for _, p := range ps {
			found = found || strings.Contains(p.Error(), want)
		}
		if !found {
			t.Errorf("%s:\n got %v\nwant %s", text, ps, want)
		}
	}
}
