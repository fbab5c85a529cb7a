package http3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// must dials.
func (s *lone) must(t *testing.T) *quic.Conn {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opened sends bytes on a new stream and leaves it open.
func opened(t *testing.T, c *quic.Conn, wire []byte) *quic.Stream {
	t.Helper()
	stream, err := c.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.SetDeadline(time.Now().Add(patience))
	if _, err := stream.Write(wire); err != nil {
		t.Fatal(err)
	}
	return stream
}

func posted(more ...qpack.HeaderField) []byte {
	return headersOf(append([]qpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a.example"}, {Name: ":path", Value: "/"}}, more...))
}

// TestResetCodes: a request that turns out to be malformed when content of its answer has gone is reset as that, with the loop
// told; an answer that the client gives up is no fault of anybody. FuzzAnswer has the loop's own reasons.
func TestResetCodes(t *testing.T) {
	s := startLone(t)
	early := func(f *http2.Framer, id uint32) {
		writeAnswer(f, id, 200, nil, false)
		f.WriteData(id, false, []byte("begin"))
	}
	s.early.Store(&early)
	c := s.must(t)
	for _, wrong := range []struct {
		name string
		wire []byte
		code h3.ErrCode
	}{
		{"too little content", frameOf(frameData, []byte("abc")), h3.ErrCodeMessageError},
		{"too much content", frameOf(frameData, []byte("abcdefghijk")), h3.ErrCodeMessageError},
		{"trailers with pseudo fields", append(frameOf(frameData, []byte("abcdefghij")), headersOf(plain)...), h3.ErrCodeMessageError},
	} {
		stream := opened(t, c, posted(qpack.HeaderField{Name: "content-length", Value: "10"}))
		first := make([]byte, len("begin")+6) // behind the head of the answer
		if _, err := io.ReadFull(stream, first); err != nil {
			t.Fatalf("%s: %v", wrong.name, err)
		}
		stream.Write(wrong.wire)
		stream.Close()
		if a := readAnswer(stream); a.code() != wrong.code {
			t.Errorf("%s: the answer ends with %v, want %s", wrong.name, a.err, wrong.code)
		}
		if h := <-s.heard; h.whole || len(h.fields) == 0 {
			t.Errorf("%s: the loop hears %+v", wrong.name, h)
		}
	}
}

// TestStopSending: of a client that wants no more of its request's answer the loop hears at once.
func TestStopSending(t *testing.T) {
	s := startLone(t)
	early := func(f *http2.Framer, id uint32) { writeAnswer(f, id, 200, nil, false) }
	s.early.Store(&early)
	stream := opened(t, s.must(t), posted())
	if _, err := io.ReadFull(stream, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	stream.CancelRead(quic.StreamErrorCode(h3.ErrCodeRequestCanceled))
	if h := <-s.heard; h.whole {
		t.Errorf("%+v", h)
	}
	if code := stopped(stream); code != h3.ErrCodeRequestCanceled {
		t.Errorf("the request is stopped with %s", code)
	}
}

// stopped is the code with which a server wants no more of a request.
func stopped(stream *quic.Stream) h3.ErrCode {
	_, err := stream.Write(make([]byte, 1<<20))
	return (&told{err: err}).code()
}

// TestEarlyAnswer: an answer that is whole before its request is reaches the client, who is told without a reproach to send no
// more.
func TestEarlyAnswer(t *testing.T) {
	s := startLone(t)
	early := func(f *http2.Framer, id uint32) {
		writeAnswer(f, id, 413, nil, false)
		f.WriteData(id, true, []byte("too much"))
	}
	s.early.Store(&early)
	stream := opened(t, s.must(t), posted())
	if a := readAnswer(stream); a.err != nil || a.status() != "413" || string(a.body) != "too much" {
		t.Errorf("%+v", a)
	}
	if code := stopped(stream); code != h3.ErrCodeNoError {
		t.Errorf("the request is stopped with %s", code)
	}
	if h := <-s.heard; h.whole {
		t.Errorf("%+v", h)
	}
}

// TestHeadsAreBounded: interim heads are not gathered without end for a client that reads nothing.
func TestHeadsAreBounded(t *testing.T) {
	s := startLone(t)
	early := func(f *http2.Framer, id uint32) {
		for range 10 * maxHeads {
			writeAnswer(f, id, 103, []qpack.HeaderField{{Name: "link", Value: "</style.css>; rel=preload"}}, false)
		}
	}
	s.early.Store(&early)
	c, err := s.dialWith(&quic.Config{InitialStreamReceiveWindow: 100, MaxStreamReceiveWindow: 100})
	if err != nil {
		t.Fatal(err)
	}
	stream := opened(t, c, posted())
	if h := <-s.heard; h.whole { // it is reset
		t.Errorf("%+v", h)
	}
	if a := readAnswer(stream); a.code() != h3.ErrCodeRequestCanceled || len(a.heads) > 4*maxHeads { // with those that the library has taken
		t.Errorf("%d heads, %v", len(a.heads), a.err)
	}
}

// refused reports whether a client is told at once that it is not let in.
func refused(err error) bool {
	var transport *quic.TransportError
	return errors.As(err, &transport) && transport.Remote && transport.ErrorCode == quic.ConnectionRefused
}

// TestRefusedAtOnce: for whom there is no room, and who comes when the address is left, is told so in place of an answer to the
// first packet; those who are in go on.
func TestRefusedAtOnce(t *testing.T) {
	s := startLone(t)
	early := func(f *http2.Framer, id uint32) { writeAnswer(f, id, 200, nil, false) }
	s.early.Store(&early)
	in := s.must(t)
	stream := opened(t, in, posted())
	if _, err := io.ReadFull(stream, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	s.full.Store(true)
	if _, err := s.dial(); !refused(err) {
		t.Errorf("without room: %v", err)
	}
	s.full.Store(false)
	s.must(t)
	s.l.Leave()
	if _, err := s.dial(); !refused(err) {
		t.Errorf("when the address is left: %v", err)
	}
	s.answers(func(f *http2.Framer, id uint32) { f.WriteData(id, true, []byte("end")) })
	if err := stream.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(stream); err != nil || !bytes.HasSuffix(b, []byte("end")) {
		t.Errorf("the request under way ends with %q, %v", b, err)
	}
	closed := make(chan bool)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.l.Close(ctx)
		close(closed)
	}()
	<-in.Context().Done()
	<-closed
}

// TestMemoryIsAccountedFor: what is kept for a connection, for its requests and for windows that grow is told to the Host; where
// it grants no larger windows everything goes on all the same.
func TestMemoryIsAccountedFor(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		s := startLone(t)
		s.narrow.Store(narrow)
		text := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s.answers(func(f *http2.Framer, id uint32) {
			writeAnswer(f, id, 200, nil, false)
			f.WriteData(id, true, []byte("taken"))
		})
		c := s.must(t)
		if n := s.kept.Load(); n != ConnMemory {
			t.Errorf("%d bytes are kept for a connection", n)
		}
		stream := opened(t, c, posted())
		stream.SetDeadline(time.Now().Add(3 * patience))
		if _, err := stream.Write(frameOf(frameData, text)); err != nil {
			t.Fatal(err)
		}
		stream.Close()
		if a := readAnswer(stream); a.err != nil || string(a.body) != "taken" {
			t.Fatalf("%q %v", a.body, a.err)
		}
		if h := <-s.heard; !bytes.Equal(h.body, text) {
			t.Errorf("%d of %d bytes arrive", len(h.body), len(text))
		}
		if n := s.most.Load(); n != ConnMemory+RequestMemory {
			t.Errorf("at most %d bytes were kept", n)
		}
		if s.wanted.Load() == 0 {
			t.Error("no larger window was asked for")
		}
		for deadline := time.Now().Add(patience); s.kept.Load() != ConnMemory; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are kept after the request", s.kept.Load())
			}
		}
		c.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
		for deadline := time.Now().Add(patience); s.kept.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d bytes are kept after the connection", s.kept.Load())
			}
		}
	}
}
