package config

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
)

// Where to listen, where servers are, and where connections to them come from.

const (
	// maxUnix is the longest path of a Unix socket: sun_path less what the name has behind it until it listens.
	maxUnix = 97
	// maxRange is how many ports one bind may name.
	maxRange = 4096
)

// bind takes the addresses of one line, separated by commas.
func (d *decoder) bind(f *proxy.Frontend, k tree.Node) {
	b := proxy.Bind{Pos: k.Args[0].Pos}
	own := &bindTLS{}
	for _, kid := range k.Kids {
		if d.bindTLS(own, kid) {
			continue
		}
		d.scalar(kid, &b)
		switch kid.Def.Name {
		case "mode":
			if n, err := strconv.ParseUint(b.Mode, 8, 16); err != nil || n == 0 || n > 0o777 {
				d.errorf(kid.Args[0].Pos, "an octal number, as in 660", "%s is no mode of a file", tree.Quote(b.Mode))
			}
		case "uid", "gid":
			if n, ok := parseInt(kid.Args[0].Text, false); !ok || n < 0 || n > 1<<32-2 {
				d.errorf(kid.Args[0].Pos, "a number", "%s is no value for '%s'", tree.Quote(kid.Args[0].Text), kid.Def.Name)
			}
		case "interface":
			d.interfaceName(kid.Args[0])
		}
	}
	b.TLS = d.bindsTLS(own, k)
	col, quic, tcp := 0, false, false
	for part := range strings.SplitSeq(k.Args[0].Text, ",") {
		b.Pos = k.Args[0].Pos
		b.Pos.Col += col
		col += len(part) + 1
		places, meant, problem := listenPlaces(part)
		if problem != "" {
			d.errorf(b.Pos, meant, "%s %s", tree.Quote(part), problem)
			d.broken[brokenKey("frontend", f.Name, "bind")] = true
			continue
		}
		for _, p := range places {
			b.Addr, b.Unix, b.QUIC = p.Addr, p.Unix, p.QUIC
			quic, tcp = quic || p.QUIC, tcp || !p.QUIC
			f.Binds = append(f.Binds, b)
		}
	}
	switch {
	case quic && tcp:
		d.errorf(k.Args[0].Pos, "write a bind for each", "addresses of QUIC and others can't share a line")
	case quic && b.TLS != nil && b.TLS.ALPN == "":
		b.TLS.ALPN = h3 // goes without saying
	}
}

// families are the prefixes of an address that say what it is one of. QUIC is for clients alone.
var families = []struct {
	prefix          string
	four, six, quic bool
}{{"ipv4@", true, false, false}, {"ipv6@", false, true, false}, {"tcp4@", true, false, false}, {"tcp6@", false, true, false},
	{"tcp@", true, true, false}, {"ip@", true, true, false}, {"quic4@", true, false, true}, {"quic6@", false, true, true}}

// listenPlaces reads [IP]:PORT[-PORT], /PATH or abns@NAME; no IP or * is every IPv4 address, behind quic6@ and its like
// every IPv6 one.
func listenPlaces(s string) (places []proxy.Bind, meant, problem string) {
	if path, ok := unixPath(s); ok {
		if problem = unixProblem(path); problem != "" {
			return nil, "", problem
		}
		return []proxy.Bind{{Unix: path}}, "", ""
	}
	four, six, quic := true, true, false
	for _, f := range families {
		if rest, ok := strings.CutPrefix(s, f.prefix); ok {
			s, four, six, quic = rest, f.four, f.six, f.quic
			break
		}
	}
	if strings.Contains(s, "@") {
		return nil, "", "is a kind of address that is not supported yet"
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return nil, "ADDRESS:PORT", "has no port"
	}
	first, last, ok := portRange(s[i+1:])
	if !ok {
		return nil, "a port is a number from 1 to 65535", "has no valid port"
	}
	if int(last)-int(first) >= maxRange {
		return nil, "", "has more than " + strconv.Itoa(maxRange) + " ports"
	}
	ip := netip.IPv4Unspecified()
	if !four {
		ip = netip.IPv6Unspecified()
	}
	if host := s[:i]; host != "" && host != "*" {
		var err error
		if ip, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err != nil || ip.Is4() && !four || ip.Is6() && !six {
			return nil, "an IP address, * or nothing in front of the port", "is no address to listen on"
		}
	}
	for p := int(first); p <= int(last); p++ {
		places = append(places, proxy.Bind{Addr: netip.AddrPortFrom(ip, uint16(p)), QUIC: quic})
	}
	return places, "", ""
}

// unixPath is the socket that an address names, if it is one of Unix.
func unixPath(s string) (path string, ok bool) {
	if name, ok := strings.CutPrefix(s, "abns@"); ok {
		return "@" + name, true
	}
	path, ok = strings.CutPrefix(s, "unix@")
	return path, ok || strings.HasPrefix(s, "/")
}

func unixProblem(path string) string {
	switch {
	case path == "" || path == "@":
		return "has no name"
	case len(path) > maxUnix:
		return "is longer than " + strconv.Itoa(maxUnix) + " bytes"
	case path[0] != '/' && path[0] != '@':
		return "is no absolute path"
	case strings.ContainsRune(path, 0):
		return "has a NUL byte"
	}
	return ""
}

