package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/check"
	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
)

// backendState is what a backend's lines say about checks; the checks themselves are made when all is read.
type backendState struct {
	http     *httpCheck
	defaults []tree.Node // of default-server
	servers  []serverState
}

// httpCheck is `option httpchk`.
type httpCheck struct{ method, uri, version, host string }

// serverState is a server while its line is read. Words of the table reach the check through the field of that name.
type serverState struct {
	proxy.Server
	Check      check.Config
	checked    bool
	checkUDP   bool  // check-udp
	checkProxy bool  // check-send-proxy
	checkTLS   *bool // check-ssl or no-check-ssl
}

func defaultCheck() check.Config {
	return check.Config{Inter: 2 * time.Second, Rise: 2, Fall: 3}
}

// server reads `server NAME HOST:PORT ...`.
func (d *decoder) server(p proxyState, k tree.Node) {
	s := serverState{Server: proxy.Server{Name: k.Args[0].Text, Weight: 1, ErrorLimit: 10, Pos: k.Pos}}
	s.Check = defaultCheck()
	s.Check.Pos = k.Pos
	var meant, problem string
	if s.Address, meant, problem = serverAddress(k.Args[1].Text); problem != "" {
		d.errorf(k.Args[1].Pos, meant, "%s %s", tree.Quote(k.Args[1].Text), problem)
	}
	own := &serverTLS{}
	quiet := d.quiet
	d.quiet = true // what is wrong there was said there
	d.serverWords(&s, own, p.more.defaults)
	d.quiet = quiet
	d.serverWords(&s, own, k.Kids)
	if s.TLS = d.serversTLS(own, k); s.TLS == nil && s.checkTLS != nil && *s.checkTLS {
		d.errorf(k.Pos, "write ssl", "'check-ssl' on a server without 'ssl' is not supported yet")
	}
	d.protocols(&s.Server, k)
	if a := s.Check.Address; a != "" {
		if _, err := netip.ParseAddr(strings.Trim(a, "[]")); err != nil && !hostName(a) {
			d.errorf(k.Pos, "", "%s is no address to check", tree.Quote(a))
		}
	}
	p.back.Servers = append(p.back.Servers, s.Server)
	p.more.servers = append(p.more.servers, s)
}

// protocols refuses a server whose words contradict each other about what is spoken.
func (d *decoder) protocols(s *proxy.Server, k tree.Node) {
	if s.TLS == nil || s.TLS.ALPN == "" {
		return
	}
	switch h2 := slices.Contains(strings.Split(s.TLS.ALPN, ","), "h2"); {
	case s.Proto == proxy.H1 && h2:
		d.errorf(k.Pos, "alpn http/1.1", "'proto h1' speaks HTTP/1.1 even if the server agrees on HTTP/2, which 'alpn %s' offers it", s.TLS.ALPN)
	case s.Proto == proxy.H2Proto && !h2:
		d.errorf(k.Pos, "alpn h2", "'proto h2' speaks HTTP/2, which 'alpn %s' does not offer the server", s.TLS.ALPN)
	}
}

// defaultServer keeps words for the servers that follow, and reads them once for their mistakes.
func (d *decoder) defaultServer(p proxyState, k tree.Node) {
	if len(k.Args) > 0 {
		d.errorf(k.Args[0].Pos, "", "surplus word %s", tree.Quote(k.Args[0].Text))
	}
	d.serverWords(&serverState{}, &serverTLS{}, k.Kids)
	p.more.defaults = append(p.more.defaults, k.Kids...)
}

func (d *decoder) serverWords(s *serverState, own *serverTLS, kids []tree.Node) {
	for _, kid := range kids {
		switch kid.Def.Name {
		case "check", "no-check":
			d.value(kid)
			s.checked = (kid.Def.Name == "check") != kid.No
		case "check-udp":
			d.value(kid)
			s.checkUDP = !kid.No
		case "no-backup":
			d.value(kid)
			s.Backup = kid.No
		case "enabled":
			d.value(kid)
			s.Disabled = kid.No
		case "check-ssl", "no-check-ssl":
			d.value(kid)
			s.checkTLS = new((kid.Def.Name == "check-ssl") != kid.No)
		case "check-send-proxy":
			d.value(kid)
			s.checkProxy = !kid.No
		case "send-proxy", "send-proxy-v2":
			d.value(kid)
			s.SendProxy = proxyVersion(kid)
		case "source":
			s.Source = d.source(kid.Pos, kid.Args[0], kids)
		case "usesrc", "interface":
			if !slices.ContainsFunc(kids, func(n tree.Node) bool { return n.Def.Name == "source" }) {
				d.errorf(kid.Pos, "source 0.0.0.0 "+kid.Def.Name+" ...", "'%s' needs 'source' on the same server", kid.Def.Name)
			}
		default:
			if !d.serverTLS(own, kid) {
				d.scalar(kid, s)
			}
		}
	}
}

