package http2

import (
	"bytes"

	"github.com/reeve-lb/reeve/proxy/http1"
)

// HTTP/1 heads as they leave for the other side of a stream.

// AppendRequestFields writes a request head that was parsed from in; an upgrade, which has to be one to WebSocket, becomes
// an extended CONNECT (RFC 8441). secure: the scheme is https. grpc servers want to be told that trailers may come back: te
// is one of the connection's in HTTP/1 and was taken off there.
func AppendRequestFields(dst []byte, h *http1.Head, in []byte, secure bool) []byte {
	switch h.Method {
	case http1.GET:
		if h.Upgrade {
			dst = appendNamed(dst, idxGET, "CONNECT")
			dst = appendField(dst, []byte(":protocol"), []byte("websocket"))
			break
		}
		dst = appendIndexed(dst, idxGET)
	case http1.POST:
		dst = appendIndexed(dst, idxPOST)
	default:
		dst = appendNamed(dst, idxGET, h.Verb.Of(in))
	}
	if h.Method != http1.CONNECT {
		if secure {
			dst = appendIndexed(dst, idxHTTPS)
		} else {
			dst = appendIndexed(dst, idxHTTP)
		}
		switch path := h.Path.Of(in); {
		case len(path) == 1 && path[0] == '/', len(path) == 0 && h.Method != http1.OPTIONS:
			dst = appendIndexed(dst, idxPath)
		case len(path) == 0:
			dst = appendNamed(dst, idxPath, "*")
		case path[0] == '?':
			dst = appendInteger(dst, 4, 0, idxPath)
			dst = append(appendInteger(dst, 7, 0, len(path)+1), '/')
			dst = append(dst, path...)
		default:
			dst = appendNamed(dst, idxPath, path)
		}
	}
	if host, ok := h.Get(http1.Host); ok {
		dst = appendNamed(dst, idxAuthority, host.Value.Of(in))
	} else if h.Method == http1.CONNECT {
		dst = appendNamed(dst, idxAuthority, h.Target.Of(in))
	}
	grpc := false
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		if hd.ID == http1.Host || ofConnection(hd) {
			continue
		}
		name, value := hd.Name.Of(in), hd.Value.Of(in)
		if h.Upgrade && (hd.ID == http1.ContentLength || http1.EqualFold(name, "sec-websocket-key")) {
			continue
		}
		grpc = grpc || http1.EqualFold(name, "content-type") && bytes.HasPrefix(value, []byte("application/grpc"))
		dst = appendField(dst, name, value)
	}
	if grpc {
		dst = appendField(dst, []byte("te"), []byte("trailers"))
	}
	return dst
}

// AppendResponseFields writes the head of an answer that was parsed from in. A switch of protocols is the 200 that
// answers an extended CONNECT.
func AppendResponseFields(dst []byte, h *http1.Head, in []byte) []byte {
	if h.Status == 101 {
		dst = appendStatus(dst, 200)
	} else {
		dst = appendStatus(dst, h.Status)
	}
	for i := range h.Headers[:h.N] {
		hd := &h.Headers[i]
		if ofConnection(hd) || h.Status == 101 && http1.EqualFold(hd.Name.Of(in), "sec-websocket-accept") {
			continue
		}
		dst = appendField(dst, hd.Name.Of(in), hd.Value.Of(in))
	}
	return dst
}

// ofConnection: the fields that HTTP/2 has no use for (RFC 9113 section 8.2.2).
func ofConnection(hd *http1.Header) bool {
	switch hd.ID {
	case http1.Connection, http1.KeepAlive, http1.ProxyConnection, http1.TransferEncoding, http1.Upgrade, http1.TE:
		return true
	}
	return hd.Hop
}

// AppendTrailerFields writes trailer lines, which end with an empty one, as fields.
func AppendTrailerFields(dst, lines []byte) []byte {
	for len(lines) > 2 {
		end := bytes.IndexByte(lines, '\n')
		colon := bytes.IndexByte(lines[:max(end, 0)], ':')
		if end < 0 || colon < 0 {
			break
		}
		name, value := lines[:colon], bytes.Trim(lines[colon+1:end], " \t\r")
		lines = lines[end+1:]
		switch string(lower(make([]byte, 0, 32), name)) {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "content-length", "host":
		default:
			dst = appendField(dst, name, value)
		}
	}
	return dst
}
