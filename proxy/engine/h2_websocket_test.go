package engine

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/reeve-lb/reeve/proxy"
)

// webSocket begins one (RFC 8441 section 5); the key is one that should not be there.
func (r *h2Raw) webSocket(id uint32, path string) *http2.MetaHeadersFrame {
	r.t.Helper()
	r.head(id, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "example.org", ":path", path,
		"sec-websocket-version", "13", "sec-websocket-protocol", "chat", "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
	f, ok := r.until(ofStream(id)).(*http2.MetaHeadersFrame)
	if !ok {
		r.t.Fatalf("%s: no answer", path)
	}
	return f
}

// acceptOf is what proves to have seen the key (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// TestH2WebSocket: an extended CONNECT is an upgrade at a server of HTTP/1, with a key of its own; bytes go both ways, and
// the end of each direction is told to the other side.
func TestH2WebSocket(t *testing.T) {
	heads := make(chan textproto.MIMEHeader, 2)
	server := rawServer(t, "a", func(c net.Conn, r *bufio.Reader) {
		line, _ := r.ReadString('\n')
		head, err := textproto.NewReader(r).ReadMIMEHeader()
		if err != nil {
			return
		}
		head.Set("Line", line)
		heads <- head
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: "+acceptOf(head.Get("Sec-WebSocket-Key"))+"\r\n\r\nwelcome")
		io.Copy(c, r)
		io.WriteString(c, "bye")
	})
	s := start(t, proxy.HTTP, []proxy.Server{server}, nil)
	r := s.h2raw()
	settings, _ := r.until(func(f http2.Frame) bool { return f.Header().Type == http2.FrameSettings }).(*http2.SettingsFrame)
	if v, ok := settings.Value(8); !ok || v != 1 {
		t.Error("SETTINGS_ENABLE_CONNECT_PROTOCOL is not announced")
	}
	keys := map[string]bool{}
	for _, id := range []uint32{1, 3} {
		f := r.webSocket(id, "/chat")
		if f.PseudoValue("status") != "200" || f.StreamEnded() {
			t.Errorf("answer %v", f)
		}
		fields := map[string]string{}
		for _, h := range f.RegularFields() {
			fields[h.Name] = h.Value
		}
		if fields["sec-websocket-protocol"] != "chat" || fields["sec-websocket-accept"] != "" || fields["upgrade"] != "" || fields["connection"] != "" {
			t.Errorf("answer's fields %v", fields)
		}
		head := <-heads
		raw, err := base64.StdEncoding.DecodeString(head.Get("Sec-Websocket-Key"))
		if head.Get("Line") != "GET /chat HTTP/1.1\r\n" || !strings.EqualFold(head.Get("Upgrade"), "websocket") || !strings.EqualFold(head.Get("Connection"), "upgrade") ||
			head.Get("Host") != "example.org" || head.Get("Sec-Websocket-Version") != "13" || head.Get("Transfer-Encoding")+head.Get("Content-Length") != "" {
			t.Errorf("the server saw %v", head)
		}
		if len(head["Sec-Websocket-Key"]) != 1 || err != nil || len(raw) != 16 || head.Get("Sec-Websocket-Key") == "dGhlIHNhbXBsZSBub25jZQ==" {
			t.Errorf("keys %q", head["Sec-Websocket-Key"])
		}
		keys[head.Get("Sec-Websocket-Key")] = true
		r.wantData(id, "welcome", false)
	}
	if len(keys) != 2 {
		t.Error("two WebSockets have one key")
	}
	for _, text := range []string{"hello", strings.Repeat("x", 10000)} {
		for _, id := range []uint32{3, 1} {
			r.f.WriteData(id, false, []byte(text))
			r.wantData(id, text, false)
		}
	}
	for _, id := range []uint32{1, 3} {
		r.f.WriteData(id, true, nil)
		r.wantData(id, "bye", true)
		s.want(" be/a ", " 101 ", " ---- ", `"GET /chat HTTP/2.0"`)
	}
}

// wantData reads a stream's content: this, and the end of the stream behind it or not.
func (r *h2Raw) wantData(id uint32, want string, end bool) {
	r.t.Helper()
	for got := ""; ; {
		f, ok := r.until(func(f http2.Frame) bool { return ofStream(id)(f) && f.Header().Type != http2.FrameWindowUpdate }).(*http2.DataFrame)
		if !ok {
			r.t.Fatalf("stream %d ends or is reset after %d bytes, want %d", id, len(got), len(want))
		}
		got += string(f.Data())
		if got == want && f.StreamEnded() == end {
			return
		}
		if !strings.HasPrefix(want, got) || f.StreamEnded() {
			r.t.Fatalf("stream %d: %.20q (%d bytes, end %v), want %.20q", id, got, len(got), f.StreamEnded(), want)
		}
	}
}

// TestH2WebSocketRefused: what is no proper switch is no 200 to the client.
func TestH2WebSocketRefused(t *testing.T) {
	for name, c := range map[string]struct{ answer, want, flags string }{
		"403":              {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "403", " ---- "},
		"200":              {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "502", " PH-- "},
		"no proof":         {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "502", " PH-- "},
		"proof of another": {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + acceptOf("dGhlIHNhbXBsZSBub25jZQ==") + "\r\n\r\n", "502", " PH-- "},
		"another protocol": {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: KEY\r\n\r\n", "502", " PH-- "},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, proxy.HTTP, []proxy.Server{rawServer(t, "a", func(conn net.Conn, r *bufio.Reader) {
				r.ReadString('\n')
				head, _ := textproto.NewReader(r).ReadMIMEHeader()
				io.WriteString(conn, strings.Replace(c.answer, "KEY", acceptOf(head.Get("Sec-Websocket-Key")), 1))
				io.Copy(io.Discard, r)
			})}, nil)
			if f := s.h2raw().webSocket(1, "/"); f.PseudoValue("status") != c.want {
				t.Errorf("%s, want %s", f.PseudoValue("status"), c.want)
			}
			s.want(" "+c.want+" ", c.flags)
		})
	}
}
