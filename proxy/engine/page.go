package engine

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"strconv"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/stats"
)

// The statistics page is served in the place of a backend. Its figures come from all loops, so it is made on a goroutine
// and mailed back.

func (s *session) statsPath(p *proxy.Stats) bool {
	uri := p.URI
	if uri == "" {
		uri = "/haproxy?stats"
	}
	return bytes.HasPrefix(s.t.head.Path.Of(s.client.in.data()), []byte(uri))
}

func (s *session) statsPage(p *proxy.Stats) verdict {
	t, in := s.t, s.client.in.data()
	s.fe.per[s.l.id].intercepted++
	s.mark('L', 'R')
	t.own = true
	t.chosenAt, t.queuedAt, t.connectedAt = s.l.now, s.l.now, s.l.now
	if !s.authorized(p, in) {
		return s.unauthorized(p)
	}
	target := t.head.Path.Of(in)
	csv := bytes.Contains(target, []byte(";csv"))
	refresh := p.Refresh
	if bytes.Contains(target, []byte(";norefresh")) {
		refresh = 0
	}
	head, life, l, e := t.method == http1.HEAD, t.life, s.l, s.l.e
	keep := s.swallow()
	s.enter(phasePage)
	e.pages.Go(func() {
		snap := e.Stats()
		var body []byte
		kind := "text/html; charset=utf-8"
		if csv {
			body, kind = stats.AppendCSV(nil, snap), "text/plain"
		} else {
			body = stats.AppendPage(nil, snap, refresh)
		}
		l.post(func() { s.pageMade(life, kind, body, head, keep) })
	})
	return wait
}

func (s *session) authorized(p *proxy.Stats, in []byte) bool {
	if len(p.Auth) == 0 {
		return true
	}
	h, ok := s.t.head.Get(http1.Authorization)
	v := h.Value.Of(in)
	if !ok || len(v) < 6 || !http1.EqualFold(v[:6], "basic ") {
		return false
	}
	text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(v[6:])))
	if err != nil {
		return false
	}
	good := 0
	for _, u := range p.Auth {
		good |= subtle.ConstantTimeCompare(text, []byte(u.User+":"+u.Password))
	}
	return good == 1
}

func (s *session) unauthorized(p *proxy.Stats) verdict {
	realm := p.Realm
	if realm == "" {
		realm = "HAProxy Statistics"
	}
	page, keep := errorPages[401], s.swallow()
	text := page.head + "www-authenticate: Basic realm=" + strconv.Quote(realm) + "\r\n" + s.t.connection(keep) + "\r\n"
	if s.t.method != http1.HEAD {
		text += page.body
	}
	s.t.status = 401
	return s.answerBytes([]byte(text), keep)
}

func (s *session) pageMade(life uint64, kind string, body []byte, head, keep bool) {
	if s.phase != phasePage || s.t == nil || s.t.life != life {
		return
	}
	t := s.t
	t.status, t.answerAt = 200, s.l.now
	keep = keep && !s.leaving()
	out := append([]byte(nil), "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: "+kind+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n"...)
	out = append(out, t.connection(keep)+"\r\n"...)
	if !head {
		out = append(out, body...)
	}
	s.answerBytes(out, keep)
	s.run()
}

// answerBytes sends an answer of any size as our own.
func (s *session) answerBytes(out []byte, keep bool) verdict {
	t, c := s.t, &s.client
	s.l.free(&c.out)
	c.out = &buffer{b: out, w: len(out)}
	countDown(s, len(out))
	s.countAnswer(t.status)
	return s.answerOwn(keep)
}