// portRange reads PORT or PORT-PORT.
func portRange(s string) (first, last uint16, ok bool) {
	low, high, more := strings.Cut(s, "-")
	a, ok := parseInt(low, false)
	b := a
	if more && ok {
		b, ok = parseInt(high, false)
	}
	if !ok || a < 1 || b < a || b > 65535 {
		return 0, 0, false
	}
	return uint16(a), uint16(b), true
}

// serverAddress reads HOST[:PORT], /PATH or abns@NAME; the host may be a name and the port an offset.
func serverAddress(s string) (address, meant, problem string) {
	const form = "ADDRESS:PORT or NAME:PORT"
	if path, ok := unixPath(s); ok {
		if problem = unixProblem(path); problem != "" {
			return "", "", problem
		}
		if path[0] == '@' {
			path = "abns" + path
		}
		return path, "", ""
	}
	for _, f := range families {
		if rest, ok := strings.CutPrefix(s, f.prefix); ok && f.four && f.six {
			s = rest
		}
	}
	if strings.ContainsAny(s, "@/") {
		return "", form, "is a kind of address that is not supported yet"
	}
	host, port, hasPort := s, "", false
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err != nil || ip.Is4() || strings.HasSuffix(s, "]") {
		if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
			host, port, hasPort = s[:i], s[i+1:], true
		}
	} else if i := strings.LastIndexByte(s, ':'); !strings.HasPrefix(s, "[") { // the last part of a bare IPv6 address is its port
		host, port, hasPort = s[:i], s[i+1:], true
	}
	if hasPort {
		if port, problem = serverPort(port); problem != "" {
			return "", "a port is a number from 1 to 65535", problem
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if ip, err := netip.ParseAddr(host); err == nil {
		if host = ip.String(); ip.Is6() {
			host = "[" + host + "]"
		}
		return host + port, "", ""
	}
	if !hostName(host) {
		return "", form, "is no address of a server"
	}
	return host + port, "", ""
}

// serverPort spells a port with its colon: N, or +N and -N for a distance from the client's.
func serverPort(s string) (port, problem string) {
	digits := strings.TrimLeft(s, "+-")
	n, ok := parseInt(digits, false)
	signs := len(s) - len(digits)
	if !ok || signs > 1 || n > 65535 || n < 1 && signs == 0 {
		return "", "has no valid port"
	}
	if signs == 1 && n == 0 {
		return "", "" // the client's own
	}
	return ":" + s[:signs] + strconv.FormatInt(n, 10), ""
}

// fixedPort is whether a server's address has a port of its own, or needs none.
func fixedPort(address string) bool {
	i := strings.LastIndexByte(address, ':')
	return strings.HasPrefix(address, "/") || strings.HasPrefix(address, "abns@") ||
		i > strings.LastIndexByte(address, ']') && address[i+1] >= '0' && address[i+1] <= '9'
}

// source reads `source ADDRESS[:PORT[-PORT]] [usesrc X] [interface I]`; nil when it is wrong.
func (d *decoder) source(at source.Pos, w tree.Word, kids []tree.Node) *proxy.SourceAddress {
	s := proxy.SourceAddress{Pos: at}
	ok := true
	wrong := func(w tree.Word, hint, format string) {
		d.errorf(w.Pos, hint, format, tree.Quote(w.Text))
		ok = false
	}
	host, port := splitSource(w.Text)
	if ip, err := netip.ParseAddr(host); err == nil {
		s.Addr = ip
	} else if host == "" || host == "*" {
		s.Addr = netip.IPv4Unspecified()
	} else {
		wrong(w, "ADDRESS or ADDRESS:PORT or ADDRESS:PORT-PORT", "%s is no address that connections can come from")
	}
	if port != "" {
		var good bool
		if s.First, s.Last, good = portRange(port); !good {
			wrong(w, "a port is a number from 1 to 65535", "%s has no valid port")
		}
	}
	for _, k := range kids {
		switch k.Def.Name {
		case "usesrc":
			ok = d.useSrc(&s, k.Args[0]) && ok
		case "interface":
			s.Interface = k.Args[0].Text
			ok = d.interfaceName(k.Args[0]) && ok
		}
	}
	if !ok {
		return nil
	}
	return &s
}

func (d *decoder) useSrc(s *proxy.SourceAddress, w tree.Word) bool {
	switch {
	case w.Text == "client":
		s.UseSrc = proxy.UseSrcClient
		return true
	case w.Text == "clientip":
		s.UseSrc = proxy.UseSrcClientIP
		return true
	case strings.HasPrefix(w.Text, "hdr_ip"):
		d.errorf(w.Pos, "", "'usesrc %s' is not supported yet", w.Text)
		return false
	}
	host, port := splitSource(w.Text)
	ip, err := netip.ParseAddr(host)
	n, ok := uint16(0), true
	if port != "" {
		var last uint16
		n, last, ok = portRange(port)
		ok = ok && n == last
	}
	if err != nil || !ok || ip.IsUnspecified() {
		d.errorf(w.Pos, "client, clientip or ADDRESS[:PORT]", "%s is no value for 'usesrc'", tree.Quote(w.Text))
		return false
	}
	s.UseSrc, s.As = proxy.UseSrcAddr, netip.AddrPortFrom(ip, n)
	return true
}

// splitSource parts an address from its port. A bare IPv6 address has none.
func splitSource(s string) (host, port string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, ""
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i < strings.LastIndexByte(s, ']') {
		i = len(s)
		return strings.Trim(s[:i], "[]"), ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"), s[i+1:]
}
