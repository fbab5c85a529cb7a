package http2

import (
	"testing"

	"golang.org/x/net/http2/hpack"

	"bytes"
)

func frame(typ FrameType, flags uint8, stream uint32, payload string) []byte {
	return append(FrameHeader{Length: len(payload), Type: typ, Flags: flags, Stream: stream}.Append(nil), payload...)
}

// FuzzFrames: whatever comes, a connection of either side uses bytes or asks for more, writes no more than it may, and
// keeps its windows and its streams within bounds.
func FuzzFrames(f *testing.F) {
	f.Add(append([]byte(Preface), frame(FrameSettings, 0, 0, "")...), false)
	head := append(append([]byte(Preface), frame(FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x01")...), frame(FrameHeaders, FlagEndHeaders, 1, "\x82\x86\x84\x41\x01x")...)
	f.Add(append(head, frame(FrameData, FlagEndStream|FlagPadded, 1, "\x02hello\x00\x00")...), false)
	f.Add(append(head, frame(FrameHeaders, FlagEndStream|FlagEndHeaders, 1, "\x00\x01a\x01b")...), false)
	f.Add(append(head, frame(FrameHeaders, 0, 3, "\x82")...), false)
	f.Add(append(head, append(frame(FrameWindowUpdate, 0, 1, "\x7f\xff\xff\xff"), frame(FrameRSTStream, 0, 1, "\x00\x00\x00\x08")...)...), false)
	f.Add(append(frame(FrameSettings, 0, 0, ""), frame(FrameHeaders, FlagEndHeaders, 1, "\x88")...), true)
	f.Add(append(frame(FrameSettings, 0, 0, ""), frame(FrameGoAway, 0, 0, "\x00\x00\x00\x01\x00\x00\x00\x00")...), true)
	f.Fuzz(func(t *testing.T, in []byte, client bool) {
		settings := Settings{TableSize: 4096, MaxStreams: 3, Window: 65535, FrameSize: MinFrameSize, ExtendedConnect: true}
		var l List
		c := NewServer(settings, &Pool{}, &l)
		if client {
			c = NewClient(settings, &Pool{}, &l)
			c.Open().Owner = t
		}
		c.Greet(nil)
		dst := make([]byte, 0, 16384)
		for turns := 0; len(in) > 0; turns++ {
			out := make([]byte, 0, OutRoom)
			ev, n, out := c.Next(in, out, int64(turns))
			if len(out) > OutRoom {
				t.Fatalf("%d bytes written", len(out))
			}
			if ev.Kind == EventMore || ev.Kind == EventError {
				return
			}
			if n == 0 || n > len(in) {
				t.Fatalf("event %d used %d of %d bytes", ev.Kind, n, len(in))
			}
			in = in[n:]
			if c.Streams() > 3 || c.recv < 0 || c.send > MaxWindow || c.recv > connWindow {
				t.Fatalf("%d streams, windows %d and %d", c.Streams(), c.recv, c.send)
			}
			if ev.Kind == EventHeaders {
				if !client {
					ev.Stream.Owner = t
					if out, m := l.AppendRequest(dst, ev.End, true, []byte("key")); m.Fate == Good {
						checkHead(t, out)
						ev.Stream.Expect = m.Length
					} else {
						c.Release(nil, ev.Stream, ProtocolError)
					}
				} else if _, m := l.AppendResponse(dst, ev.End, Asked{}); m.Status >= 200 {
					ev.Stream.Answered = true
				}
			}
			if ev.Kind == EventData {
				c.Consumed(nil, ev.Stream, len(ev.Data))
			}
		}
	})
}

// checkHead: there are no line ends in a head but those that were written.
func checkHead(t *testing.T, head []byte) {
	if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.Count(head, []byte("\n")) != bytes.Count(head, []byte("\r\n")) ||
		bytes.Count(head, []byte("\r\n\r\n")) != 1 || bytes.IndexByte(head, 0) >= 0 {
		t.Fatalf("head %q", head)
	}
}

// TestFlowControl: content is let through as far as both windows reach, and given back when it was used.
func TestFlowControl(t *testing.T) {
	var l List
	c := NewServer(Settings{TableSize: 4096, MaxStreams: 10, Window: 1000, FrameSize: MinFrameSize}, &Pool{}, &l)
	var s *Stream
	feed := func(in []byte) (last Event, out []byte) {
		for len(in) > 0 {
			ev, n, o := c.Next(in, nil, 1)
			out = append(out, o...)
			if last = ev; ev.Kind == EventMore || ev.Kind == EventError {
				break
			}
			in = in[n:]
		}
		return last, out
	}
	feed(append([]byte(Preface), frame(FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x64")...))
	ev, _ := feed(frame(FrameHeaders, FlagEndHeaders, 1, "\x82\x86\x84\x41\x01x"))
	if s = ev.Stream; s == nil {
		t.Fatal("no stream")
	}
	s.Owner = t
	if c.Window(s) != 100 {
		t.Errorf("%d may be sent, want 100", c.Window(s))
	}
	c.AppendData(nil, s, make([]byte, 100), false)
	if c.Window(s) != 0 || !s.Starved() {
		t.Errorf("%d may be sent, want 0", c.Window(s))
	}
	feed(frame(FrameSettings, 0, 0, "\x00\x04\x00\x00\x00\x0a")) // 90 less than nothing
	feed(frame(FrameWindowUpdate, 0, 1, "\x00\x00\x00\x64"))
	if c.Window(s) != 10 {
		t.Errorf("%d may be sent, want 10", c.Window(s))
	}
	feed(frame(FrameData, 0, 1, string(make([]byte, 600))))
	if out := c.Consumed(nil, s, 600); !bytes.Equal(out, appendWindowUpdate(nil, 1, 600)) {
		t.Errorf("after 600 bytes were used: % x", out)
	}
	if ev, out := feed(frame(FrameData, 0, 1, string(make([]byte, 1001)))); ev.Kind == EventError || !bytes.Contains(out, appendReset(nil, 1, FlowControlError)) {
		t.Errorf("1001 bytes into a window of 1000: %+v, % x", ev, out)
	}
}

// TestConnectionWindow: what one stream's owner does not take costs the others nothing, unless memory is short.
func TestConnectionWindow(t *testing.T) {
	for _, frugal := range []bool{false, true} {
		var l List
		c := NewServer(Settings{TableSize: 4096, MaxStreams: 100, Window: 65535, FrameSize: MinFrameSize}, &Pool{}, &l)
		c.Greet(nil)
		c.Frugal = frugal
		var held []*Stream
		given := int64(0) // back, on the connection
		feed := func(in []byte) {
			for len(in) > 0 {
				ev, n, out := c.Next(in, nil, 1)
				if ev.Kind == EventError {
					t.Fatalf("frugal %v: error %d", frugal, ev.Code)
				}
				if ev.Kind == EventHeaders {
					ev.Stream.Owner = t
					held = append(held, ev.Stream)
				}
				for ; len(out) >= FrameHeaderLen; out = out[FrameHeaderLen+ParseFrameHeader(out).Length:] {
					if h := ParseFrameHeader(out); h.Type == FrameWindowUpdate && h.Stream == 0 {
						given += int64(be32(out[FrameHeaderLen:]))
					}
				}
				in = in[n:]
			}
		}
		feed(append([]byte(Preface), frame(FrameSettings, 0, 0, "")...))
		sent := int64(0)
		for id := uint32(1); sent < 3*connWindow/4; id += 2 {
			feed(frame(FrameHeaders, FlagEndHeaders, id, "\x82\x86\x84\x41\x01x"))
			for range 3 {
				feed(frame(FrameData, 0, id, string(make([]byte, MinFrameSize))))
				sent += MinFrameSize
			}
		}
		if !frugal && sent-given >= connWindow/4 || frugal && given != 0 {
			t.Errorf("frugal %v: of %d bytes that nobody took %d may be sent again", frugal, sent, given)
		}
		if !frugal {
			continue
		}
		back := int64(0)
		for _, s := range held {
			for out := c.Consumed(nil, s, 3*MinFrameSize); len(out) >= FrameHeaderLen; out = out[FrameHeaderLen+ParseFrameHeader(out).Length:] {
				if ParseFrameHeader(out).Stream == 0 {
					back += int64(be32(out[FrameHeaderLen:]))
				}
			}
		}
		if sent-back >= connWindow/4 {
			t.Errorf("of %d bytes that were taken %d may be sent again", sent, back)
		}
	}
}

// BenchmarkRequest is a request whose fields are known, as h2load sends it, and its answer's end.
func BenchmarkRequest(b *testing.B) {
	var buf bytes.Buffer
	enc := hpack.NewEncoder(&buf)
	var l List
	c := NewServer(Settings{TableSize: 4096, MaxStreams: 10, Window: 65535, FrameSize: MinFrameSize}, &Pool{}, &l)
	in := append([]byte(Preface), frame(FrameSettings, 0, 0, "")...)
	out, head := make([]byte, 0, 4096), make([]byte, 0, 4096)
	next := func() (ev Event) {
		for len(in) > 0 {
			var n int
			ev, n, _ = c.Next(in, out, 1)
			in = in[n:]
		}
		return ev
	}
	next()
	id := uint32(1)
	request := func() {
		ev := next()
		if ev.Kind != EventHeaders {
			b.Fatal(ev.Kind)
		}
		ev.Stream.Owner = b
		if _, m := l.AppendRequest(head, ev.End, true, nil); m.Fate != Good {
			b.Fatal(m.Fate)
		}
		o := c.OpenHeaders(out)
		o = c.CloseHeaders(appendStatus(o, 200), 0, ev.Stream, false)
		c.AppendData(o, ev.Stream, nil, true)
		c.Release(out, ev.Stream, InternalError)
	}
	block := func() {
		buf.Reset()
		for _, f := range [][2]string{{":path", "/"}, {":scheme", "http"}, {":authority", "127.0.0.1:8080"}, {":method", "GET"}, {"user-agent", "h2load nghttp2/1.52.0"}} {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	block()
	in = frame(FrameHeaders, FlagEndHeaders|FlagEndStream, id, buf.String())
	request()
	block()
	one := frame(FrameHeaders, FlagEndHeaders|FlagEndStream, id, buf.String())
	b.ReportAllocs()
	for b.Loop() {
		id += 2
		FrameHeader{Length: buf.Len(), Type: FrameHeaders, Flags: FlagEndHeaders | FlagEndStream, Stream: id}.put(one)
		in = one
		request()
	}
}
