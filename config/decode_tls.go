package config

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// versionWords are what the words that shut out or pick single versions say.
type versionWords struct{ excluded [proxy.TLSv13 + 1]bool }

// bindTLS is the TLS of a bind line while it is read.
type bindTLS struct {
	TLS proxy.BindTLS // the table's words lead here
	versionWords
	ssl bool
	any *tree.Node // a word that has no meaning without ssl
}

// serverTLS is the same of a server line.
type serverTLS struct {
	TLS proxy.ServerTLS
	versionWords
	ssl, verify bool
	any         *tree.Node
}

// tlsDefaults are the ssl-default words of the global section, and ssl-server-verify.
type tlsDefaults struct {
	bind, server           proxy.TLSParams
	bindWords, serverWords versionWords
	strictSNI              bool
	noServerVerify         bool
}

// securedLine is a line with ssl, for which the defaults stand in at the end: they may come later.
type securedLine struct {
	*proxy.TLSParams
	versionWords
	bind   *proxy.BindTLS
	verify *proxy.Verify // of a server that says nothing
	line   tree.Node
}

// bindTLS reads one word of a bind line; false: it has nothing to do with TLS.
func (d *decoder) bindTLS(b *bindTLS, k tree.Node) bool {
	if !ofTLS(k.Def) {
		return false
	}
	d.noEffect(k)
	switch k.Def.Name {
	case "ssl":
		d.value(k)
		b.ssl = !k.No
		return true
	case "crt", "crt-list":
		if v, ok := d.value(k); ok {
			b.TLS.Crts = append(b.TLS.Crts, proxy.Crt{File: v.(string), List: k.Def.Name == "crt-list", Pos: k.Args[0].Pos})
		}
	default:
		if !d.versionWord(&b.TLS.TLSParams, &b.versionWords, k) {
			d.scalar(k, b)
		}
	}
	b.any = &k
	return true
}

// ofTLS reports whether a word of a line has to do with TLS.
func ofTLS(def *words.Word) bool {
	switch def.Name {
	case "ssl", "no-ssl", "crt", "crt-list", "prefer-client-ciphers":
		return true
	}
	_, _, version := versionWord(def.Name)
	return version || strings.HasPrefix(def.Field, "TLS.")
}

// bindsTLS is what a line's words come to; nil: clear.
func (d *decoder) bindsTLS(b *bindTLS, k tree.Node) *proxy.BindTLS {
	if !b.ssl {
		if b.any != nil {
			d.warnf(b.any.Pos, "write ssl", "'%s' has no effect on a bind without 'ssl'", b.any.Def.Name)
		}
		return nil
	}
	out := &b.TLS
	out.Pos = k.Pos
	d.names(&out.TLSParams, k)
	d.secured = append(d.secured, securedLine{TLSParams: &out.TLSParams, versionWords: b.versionWords, bind: out, line: k})
	return out
}

// serverTLS reads one word of a server line; false: it has nothing to do with TLS.
func (d *decoder) serverTLS(s *serverTLS, k tree.Node) bool {
	if !ofTLS(k.Def) {
		return false
	}
	switch name := k.Def.Name; name {
	case "ssl", "no-ssl":
		d.value(k)
		s.ssl = (name == "ssl") != k.No
		return true
	case "verify":
		s.verify = d.scalar(k, s)
	default:
		if !d.versionWord(&s.TLS.TLSParams, &s.versionWords, k) {
			d.scalar(k, s)
		}
		if _, _, err := tlsconf.ParseSNI(s.TLS.SNI); name == "sni" && err != nil {
			d.errorf(k.Args[0].Pos, "", "%v", err)
		}
	}
	s.any = &k
	return true
}

// serversTLS is what a line's words come to; nil: clear.
func (d *decoder) serversTLS(s *serverTLS, k tree.Node) *proxy.ServerTLS {
	if !s.ssl {
		if s.any != nil {
			d.warnf(s.any.Pos, "write ssl", "'%s' has no effect on a server without 'ssl'", s.any.Def.Name)
		}
		return nil
	}
	out := &s.TLS
	out.Pos = k.Pos
	d.names(&out.TLSParams, k)
	l := securedLine{TLSParams: &out.TLSParams, versionWords: s.versionWords, line: k}
	if !s.verify {
		out.Verify = proxy.VerifyRequired
		l.verify = &out.Verify
	}
	d.secured = append(d.secured, l)
	return out
}

