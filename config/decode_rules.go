package config

import (
	"strings"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/proxy"
)

// The lines that proxy/rule compiles are kept word by word; what they say is checked by compiling them (validate_rules.go).

func proxyWords(ws []tree.Word) []proxy.Word {
	var out []proxy.Word
	for _, w := range ws {
		out = append(out, proxy.Word{Text: w.Text, Pos: w.Pos})
	}
	return out
}

// ruleLine reads a line of one of the lists. It reports whether the word is one of theirs.
func (d *decoder) ruleLine(p proxyState, k tree.Node) bool {
	r := proxy.Rule{Words: proxyWords(k.Args), Pos: k.Pos}
	rs := p.rules()
	switch k.Def.Name {
	case "acl":
		d.acl(p, k)
	case "use_backend":
		d.useBackend(p.front, k)
	case "use-server":
		d.useServer(p.back, k)
	case "http-request":
		rs.HTTPRequest = append(rs.HTTPRequest, r)
	case "http-response":
		rs.HTTPResponse = append(rs.HTTPResponse, r)
	case "http-after-response":
		rs.HTTPAfterResponse = append(rs.HTTPAfterResponse, r)
	case "tcp-request":
		rs.TCPRequest = append(rs.TCPRequest, r)
	case "tcp-response":
		rs.TCPResponse = append(rs.TCPResponse, r)
	case "redirect":
		rs.Redirect = append(rs.Redirect, r)
	case "monitor-uri":
		d.scalar(k, p.front)
	case "monitor fail":
		p.front.Monitor.Fail = append(p.front.Monitor.Fail, r)
	default:
		return d.capture(p.front, k)
	}
	return true
}

// rules are the lists of the side that keeps them: a listen's frontend.
func (p proxyState) rules() *proxy.Rules {
	if p.front != nil {
		return &p.front.Rules
	}
	return &p.back.Rules
}

// acl reads `acl NAME SAMPLE [FLAG...] VALUE...`; both sides of a listen may name it.
func (d *decoder) acl(p proxyState, k tree.Node) {
	if len(k.Args) < 2 {
		d.errorf(k.Pos, "acl NAME path_beg [-i] VALUE...", "'acl' needs a name and a test")
		return
	}
	name := k.Args[0]
	if strings.Trim(name.Text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") != "" ||
		name.Text == "or" || name.Text == "if" || name.Text == "unless" {
		d.errorf(name.Pos, "letters, digits, _ . : -", "%s can't be the name of an acl", tree.Quote(name.Text))
		return
	}
	a := proxy.ACL{Name: name.Text, Test: proxyWords(k.Args[1:]), Pos: k.Pos}
	if p.front != nil {
		p.front.ACLs = append(p.front.ACLs, a)
	}
	if p.back != nil {
		p.back.ACLs = append(p.back.ACLs, a)
	}
}

// useBackend reads `use_backend NAME [if|unless CONDITION]`.
func (d *decoder) useBackend(f *proxy.Frontend, k tree.Node) {
	if len(k.Args) == 0 {
		d.errorf(k.Pos, "use_backend NAME if CONDITION", "'use_backend' needs the name of a backend")
		return
	}
	f.UseBackend = append(f.UseBackend, proxy.UseBackend{Backend: k.Args[0].Text, Cond: proxyWords(k.Args[1:]), Pos: k.Args[0].Pos})
}

// useServer reads `use-server NAME [if|unless CONDITION]`.
func (d *decoder) useServer(b *proxy.Backend, k tree.Node) {
	if len(k.Args) == 0 {
		d.errorf(k.Pos, "use-server NAME if CONDITION", "'use-server' needs the name of a server")
		return
	}
	b.UseServer = append(b.UseServer, proxy.UseServer{Server: k.Args[0].Text, Cond: proxyWords(k.Args[1:]), Pos: k.Args[0].Pos})
}

// onlyNamed are the words that a defaults section may have only under a name: rules that nobody sees at their proxy.
var onlyNamed = map[string]bool{"acl": true, "http-request": true, "http-response": true, "http-after-response": true, "tcp-request": true,
	"tcp-response": true}
