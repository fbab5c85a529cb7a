package engine

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/balance"
	"github.com/reeve-lb/reeve/proxy/http1"
	"github.com/reeve-lb/reeve/proxy/rule"
)

// What a hash algorithm looks at in a request.

// keyState is whether a transaction has looked for its key, and found one.
type keyState uint8

const (
	keyUnasked keyState = iota
	keyAbsent           // it is its turn's server
	keyFound
)

// key makes t.hash of what the algorithm looks at; false when the request has none of it. It looks once: the head may be
// gone when a request is tried elsewhere.
func (s *session) key() bool {
	t := s.t
	if t.keyed == keyUnasked {
		t.keyed = keyAbsent
		if h, ok := s.hashKey(); ok {
			t.hash, t.keyed = h, keyFound
		}
	}
	return t.keyed == keyFound
}

func (s *session) hashKey() (uint32, bool) {
	t := s.t
	b := t.bc
	var h uint32
	if b.algorithm == proxy.Source { // whatever the function: the address is a number
		h = balance.HashSource(s.peer.Addr())
	} else {
		key, ok := s.keyBytes()
		if !ok {
			return 0, false
		}
		h = balance.Hash(b.hash.Function, key)
	}
	if b.hash.Avalanche {
		h = balance.Avalanche(h)
	}
	return h, true
}

// keyBytes is what a function makes a number of.
func (s *session) keyBytes() ([]byte, bool) {
	b := s.t.bc
	switch {
	case b.algorithm == proxy.HashOf && b.rules.hash == nil: // it was wrong
		return nil, false
	case b.algorithm == proxy.HashOf:
		return b.rules.hash.Bytes(s.lookAtFirst())
	case b.algorithm == proxy.RDPCookie && !s.http:
		return rule.RDPCookie(s.firstBytes(), b.args.Name)
	case !s.http:
		return nil, false
	}
	return requestKey(b, &s.t.head, s.client.in.data())
}

func requestKey(b *backConf, h *http1.Head, in []byte) ([]byte, bool) {
	switch b.algorithm {
	case proxy.URI:
		if b.args.PathOnly {
			return uriKey(h.Path.Of(in), &b.args), true
		}
		return uriKey(h.Target.Of(in), &b.args), true
	case proxy.URLParam:
		return paramKey(h.Target.Of(in), b.args.Name)
	case proxy.Hdr:
		return headerKey(h, in, &b.args)
	}
	return nil, false
}

// uriKey is the target up to its query, or as much of it as the arguments want.
func uriKey(uri []byte, a *proxy.BalanceArgs) []byte {
	if a.Len > 0 && len(uri) > a.Len {
		uri = uri[:a.Len]
	}
	slashes := 0
	for i, c := range uri {
		switch c {
		case '/':
			if slashes++; a.Depth > 0 && slashes == a.Depth+1 {
				return uri[:i]
			}
		case '?':
			if !a.Whole {
				return uri[:i]
			}
		}
	}
	return uri
}

// paramKey is the value of a parameter of the query, which may be empty.
func paramKey(uri []byte, name string) ([]byte, bool) {
	_, query, _ := bytes.Cut(uri, []byte{'?'})
	for len(query) > 0 {
		var param []byte
		param, query, _ = bytes.Cut(query, []byte{'&'})
		if len(param) > len(name) && param[len(name)] == '=' && string(param[:len(name)]) == name {
			return param[len(name)+1:], true
		}
	}
	return nil, false
}

// headerKey is the first value of the first header of a name (in lower case).
func headerKey(h *http1.Head, in []byte, a *proxy.BalanceArgs) ([]byte, bool) {
	for i := range h.Headers[:h.N] {
		if !http1.EqualFold(h.Headers[i].Name.Of(in), a.Name) {
			continue
		}
		v, _, _ := bytes.Cut(h.Headers[i].Value.Of(in), []byte{','})
		if v = bytes.TrimRight(v, " \t"); len(v) == 0 {
			return nil, false
		}
		if a.DomainOnly {
			v = domain(v)
		}
		return v, true
	}
	return nil, false
}

// domain is what stands in front of the last dot of a host's name, up to the dot before; all of a name without dots.
func domain(host []byte) []byte {
	end := bytes.LastIndexByte(host, '.')
	if end < 0 {
		return host
	}
	return host[bytes.LastIndexByte(host[:end], '.')+1 : end]
}