// versionWord takes no-tlsv11, force-tlsv12 and their like apart.
func versionWord(word string) (force bool, version proxy.TLSVersion, ok bool) {
	kind, name, _ := strings.Cut(word, "-")
	version = map[string]proxy.TLSVersion{"sslv3": proxy.SSLv3, "tlsv10": proxy.TLSv10, "tlsv11": proxy.TLSv11,
		"tlsv12": proxy.TLSv12, "tlsv13": proxy.TLSv13}[name]
	return kind == "force", version, version != 0 && (kind == "no" || kind == "force")
}

// versionWord reads a word about a single version.
func (d *decoder) versionWord(p *proxy.TLSParams, v *versionWords, k tree.Node) bool {
	force, version, ok := versionWord(k.Def.Name)
	if ok {
		d.value(k)
		v.say(p, force, version)
	}
	return ok
}

func (v *versionWords) say(p *proxy.TLSParams, force bool, version proxy.TLSVersion) {
	if force {
		p.MinVersion, p.MaxVersion = version, version
		return
	}
	v.excluded[version] = true
}

// names checks the lists of names of a line.
func (d *decoder) names(p *proxy.TLSParams, k tree.Node) {
	at := func(word string) tree.Node {
		for _, kid := range k.Kids {
			if kid.Def.Name == word {
				return kid
			}
		}
		return k
	}
	if _, err := tlsconf.Ciphers(p.Ciphers); err != nil {
		d.errorf(at("ciphers").Pos, "", "%v", err)
	}
	if _, err := tlsconf.Curves(p.Curves); err != nil {
		d.errorf(at("curves").Pos, "", "%v", err)
	}
	d.suites(p.CipherSuites, at("ciphersuites"))
	for a := range strings.SplitSeq(p.ALPN, ",") {
		if p.ALPN != "" && (a == "" || len(a) > 255) {
			d.errorf(at("alpn").Pos, "protocols separated by commas, as in h2,http/1.1", "%s is no list of protocols", tree.Quote(p.ALPN))
		}
	}
}

func (d *decoder) suites(list string, at tree.Node) {
	if err := tlsconf.CipherSuites(list); err != nil {
		d.errorf(at.Pos, "", "%v", err)
	} else if !tlsconf.AllCipherSuites(list) {
		d.warnf(at.Pos, "", "the cipher suites of TLSv1.3 that '%s' leaves out are offered too: the library has no switch for them", at.Def.Name)
	}
}

// globalTLS reads the words of the global section that stand in for those of binds and servers.
func (d *decoder) globalTLS(k tree.Node) bool {
	p, v := &d.tls.bind, &d.tls.bindWords
	rest, ok := strings.CutPrefix(k.Def.Name, "ssl-default-bind-")
	if !ok {
		p, v = &d.tls.server, &d.tls.serverWords
		if rest, ok = strings.CutPrefix(k.Def.Name, "ssl-default-server-"); !ok && k.Def.Name != "ssl-server-verify" {
			return false
		}
	}
	if rest == "options" {
		d.tlsOptions(p, v, k)
		return true
	}
	value, ok := d.value(k)
	if !ok {
		return true
	}
	var err error
	switch rest {
	case "ciphers":
		p.Ciphers = value.(string)
		_, err = tlsconf.Ciphers(p.Ciphers)
	case "ciphersuites":
		p.CipherSuites = value.(string)
		d.suites(p.CipherSuites, k)
	case "curves":
		p.Curves = value.(string)
		_, err = tlsconf.Curves(p.Curves)
	default:
		d.tls.noServerVerify = value.(enumValue).text == "none"
	}
	if err != nil {
		d.errorf(k.Args[0].Pos, "", "%v", err)
	}
	return true
}

