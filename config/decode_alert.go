package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// smtpServer reads HOST [PORT]. What can't be a server is no reason to refuse the file: mail is not sent, or goes to the
// usual port.
func (d *decoder) smtpServer(m *vrrp.Mail, k tree.Node) {
	host := k.Args[0].Text
	m.Server, m.Port = "", 25
	if h, p, err := net.SplitHostPort(host); err == nil && len(k.Args) == 1 && p != "" {
		d.warnf(k.Args[0].Pos, "HOST [PORT]", "%s is taken for the port %s of %s", tree.Quote(host), p, h)
		d.ps.As(source.ClassSilent)
		host = h
		d.smtpPort(m, tree.Word{Text: p, Pos: k.Args[0].Pos})
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName(host) {
		d.warnf(k.Args[0].Pos, "HOST [PORT]", "%s is no mail server: taken for none, no mail is sent", tree.Quote(host))
		d.ps.As(source.ClassSilent)
		return
	}
	m.Server = host
	if len(k.Args) > 1 {
		d.smtpPort(m, k.Args[1])
	}
	if len(k.Args) > 2 {
		d.errorf(k.Args[2].Pos, "HOST [PORT]", "surplus word %s after 'smtp_server'", tree.Quote(k.Args[2].Text))
		d.ps.As(source.ClassSilent)
	}
}

func (d *decoder) smtpPort(m *vrrp.Mail, w tree.Word) {
	port, ok := parseInt(w.Text, false)
	if !ok || port < 1 || port > 65535 {
		d.warnf(w.Pos, "a number from 1 to 65535", "%s is no port: taken for 25", tree.Quote(w.Text))
		d.ps.As(source.ClassSilent)
		return
	}
	m.Port = int(port)
}

// snmp reads snmp { trap_sink ... user { ... } }.
func (d *decoder) snmp(n tree.Node) {
	s := &d.doc.VRRP.Global.SNMP
	if !s.Pos.IsZero() {
		d.errorf(n.Pos, "one snmp { } is enough", "'snmp' was already given at %s", s.Pos)
		return
	}
	s.Pos = n.Pos
	for _, k := range n.Kids {
		if k.Def.Name == "user" {
			for _, kid := range k.Kids {
				d.scalar(kid, &s.User)
			}
			continue
		}
		if d.scalar(k, s) && k.Def.Name == "trap_sink" && !sink(s.TrapSink) {
			d.errorf(k.Args[0].Pos, "HOST or HOST:PORT", "%s is no sink for traps", tree.Quote(s.TrapSink))
		}
	}
}

// sink: a host or an address, perhaps with a port.
func sink(s string) bool {
	host := s
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, ok := parseInt(p, false)
		if !ok || n < 1 || n > 65535 {
			return false
		}
		host = h
	}
	_, err := netip.ParseAddr(host)
	return err == nil || hostName(host)
}

func (d *decoder) webhook(n tree.Node) {
	w := vrrp.Webhook{Name: name(n), Timeout: 5 * time.Second, Retries: 3, Pos: n.Pos}
	for _, k := range n.Kids {
		ok := d.scalar(k, &w)
		if k.Def.Name != "url" {
			continue
		}
		u, err := url.Parse(w.URL)
		if ok && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			d.errorf(k.Args[0].Pos, "https://HOST/PATH", "%s is no address to post to", tree.Quote(w.URL))
			ok = false
		}
		d.broken[brokenKey("webhook", w.Name, "url")] = !ok
	}
	d.doc.VRRP.Global.Webhooks = append(d.doc.VRRP.Global.Webhooks, w)
}

// tooShort: SNMPv3 makes keys of passwords of at least 8 bytes (RFC 3414 section 11.2).
func tooShort(password string) bool { return len(strings.TrimSpace(password)) < 8 }