// checksTLS: checks go over TLS where the server speaks it, unless they lead elsewhere or say otherwise.
func (s *serverState) checksTLS() bool {
	if s.checkTLS != nil && s.TLS != nil {
		return *s.checkTLS
	}
	return s.TLS != nil && s.Check.Port == 0 && s.Check.Address == ""
}

// proxyVersion is the version of the PROXY protocol that a word asks for.
func proxyVersion(k tree.Node) int {
	switch {
	case k.No:
		return 0
	case k.Def.Name == "send-proxy-v2":
		return 2
	}
	return 1
}

// sendsProxy is the version whose header begins the server's checks. They follow the server where they ask at the same
// place.
func (s *serverState) sendsProxy() int {
	follows := s.Check.Address == "" && s.Check.Port == 0
	if s.checkProxy || s.SendProxy > 0 && follows {
		return max(s.SendProxy, 1)
	}
	return 0
}

// hostName: what the resolver may be asked for. Only digits and dots is a mistyped address.
func hostName(s string) bool {
	if s == "" || len(s) > 253 || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// httpchk reads `option httpchk [[METHOD] URI [VERSION]]`. The version may drag a Host header behind it, as people wrote
// before there was a better way: "HTTP/1.1\r\nHost: www".
func (d *decoder) httpchk(k tree.Node) *httpCheck {
	h := &httpCheck{method: "OPTIONS", uri: "/", version: "HTTP/1.0"}
	switch len(k.Args) {
	case 0:
	case 1:
		h.uri = k.Args[0].Text
	default:
		h.method, h.uri = k.Args[0].Text, k.Args[1].Text
	}
	if strings.Trim(h.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		d.errorf(k.Args[0].Pos, "GET, HEAD, OPTIONS", "%s is no HTTP method", tree.Quote(h.method))
	}
	if strings.ContainsAny(h.uri, " \t\r\n") || !strings.HasPrefix(h.uri, "/") && h.uri != "*" {
		d.errorf(k.Args[min(1, len(k.Args)-1)].Pos, "a path, as in /health", "%s is no URI for a check", tree.Quote(h.uri))
	}
	if len(k.Args) > 2 {
		d.httpVersion(h, k.Args[2])
	}
	if len(k.Args) > 3 {
		d.errorf(k.Args[3].Pos, "", "surplus word %s", tree.Quote(k.Args[3].Text))
	}
	return h
}

func (d *decoder) httpVersion(h *httpCheck, w tree.Word) {
	version, headers, _ := strings.Cut(w.Text, "\r\n")
	if version != "HTTP/1.0" && version != "HTTP/1.1" {
		d.errorf(w.Pos, "HTTP/1.0 or HTTP/1.1", "%s is no HTTP version for a check", tree.Quote(version))
		return
	}
	h.version = version
	for line := range strings.SplitSeq(headers, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case line == "":
		case ok && strings.EqualFold(name, "host") && value != "" && !strings.ContainsAny(value, " \t\r\n"):
			h.host = value
		default:
			d.errorf(w.Pos, "", "the header %s in a check is not supported yet", tree.Quote(line))
		}
	}
}

// checks makes the check of each checked server and names it in the server.
func (s *backendState) checks(b *proxy.Backend, jitter int, into map[string]check.Config) {
	for i, server := range s.servers {
		if !server.checked {
			continue
		}
		c := server.Check
		c.Name, c.Kind, c.Jitter, c.SendProxy = b.Name+"/"+server.Name, check.TCP, jitter, server.sendsProxy()
		c.TLS = server.checksTLS()
		if b.Timeouts.Check > 0 {
			c.Timeout, c.Connect = b.Timeouts.Check, b.Timeouts.Connect
		}
		if h := s.http; server.checkUDP {
			c.Kind = check.UDP
		} else if h != nil {
			c.Kind, c.Method, c.URI, c.Version, c.Host = check.HTTP, h.method, h.uri, h.version, h.host
		}
		b.Servers[i].Check = c.Name
		into[c.Name] = c
	}
}
