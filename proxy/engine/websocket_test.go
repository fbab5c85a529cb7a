package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/reeve-lb/reeve/internal/lab/pki"
	"github.com/reeve-lb/reeve/proxy"
)

// webSocketEcho is a server that tells messages back. On /leave it closes after the first; closed tells how a client did.
func webSocketEcho(t *testing.T) (_ proxy.Server, closed chan error) {
	closed = make(chan error, 1)
	return handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(4 << 20)
		for {
			kind, text, err := c.Read(t.Context())
			if err != nil {
				closed <- err
				return
			}
			if err := c.Write(t.Context(), kind, text); err != nil {
				t.Error(err)
				return
			}
			if r.URL.Path == "/leave" {
				c.Close(websocket.StatusGoingAway, "enough")
				return
			}
		}
	}), closed
}

// TestWebSocketEcho: a client and a server that people use, over HTTP/1.1 in clear and through TLS: messages of every
// length of frame, pings, and a close that either side begins.
func TestWebSocketEcho(t *testing.T) {
	ca := pki.New(t)
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "a.example"}}}
	for scheme, side := range map[string]struct {
		bind   func(*proxy.Config)
		client *http.Client
	}{
		"ws":  {func(*proxy.Config) {}, &http.Client{Transport: &http.Transport{}}},
		"wss": {overTLS(ca.Write("a.pem", ca.ECDSA("a.example").PEM())), secure},
	} {
		t.Run(scheme, func(t *testing.T) {
			server, closed := webSocketEcho(t)
			s := start(t, proxy.HTTP, []proxy.Server{server}, func(c *proxy.Config) {
				side.bind(c)
				c.Backends[0].Timeouts.Tunnel = 10 * time.Second
			})
			defer side.client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			dial := func(path string) *websocket.Conn {
				t.Helper()
				c, resp, err := websocket.Dial(ctx, scheme+"://"+s.addr+path, &websocket.DialOptions{HTTPClient: side.client,
					Subprotocols: []string{"other", "chat"}, CompressionMode: websocket.CompressionContextTakeover})
				if err != nil {
					t.Fatal(err)
				}
				if c.Subprotocol() != "chat" || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Errorf("protocol %q, status %d", c.Subprotocol(), resp.StatusCode)
				}
				c.SetReadLimit(4 << 20)
				return c
			}
			c := dial("/echo")
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
				echo(t, ctx, c, websocket.MessageText, bytes.Repeat([]byte("x"), size))
				echo(t, ctx, c, websocket.MessageBinary, incompressible(size))
			}
			if err := c.Ping(c.CloseRead(ctx)); err != nil {
				t.Errorf("ping: %v", err)
			}
			c.Close(websocket.StatusNormalClosure, "bye")
			if err := <-closed; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the server saw %v", err)
			}
			s.want(" be/a ", " 101 ", " ---- ", `"GET /echo HTTP/1.1"`)
			c = dial("/leave")
			echo(t, ctx, c, websocket.MessageText, []byte("one"))
			if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("the client saw %v", err)
			}
			s.want(" be/a ", " 101 ", " ---- ", `"GET /leave HTTP/1.1"`)
		})
	}
}

// echo sends a message and wants it back.
func echo(t *testing.T, ctx context.Context, c *websocket.Conn, kind websocket.MessageType, text []byte) {
	t.Helper()
	if err := c.Write(ctx, kind, text); err != nil {
		t.Fatal(err)
	}
	k, got, err := c.Read(ctx)
	if err != nil || k != kind || !bytes.Equal(got, text) {
		t.Fatalf("%v of %d bytes, %v; want %v of %d bytes", k, len(got), err, kind, len(text))
	}
}

// incompressible is always the same noise.
func incompressible(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
