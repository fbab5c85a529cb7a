package engine

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// An extended CONNECT (RFC 8441) is an upgrade at a server of HTTP/1. Its client has neither key nor proof: to the server
// we are the WebSocket's client, with a client's duties (RFC 6455 section 4.1). At a server of HTTP/2 an upgrade to WebSocket
// is an extended CONNECT, and we are the one who proves to have seen the key.

// websocketGUID is what a key is joined with before it is hashed (RFC 6455 section 1.3).
const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// newKey is a key for one connection: 16 random bytes.
func newKey() (key [24]byte) {
	var raw [16]byte
	binary.NativeEndian.PutUint64(raw[:], rand.Uint64())
	binary.NativeEndian.PutUint64(raw[8:], rand.Uint64())
	base64.StdEncoding.Encode(key[:], raw[:])
	return key
}

// misleads: the client would take the answer for something else than the server means, because nobody asked for a switch
// of protocols, or because HTTP/2 has 200 for consent to one, which HTTP/1 gives by 101 alone.
func (s *session) misleads(h *http1.Head, in []byte) bool {
	st := s.client.stream
	switch {
	case h.Status == 101 && !s.t.upgrade:
		return true
	case st == nil || !s.t.upgrade:
		return false
	case h.Status == 101:
		return st.key != [24]byte{} && !st.proven(h, in)
	}
	return h.Status/100 == 2
}

// proofOf is what a server of HTTP/1 answers to a key to prove that it has seen it.
func proofOf(key *[24]byte) (proof [28]byte) {
	sum := sha1.Sum(append(key[:], websocketGUID...))
	base64.StdEncoding.Encode(proof[:], sum[:])
	return proof
}

// webSocketKey is the key of a request of HTTP/1 that opens a WebSocket (RFC 6455 section 4.1), if it is one.
func webSocketKey(h *http1.Head, in []byte) (key [24]byte, ok bool) {
	up, _ := h.Get(http1.Upgrade)
	if !h.Upgrade || h.Method != http1.GET || h.Chunked || h.ContentLength > 0 || !http1.EqualFold(up.Value.Of(in), "websocket") {
		return key, false
	}
	for i := range h.Headers[:h.N] {
		if hd := &h.Headers[i]; hd.Value.Len() == len(key) && http1.EqualFold(hd.Name.Of(in), "sec-websocket-key") {
			return [24]byte(hd.Value.Of(in)), true
		}
	}
	return key, false
}

// wantsWebSocket: the request asks for one.
func (s *session) wantsWebSocket() bool {
	_, ok := webSocketKey(&s.t.head, s.client.in.data())
	return ok
}

// settleUpgrade: HTTP/2 knows no upgrade but that to WebSocket. A client of HTTP/1 can't tell a server that declines one from a
// server that never heard of it; one of HTTP/2 takes an answer for consent.
func (s *session) settleUpgrade() {
	if s.server.stream != nil && s.t.upgrade && s.client.stream == nil && !s.wantsWebSocket() {
		s.t.upgrade = false
	}
}

// opensWebSocket: the request opens a WebSocket, and the server takes those, as far as is known yet.
func (st *stream) opensWebSocket(h *http1.Head, in []byte) (ok bool) {
	m := st.m
	if st.key, ok = webSocketKey(h, in); ok && m.h.Greeted() && !m.h.Peer.ExtendedConnect {
		if sc := m.c.sc; m.l.fails.allow(m.l.now) {
			m.l.e.log.Warn("a server does not take WebSockets over HTTP/2 (RFC 8441): write ws h1", "server", sc.rt.backend.name+"/"+sc.rt.name)
		}
		return false
	}
	return ok
}

// proven reports whether a server that switches has understood that it is to speak WebSocket.
func (st *stream) proven(h *http1.Head, in []byte) bool {
	want := proofOf(&st.key)
	good := false
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		if http1.EqualFold(hd.Name.Of(in), "sec-websocket-accept") {
			good = string(hd.Value.Of(in)) == string(want[:])
		}
	}
	up, _ := h.Get(http1.Upgrade)
	return good && http1.EqualFold(up.Value.Of(in), "websocket")
}