// tlsOptions reads ssl-default-bind-options and ssl-default-server-options.
func (d *decoder) tlsOptions(p *proxy.TLSParams, v *versionWords, k tree.Node) {
	scope := "bind"
	if k.Def.Name == "ssl-default-server-options" {
		scope = "server"
	}
	line := words.Word{Name: k.Def.Name, Sub: scope}
	_, kids := tree.Line(words.HAProxy, &line, k.Args, &d.ps)
	for _, kid := range kids {
		switch name := kid.Def.Name; {
		case d.versionWord(p, v, kid):
		case name == "ssl-min-ver" || name == "ssl-max-ver" || name == "no-tls-tickets":
			d.scalar(kid, &struct{ TLS *proxy.TLSParams }{p})
		case name == "strict-sni":
			d.tls.strictSNI = true
		case name == "prefer-client-ciphers":
			d.noEffect(kid)
		default:
			d.errorf(kid.Pos, "", "'%s' can't stand in '%s'", name, k.Def.Name)
		}
	}
}

// resolveTLS lets the defaults stand in where a line says nothing, and makes bounds of versions that are shut out.
func (d *decoder) resolveTLS() {
	for _, l := range d.secured {
		def, words := &d.tls.server, d.tls.serverWords
		if l.bind != nil {
			def, words = &d.tls.bind, d.tls.bindWords
			l.bind.StrictSNI = l.bind.StrictSNI || d.tls.strictSNI
		}
		if l.verify != nil && d.tls.noServerVerify {
			*l.verify = proxy.VerifyNone
		}
		for _, s := range []struct{ own, other *string }{{&l.Ciphers, &def.Ciphers}, {&l.CipherSuites, &def.CipherSuites}, {&l.Curves, &def.Curves}} {
			if *s.own == "" {
				*s.own = *s.other
			}
		}
		if l.MinVersion == 0 {
			l.MinVersion = def.MinVersion
		}
		if l.MaxVersion == 0 {
			l.MaxVersion = def.MaxVersion
		}
		l.NoTickets = l.NoTickets || def.NoTickets
		for i, no := range words.excluded {
			l.excluded[i] = l.excluded[i] || no
		}
		d.bounds(&l)
	}
}

// bounds makes a lower and an upper bound of what is left: the newest versions without a gap.
func (d *decoder) bounds(l *securedLine) {
	lo, hi := l.MinVersion, l.MaxVersion
	if lo == 0 {
		lo = proxy.TLSv12
		if hi != 0 {
			lo = min(lo, hi)
		}
	}
	top := hi
	if top == 0 {
		top = proxy.TLSv13
	}
	for top >= lo && l.excluded[top] {
		top--
	}
	bottom := top
	for bottom > lo && !l.excluded[bottom-1] {
		bottom--
	}
	if top < lo || top == proxy.SSLv3 {
		d.errorf(l.line.Pos, "", "no version of TLS is left")
		return
	}
	if bottom != lo {
		l.MinVersion = bottom
	}
	if top != hi && !(hi == 0 && top == proxy.TLSv13) {
		l.MaxVersion = top
	}
}

// bindTLSWords spells a bind's TLS.
func bindTLSWords(b *proxy.BindTLS) []string {
	if b == nil {
		return nil
	}
	ws := []string{"ssl"}
	for _, c := range b.Crts {
		if c.List {
			ws = append(ws, "crt-list", c.File)
		} else {
			ws = append(ws, "crt", c.File)
		}
	}
	for _, v := range []struct{ word, value string }{{"ca-file", b.CAFile}, {"crl-file", b.CRLFile}, {"alpn", b.ALPN}, {"ssl-min-ver", b.MinVersion.String()},
		{"ssl-max-ver", b.MaxVersion.String()}, {"ciphers", b.Ciphers}, {"ciphersuites", b.CipherSuites}, {"curves", b.Curves},
		{"tls-ticket-keys", b.TicketKeys}} {
		if v.value != "" {
			ws = append(ws, v.word, v.value)
		}
	}
	if b.Verify != proxy.VerifyNone {
		ws = append(ws, "verify", b.Verify.String())
	}
	if b.StrictSNI {
		ws = append(ws, "strict-sni")
	}
	if b.NoTickets {
		ws = append(ws, "no-tls-tickets")
	}
	return ws
}
