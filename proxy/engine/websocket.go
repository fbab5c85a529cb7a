package engine

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// An extended CONNECT (RFC 8441) is an upgrade at a server of HTTP/1. Its client has neither key nor proof: to the server
// we are the WebSocket's client, with a client's duties (RFC 6455 section 4.1).

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

// proven reports whether a server that switches has understood that it is to speak WebSocket.
func (st *stream) proven(h *http1.Head, in []byte) bool {
	var want [28]byte
	sum := sha1.Sum(append(st.key[:], websocketGUID...))
	base64.StdEncoding.Encode(want[:], sum[:])
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
