package engine

import (
	"cmp"
	"strconv"
	"time"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/cache"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// What a transaction has to do with caches. The rule `cache-use` looks its request up; what is found goes out when the rules
// of both proxies are through, in the place of a server's answer and with the same rules for answers. The rule `cache-store`
// takes the head as it is then, and the body is copied as it goes by.

// caching is a transaction's part in caches; those that have none have no caching.
type caching struct {
	query  cache.Query
	answer cache.Answer
	from   *cache.Cache
	hit    *cache.Entry
	sent   int // of the hit's body
	store  *cache.Store
	chunks http1.Chunks // of the body that is stored
}

// What a cache section means that does not say otherwise.
const (
	defaultCacheAge      = time.Minute
	defaultCacheVariants = 10
)

// cacheSlot is a cache of the running configuration and what it was made from.
type cacheSlot struct {
	conf proxy.Cache
	c    *cache.Cache
}

// cacheOptions are a section's bounds with their defaults filled in.
func cacheOptions(c proxy.Cache) cache.Options {
	total := int64(c.TotalMaxSize) << 20
	return cache.Options{TotalMaxSize: total, MaxObjectSize: cmp.Or(c.MaxObjectSize, int(total/256)), MaxAge: cmp.Or(c.MaxAge, defaultCacheAge),
		ProcessVary: c.ProcessVary, MaxSecondaryEntries: cmp.Or(c.MaxSecondaryEntries, defaultCacheVariants)}
}

// applyCaches keeps the caches whose settings are as they were, with what is in them, and makes the others anew; mu is held.
func (e *Engine) applyCaches(caches []proxy.Cache) {
	next := map[string]cacheSlot{}
	for _, conf := range caches {
		slot, known := e.caches[conf.Name]
		if !known || cacheOptions(slot.conf) != cacheOptions(conf) {
			slot = cacheSlot{c: cache.New(conf.Name, cacheOptions(conf))}
		}
		slot.conf = conf
		next[conf.Name] = slot
	}
	e.caches = next
}

// findCache is how rules find a cache.
func (e *Engine) findCache(name string) (*cache.Cache, bool) {
	slot, ok := e.caches[name]
	return slot.c, ok
}

// caching gives the transaction its part.
func (l *loop) newCaching() *caching {
	if n := len(l.cachings); n > 0 {
		k := l.cachings[n-1]
		l.cachings = l.cachings[:n-1]
		return k
	}
	return &caching{}
}

func (l *loop) freeCaching(k **caching) {
	if *k == nil {
		return
	}
	if (*k).store != nil {
		(*k).store.Abort()
	}
	(*k).from, (*k).hit, (*k).sent, (*k).store, (*k).chunks = nil, nil, 0, nil, http1.Chunks{}
	l.cachings = append(l.cachings, *k)
	*k = nil
}

// useCache is the rule cache-use.
func (l *loop) useCache(from *cache.Cache) {
	s := l.looking
	t := s.t
	asks := t.minor == 1 && (t.method == http1.GET || t.method == http1.HEAD)
	if t.cached() || !asks && !t.changes() {
		return
	}
	if t.caching == nil {
		t.caching = l.newCaching()
	}
	k := t.caching
	if s.query(&k.query); !asks {
		return
	}
	s.eachCacheSide(func(c *counters) { c.cacheLookups++ })
	if !k.query.Asks() {
		return
	}
	if k.hit = from.Lookup(&k.query, l.wall); k.hit != nil {
		k.from = from
		s.eachCacheSide(func(c *counters) { c.cacheHits++ })
	}
}

// changes reports whether the request may change what is stored of its target: its method is not a safe one.
func (t *txn) changes() bool {
	switch t.method {
	case http1.GET, http1.HEAD, http1.OPTIONS, http1.TRACE, http1.CONNECT:
		return false
	}
	return true
}

// eachCacheSide counts at the proxy whose rule it is.
func (s *session) eachCacheSide(f func(*counters)) {
	if s.t.bc != nil {
		f(s.t.bc.rt.per[s.l.id])
	} else {
		f(s.fe.per[s.l.id])
	}
}

// query shows a cache the request as rules have left it.
func (s *session) query(q *cache.Query) {
	m := &s.t.asked
	q.Reset()
	var host []byte
	for i := range m.Fields() {
		name, value, ok := m.Field(i)
		if !ok {
			continue
		}
		if host == nil && http1.EqualFold(name, "host") {
			host = value
		}
		q.Field(name, value)
	}
	q.Target(host, m.Target())
}

// cached reports whether the answer comes from a cache.
func (t *txn) cached() bool { return t.caching != nil && t.caching.hit != nil }

// serveHit answers with what the cache has.
func (s *session) serveHit() verdict {
	t, l := s.t, s.l
	k, h := t.caching, &l.answer
	text := k.hit.Head
	if http1.ParseResponse(text, h) != http1.None {
		k.hit = nil // it was one when it was stored
		return s.buffer()
	}
	t.chosenAt, t.queuedAt, t.connectedAt, t.answerAt = l.now, l.now, l.now, l.now
	s.mark('L', 'R')
	if !s.swallow() || s.leaving() {
		t.closing = true
	}
	t.res = newBody(byLength, int64(len(k.hit.Body)))
	unchanged := k.query.NotModified(k.hit)
	if unchanged {
		h.Status = 304 // as rules see it, too
	}
	t.status = h.Status
	if t.method == http1.HEAD || unchanged {
		t.res = newBody(noBody, 0)
	}
	if s.answerRules(h, text) {
		return proceed // another answer took its place
	}
	if !s.aged(h, text, unchanged) {
		return s.answerError(500)
	}
	s.press(h, text)
	if !s.composeAnswer(h, text, false) {
		return s.answerError(500)
	}
	t.started = true
	s.countAnswer(t.status)
	s.clientAt = l.now
	return s.enter(phaseHit)
}

var (
	ageName     = []byte("age")
	notModified = []byte("Not Modified")
)

// aged puts the answer's age into its head, and makes a 304 of it where the client has the content.
func (s *session) aged(h *http1.Head, text []byte, unchanged bool) bool {
	l, m := s.l, &s.l.answered
	m.Head, m.In = h, text
	e := m.Edits
	if e == nil {
		e = l.takeEdits()
	}
	l.scratch = strconv.AppendInt(l.scratch[:0], s.t.caching.hit.Age(l.wall), 10)
	if status, _ := e.Status(); unchanged && status == 0 {
		e.SetStatus(304, notModified)
	}
	return m.Put(e, ageName, l.scratch)
}

// sendHit sends the head and the body.
func (s *session) sendHit() verdict {
	t := s.t
	s.clientDue = 0
	f := flowDone
	if t.press != nil {
		f = s.pressHit()
	} else {
		f = s.copyHit()
	}
	switch f {
	case flowWrite:
		s.clientDue = since(s.clientAt, t.fc.times.client)
		return wait
	case flowTurn:
		return wait
	case flowDest:
		s.eachSide(func(c *counters) { c.cliAbrt++ })
		return s.cut('C', 'D')
	}
	s.settle()
	s.log()
	if t.closing || s.client.broken || s.client.deaf {
		return s.leave()
	}
	return s.nextRequest()
}

// copyHit sends the body as it is stored.
func (s *session) copyHit() flow {
	t := s.t
	k := t.caching
	var rest []byte
	if t.res.kind == byLength {
		rest = k.hit.Body[k.sent:]
	}
	n, r := s.hand(&s.client, rest, countDown)
	if k.sent += n; r != ioSome {
		return blocked(r)
	}
	return flowDone
}

// pressHit compresses it on the way.
func (s *session) pressHit() flow {
	t := s.t
	k, p := t.caching, t.press
	for range budget {
		if f, ok := s.sendPressed(); !ok {
			return f
		}
		if p.ended {
			return flowDone
		}
		n := min(len(k.hit.Body)-k.sent, pressPiece)
		s.pressIn(k.hit.Body[k.sent:][:n])
		if k.sent += n; k.sent == len(k.hit.Body) {
			s.endPressed()
		}
	}
	s.l.later(s)
	return flowTurn
}

// storeCache is the rule cache-store.
func (l *loop) storeCache(in *cache.Cache) {
	s := l.looking
	t, m := s.t, &l.answered
	k, h := t.caching, m.Head
	if k == nil || k.hit != nil || k.store != nil {
		return
	}
	if t.changes() && m.Status() < 400 {
		in.Invalidate(&k.query)
	}
	if t.method != http1.GET || t.minor == 0 || m.Status() != 200 || !k.query.Stores() || t.closingBody() {
		return
	}
	a := &k.answer
	a.Reset(l.wall)
	for i := range m.Fields() {
		if name, value, ok := m.Field(i); ok {
			a.Field(name, value)
		}
	}
	if !a.Storable(in.Options()) {
		return
	}
	length := int64(-1)
	if t.res.kind == byLength {
		length = h.ContentLength
	}
	out := buffer{b: l.spareOut(smallBuffer)}
	if !storedHead(&out, m) {
		return
	}
	if k.store = in.Begin(&k.query, a, out.data(), length, l.wall); k.store != nil {
		t.res.kept = true
	}
}

// storedHead writes what of a head is kept: neither what belongs to the connection or to the framing, nor its age.
func storedHead(out *buffer, m *rule.Message) bool {
	w, h := writer{b: out}, m.Head
	w.text("HTTP/1.1 200 OK\r\n")
	for i := range m.Fields() {
		name, value, ok := m.Field(i)
		if !ok || i < h.N && (h.Headers[i].Hop || ofFraming(h.Headers[i].ID)) || i >= h.N && ownHeader(name) ||
			http1.EqualFold(name, "age") {
			continue
		}
		w.line(name, value)
	}
	return !w.full && out.w < http1.MaxHead-64
}

func ofFraming(id http1.ID) bool { return id == http1.ContentLength || id == http1.TransferEncoding }

// keepBody copies what was approved of a body that is stored.
func (s *session) keepBody(fresh []byte) {
	k := s.t.caching
	if s.t.res.kind == byLength {
		s.keepContent(fresh)
		return
	}
	for len(fresh) > 0 && k.store != nil {
		n, piece, f := k.chunks.Next(fresh)
		if f != http1.None || n == 0 {
			return
		}
		if piece == http1.Data {
			s.keepContent(fresh[:n])
		}
		fresh = fresh[n:]
	}
}

// keepContent takes in content; an answer that grows too large is given up.
func (s *session) keepContent(p []byte) {
	if k := s.t.caching; k.store != nil && !k.store.Write(p) {
		k.store.Abort()
		k.store, s.t.res.kept = nil, false
	}
}

// kept ends the storing of an answer that is through.
func (s *session) kept() {
	if k := s.t.caching; k != nil && k.store != nil {
		k.store.Commit()
		k.store = nil
	}
}
