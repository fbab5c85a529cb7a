package http3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/reeve-lb/reeve/internal/lab/pki"
)

// patience is how long an answer may take.
const patience = 10 * time.Second

// heard is a request as it reaches the loop.
type heard struct {
	fields, trailers []hpack.HeaderField
	body             []byte
	whole            bool  // its end has come; otherwise it was reset
	broken           error // what another reader of HTTP/2 minds about its head
}

// lone is a Listener whose loop is the test's: it speaks frames of HTTP/2. It is its Listener's Host.
type lone struct {
	ca    *pki.Authority
	cert  tls.Certificate
	addr  *net.UDPAddr
	l     *Listener
	plan  atomic.Pointer[func(*http2.Framer, uint32)] // what is answered
	heard chan heard
	early atomic.Pointer[func(*http2.Framer, uint32)] // what is answered to a head that is not the whole request; nil: nothing
	loops sync.WaitGroup

	mu    sync.Mutex
	conns []*quic.Conn // of clients

	full   atomic.Bool  // nobody else is let in
	narrow atomic.Bool  // windows may not grow
	kept   atomic.Int64 // by all clients
	most   atomic.Int64 // of it, at any time
	wanted atomic.Int64 // the most that was asked for by Grow
}

func startLone(t testing.TB) *lone {
	t.Helper()
	s := &lone{ca: pki.New(t), heard: make(chan heard, 1000)}
	pair := s.ca.ECDSA("a.example")
	var err error
	if s.cert, err = tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = socket.LocalAddr().(*net.UDPAddr)
	s.answers(func(f *http2.Framer, id uint32) { writeAnswer(f, id, 200, nil, true) })
	if s.l, err = Listen(socket, s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range s.conns {
			c.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		s.l.Close(now)
		s.loops.Wait()
		if n := s.kept.Load(); n != 0 {
			t.Errorf("%d bytes are still accounted for when everybody has gone", n)
		}
	})
	return s
}

func (s *lone) answers(plan func(*http2.Framer, uint32)) { s.plan.Store(&plan) }

func (s *lone) Handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	return &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{h3.NextProtoH3}}, nil
}

func (s *lone) Settings() Settings {
	return Settings{MaxStreams: 100, IdleTimeout: time.Minute, RequestTimeout: patience}
}

func (s *lone) Retry(int) bool { return false }
func (s *lone) Failed()        {}

func (s *lone) Arrive() (Place, error) {
	if s.full.Load() {
		return nil, errors.New("full")
	}
	p := &loneClient{s: s}
	p.Keep(ConnMemory)
	return p, nil
}

// loneClient is the place of a client.
type loneClient struct {
	s    *lone
	kept atomic.Int64
}

func (p *loneClient) Take(Client) (net.Conn, error) {
	near, far := net.Pipe()
	p.s.loops.Go(func() { p.s.loop(far) })
	return near, nil
}

func (p *loneClient) Keep(n int64) {
	p.kept.Add(n)
	sum := p.s.kept.Add(n)
	for most := p.s.most.Load(); sum > most && !p.s.most.CompareAndSwap(most, sum); most = p.s.most.Load() {
	}
}

func (p *loneClient) Grow(n int64) bool {
	for most := p.s.wanted.Load(); n > most && !p.s.wanted.CompareAndSwap(most, n); most = p.s.wanted.Load() {
	}
	return !p.s.narrow.Load()
}

func (p *loneClient) Leave() { p.Keep(-p.kept.Load()) }

// loop answers what comes over a link, and tells the test of it.
func (s *lone) loop(far net.Conn) {
	defer far.Close()
	in := bufio.NewReader(far)
	if _, err := io.ReadFull(in, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(far, in)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.WriteSettings()
	open := map[uint32]*heard{}
	for {
		frame, err := f.ReadFrame()
		var broken http2.StreamError
		if errors.As(err, &broken) {
			s.heard <- heard{broken: err}
			f.WriteRSTStream(broken.StreamID, http2.ErrCodeProtocol)
			continue
		}
		if err != nil {
			return
		}
		id, ended := frame.Header().StreamID, false
		h := open[id]
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			ended = frame.StreamEnded()
			if h == nil {
				h = &heard{fields: frame.Fields}
				open[id] = h
				if early := s.early.Load(); early != nil && !ended {
					(*early)(f, id)
				}
			} else {
				h.trailers = frame.Fields
			}
		case *http2.DataFrame:
			ended = frame.StreamEnded()
			if n := uint32(len(frame.Data())); h != nil && n > 0 {
				h.body = append(h.body, frame.Data()...)
				f.WriteWindowUpdate(0, n)
				f.WriteWindowUpdate(id, n)
			}
		case *http2.RSTStreamFrame:
			if h != nil {
				delete(open, id)
				s.heard <- *h
			}
		}
		if ended && h != nil {
			delete(open, id)
			h.whole = true
			s.heard <- *h
			(*s.plan.Load())(f, id)
		}
	}
}

