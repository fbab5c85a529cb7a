package engine

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/reeve-lb/reeve/proxy"
)

// TestQUICMaxConn: who comes when an address is full is turned away, and let in when there is room.
func TestQUICMaxConn(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Binds[1].MaxConn = 1 })
	first, conn := s.h3Client(nil)
	s.do(first, s.request("GET", "/", nil))
	second, _ := s.h3Client(nil)
	var refused *http3.Error
	if _, err := second.RoundTrip(s.request("GET", "/", nil)); !errors.As(err, &refused) || refused.ErrorCode != http3.ErrCodeExcessiveLoad {
		t.Errorf("beyond maxconn: %v", err)
	}
	if _, body := s.get("/"); body != "a" {
		t.Errorf("the other address: %q", body)
	}
	conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	for deadline := time.Now().Add(5 * time.Second); ; {
		third, _ := s.h3Client(nil)
		resp, err := third.RoundTrip(s.request("GET", "/", nil))
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if row, _ := s.e.Stats().Find("fe", "FRONTEND"); row.DReq == 0 || row.SMax != 1 && row.SMax != 2 {
		t.Errorf("%+v", row)
	}
}

// TestQUICMaxStreams: as many requests at a time as are allowed go to the server; the others wait at the client.
func TestQUICMaxStreams(t *testing.T) {
	arrived, release := make(chan bool, 10), make(chan bool)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-release
	})}, func(c *proxy.Config) { c.Global.QUIC.MaxStreams = 2 })
	client, _ := s.h3Client(nil)
	done := make(chan error, 3)
	for range 3 {
		go func() {
			resp, err := client.RoundTrip(s.request("GET", "/", nil))
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
	}
	<-arrived
	<-arrived
	select {
	case <-arrived:
		t.Error("three requests at a time")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestQUICCertificates: a certificate that takes another's place counts for the next handshake; sessions are resumed.
func TestQUICCertificates(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, nil)
	cache := tls.NewLRUClientSessionCache(10)
	resuming := func(c *tls.Config, _ *quic.Config) { c.ClientSessionCache = cache }
	client, conn := s.h3Client(resuming)
	before := conn.ConnectionState().TLS.PeerCertificates[0].SerialNumber
	s.do(client, s.request("GET", "/", nil)) // the ticket has come with it
	_, conn = s.h3Client(resuming)
	if !conn.ConnectionState().TLS.DidResume {
		t.Error("the session was not resumed")
	}
	if err := s.e.SetTicketKeys([][32]byte{{1}}); err != nil {
		t.Fatal(err)
	}
	if _, conn = s.h3Client(resuming); conn.ConnectionState().TLS.DidResume {
		t.Error("a session was resumed whose ticket nobody can open")
	}
	if _, err := s.e.SetCertificate("quic.pem", s.ca.ECDSA("a.example").PEM()); err != nil {
		t.Fatal(err)
	}
	_, conn = s.h3Client(nil)
	if after := conn.ConnectionState().TLS.PeerCertificates[0].SerialNumber; after.Cmp(before) == 0 {
		t.Error("the old certificate is served")
	}
	if _, body := s.do(client, s.request("GET", "/", nil)); body != "a" {
		t.Error("the old connection does not go on")
	}
	row, _ := s.e.Stats().Find("fe", "FRONTEND")
	for deadline := time.Now().Add(5 * time.Second); row.SSLSess < 4 && time.Now().Before(deadline); row, _ = s.e.Stats().Find("fe", "FRONTEND") {
	}
	if row.SSLSess != 4 || row.SSLReusedSess != 1 {
		t.Errorf("%d handshakes, %d resumed", row.SSLSess, row.SSLReusedSess)
	}
	if _, err := s.dialQUIC(func(c *tls.Config, _ *quic.Config) { c.NextProtos = []string{"hq-interop"} }); err == nil {
		t.Error("another protocol is taken")
	}
	for deadline := time.Now().Add(5 * time.Second); row.SSLFailedHandshake == 0 && time.Now().Before(deadline); row, _ = s.e.Stats().Find("fe", "FRONTEND") {
	}
	if row.SSLFailedHandshake != 1 {
		t.Errorf("%d failed handshakes", row.SSLFailedHandshake)
	}
}

// initial is the first packet of a connection (RFC 9000 section 17.2.2) that nobody can decrypt.
func initial() []byte {
	p := []byte{0xc3, 0, 0, 0, 1, 8}
	p = binary.BigEndian.AppendUint64(p, rand.Uint64())
	p = append(p, 8)
	p = binary.BigEndian.AppendUint64(p, rand.Uint64())
	p = append(p, 0) // no token
	p = binary.BigEndian.AppendUint16(p, 0x4000|uint16(1200-len(p)-2))
	return append(p, make([]byte, 1200-len(p))...)
}

// retried sends an Initial packet and reports whether a Retry packet (section 17.2.5) comes back.
func (q *quicSite) retried() bool {
	q.t.Helper()
	c, err := net.Dial("udp", q.addr)
	if err != nil {
		q.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(initial()); err != nil {
		q.t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	b := make([]byte, 2000)
	n, err := c.Read(b)
	return err == nil && n > 5 && b[0]>>4 == 0xf
}

// TestQUICRetry: a client has to show that its address is its own where that is asked for, or when many handshakes hang.
func TestQUICRetry(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, func(c *proxy.Config) { c.Global.QUIC.RetryThreshold = 3 })
	for i := range 3 {
		if s.retried() {
			t.Errorf("the client number %d has to show its address", i+1)
		}
	}
	if !s.retried() {
		t.Error("with 3 half-open connections nobody has to show an address")
	}
	client, _ := s.h3Client(nil)
	if _, body := s.do(client, s.request("GET", "/", nil)); body != "a" {
		t.Error("a client that shows its address is not served")
	}
	forced := startQUIC(t, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Binds[1].ForceRetry = true })
	if !forced.retried() {
		t.Error("quic-force-retry forces nothing")
	}
	client, _ = forced.h3Client(nil)
	if _, body := forced.do(client, forced.request("GET", "/", nil)); body != "a" {
		t.Error("a client that shows its address is not served")
	}
}

// TestQUICGarbage: what is no QUIC is dropped.
func TestQUICGarbage(t *testing.T) {
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	c, err := net.Dial("udp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 500 {
		b := make([]byte, rand.IntN(1400))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		c.Write(b)
		p := initial()
		for range 20 {
			p[rand.IntN(60)] = byte(rand.Uint32())
		}
		c.Write(p)
	}
	client, _ := s.h3Client(nil)
	if _, body := s.do(client, s.request("GET", "/", nil)); body != "a" {
		t.Errorf("afterwards: %q", body)
	}
}

// TestQUICRapidReset: a client that gives requests up as fast as it makes them is cut.
func TestQUICRapidReset(t *testing.T) {
	arrived := make(chan bool, 100)
	s := startQUIC(t, []proxy.Server{handler(t, "a", func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-r.Context().Done()
	})}, func(c *proxy.Config) { c.Frontends[0].Log = nil })
	client, conn := s.h3Client(nil)
	for range 50 {
		var streams []*http3.RequestStream
		for range 50 {
			stream, err := client.OpenRequestStream(t.Context())
			if err == nil {
				err = stream.SendRequestHeader(s.request("GET", "/", nil))
			}
			if err == nil {
				err = stream.Close()
			}
			if err != nil {
				<-conn.Context().Done()
				var end *quic.ApplicationError
				if err := context.Cause(conn.Context()); !errors.As(err, &end) || end.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad) {
					t.Errorf("the connection ended with %v", err)
				}
				return
			}
			streams = append(streams, stream)
		}
		for _, stream := range streams {
			select {
			case <-arrived:
			case <-time.After(200 * time.Millisecond): // rejected, since some of the last fifty still count
			case <-conn.Context().Done():
			}
			stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
			stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		}
	}
	t.Error("2500 requests were given up and nobody minded")
}

// TestQUICPortHeld: the holder of a port of UDP is named, and the address of another protocol is none.
func TestQUICPortHeld(t *testing.T) {
	held, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, a := named(t, "a")
	s := startQUIC(t, []proxy.Server{a}, nil)
	next := s.cfg
	next.Frontends = []proxy.Frontend{s.cfg.Frontends[0]}
	b := s.cfg.Frontends[0].Binds[1]
	b.Addr = held.LocalAddr().(*net.UDPAddr).AddrPort()
	next.Frontends[0].Binds = append(next.Frontends[0].Binds[:2:2], b)
	if text := s.e.CanRun(next).Err(); text == nil || !strings.Contains(text.Error(), "quic4@"+b.Addr.String()+" is held by ") {
		t.Errorf("%v", text)
	}
}