// writeAnswer writes a head; fields go as they are.
func writeAnswer(f *http2.Framer, id uint32, status int, fields []qpack.HeaderField, end bool) {
	var block bytes.Buffer
	to := hpack.NewEncoder(&block)
	to.SetMaxDynamicTableSize(0)
	if status != 0 {
		to.WriteField(hpack.HeaderField{Name: ":status", Value: string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)})})
	}
	for _, field := range fields {
		to.WriteField(hpack.HeaderField{Name: field.Name, Value: field.Value})
	}
	rest := block.Bytes()
	for first := true; first || len(rest) > 0; first = false {
		part := rest[:min(len(rest), 16384)]
		rest = rest[len(part):]
		if first {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: end, EndHeaders: len(rest) == 0})
		} else {
			f.WriteContinuation(id, len(rest) == 0, part)
		}
	}
}

// dial is a client of QUIC that speaks HTTP/3 by the byte.
func (s *lone) dial() (*quic.Conn, error) {
	return s.dialWith(&quic.Config{MaxIdleTimeout: time.Minute})
}

func (s *lone) dialWith(settings *quic.Config) (*quic.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, s.addr.String(), &tls.Config{RootCAs: s.ca.Pool, ServerName: "a.example", NextProtos: []string{h3.NextProtoH3}}, settings)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	control, err := c.OpenUniStream()
	if err != nil {
		return nil, err
	}
	_, err = control.Write([]byte{0, 4, 0}) // control stream, SETTINGS without any
	return c, err
}

// frameOf is a frame of HTTP/3.
func frameOf(kind uint64, p []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(p))), p...)
}

// headersOf is a HEADERS frame of fields as they are.
func headersOf(fields []qpack.HeaderField) []byte {
	var block bytes.Buffer
	to := qpack.NewEncoder(&block)
	for _, f := range fields {
		to.WriteField(f)
	}
	return frameOf(frameHeaders, block.Bytes())
}

var plain = []qpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a.example"}, {Name: ":path", Value: "/"}}

// told is what a client was answered.
type told struct {
	heads [][]qpack.HeaderField
	body  []byte
	err   error // how the stream ended, nil: well
}

// status is that of the last head that has one.
func (a *told) status() (status string) {
	for _, h := range a.heads {
		if len(h) > 0 && h[0].Name == ":status" {
			status = h[0].Value
		}
	}
	return status
}

// code is the code of a reset; 0: there was none.
func (a *told) code() h3.ErrCode {
	var reset *quic.StreamError
	if errors.As(a.err, &reset) && reset.Remote {
		return h3.ErrCode(reset.ErrorCode)
	}
	return 0
}

// ask3 sends bytes on a new stream and reads what is answered until its end.
func ask3(c *quic.Conn, wire []byte) *told {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := c.OpenStreamSync(ctx)
	if err != nil {
		return &told{err: err}
	}
	stream.SetDeadline(time.Now().Add(patience))
	stream.Write(wire) // who wants no more of it says so
	stream.Close()
	return readAnswer(stream)
}

func readAnswer(stream *quic.Stream) *told {
	a := &told{}
	var all []byte
	if all, a.err = io.ReadAll(stream); a.err != nil {
		stream.CancelRead(quic.StreamErrorCode(h3.ErrCodeRequestCanceled))
	}
	for r := bytes.NewReader(all); r.Len() > 0; {
		kind, err := quicvarint.Read(r)
		if err != nil {
			break
		}
		n, err := quicvarint.Read(r)
		if err != nil {
			break
		}
		p := make([]byte, min(n, uint64(r.Len())))
		r.Read(p)
		if kind == frameData {
			a.body = append(a.body, p...)
		} else if uint64(len(p)) == n && kind == frameHeaders {
			a.heads = append(a.heads, fieldsOf(p))
		}
	}
	return a
}

func fieldsOf(block []byte) (fields []qpack.HeaderField) {
	for next := qpack.NewDecoder().Decode(block); ; {
		f, err := next()
		if err != nil {
			return fields
		}
		fields = append(fields, f)
	}
}
