// Package http2 is HTTP/2 without its sockets (RFC 9113, RFC 7541, RFC 8441): frames, header compression, the state of a
// connection and its streams with flow control on both levels, and messages as HTTP/1 text and back. It is a pure core:
// bytes come in, bytes and events go out, time is an argument, and nothing is allocated for a frame.
//
// It is as strict as http1: whatever could mean one thing here and another behind us is a malformed message.
package http2

// Preface is what a client's connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// HasPreface reports whether b begins with the preface, or may do so when more of it has come.
func HasPreface(b []byte) (yes, maybe bool) {
	n := min(len(b), len(Preface))
	same := string(b[:n]) == Preface[:n]
	return same && n == len(Preface), same && n < len(Preface)
}

// ErrCode is why a stream or a connection ended (RFC 9113 section 7).
type ErrCode uint32

// The codes of RFC 9113 section 7.
const (
	NoError ErrCode = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

// FrameType is a frame's kind (RFC 9113 section 6).
type FrameType uint8

// The frame types of RFC 9113 section 6.
const (
	FrameData FrameType = iota
	FrameHeaders
	FramePriority
	FrameRSTStream
	FrameSettings
	FramePushPromise
	FramePing
	FrameGoAway
	FrameWindowUpdate
	FrameContinuation
)

// Flags of frames.
const (
	FlagAck        = 0x1
	FlagEndStream  = 0x1
	FlagEndHeaders = 0x4
	FlagPadded     = 0x8
	FlagPriority   = 0x20
)

const (
	// FrameHeaderLen is what every frame begins with.
	FrameHeaderLen = 9
	// MinFrameSize is the payload every peer takes; MaxFrameSize the most that may be announced.
	MinFrameSize = 16384
	MaxFrameSize = 1<<24 - 1
	// DefaultWindow is a window's size before anybody said otherwise, MaxWindow the most it may become.
	DefaultWindow = 65535
	MaxWindow     = 1<<31 - 1
	// DefaultTableSize is the size of a dynamic table before anybody said otherwise (RFC 7541 section 4.2).
	DefaultTableSize = 4096
)

// Identifiers of settings (RFC 9113 section 6.5.2, RFC 8441 section 3).
const (
	settingTableSize       = 1
	settingEnablePush      = 2
	settingMaxStreams      = 3
	settingWindow          = 4
	settingFrameSize       = 5
	settingHeaderListSize  = 6
	settingExtendedConnect = 8
)

// Settings are what one side announces.
type Settings struct {
	TableSize       uint32 // of the other's header compression
	MaxStreams      uint32 // that the other may have open
	Window          uint32 // of a new stream
	FrameSize       uint32 // largest payload
	HeaderListSize  uint32 // 0: not announced
	ExtendedConnect bool   // RFC 8441
}

// defaults are what counts before the first SETTINGS frame.
var defaults = Settings{TableSize: DefaultTableSize, MaxStreams: 1<<32 - 1, Window: DefaultWindow, FrameSize: MinFrameSize}

// FrameHeader is the first nine bytes of a frame.
type FrameHeader struct {
	Length int
	Type   FrameType
	Flags  uint8
	Stream uint32
}

// ParseFrameHeader reads b[:FrameHeaderLen]; the reserved bit is ignored.
func ParseFrameHeader(b []byte) FrameHeader {
	_ = b[8]
	return FrameHeader{Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), Type: FrameType(b[3]), Flags: b[4], Stream: be32(b[5:]) & (1<<31 - 1)}
}

// Append writes the header.
func (h FrameHeader) Append(dst []byte) []byte {
	return append(dst, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), h.Flags,
		byte(h.Stream>>24), byte(h.Stream>>16), byte(h.Stream>>8), byte(h.Stream))
}

// put writes the header over b[:FrameHeaderLen], for frames whose length is known when they are written.
func (h FrameHeader) put(b []byte) { h.Append(b[:0]) }

func be32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func append32(dst []byte, v uint32) []byte {
	return append(dst, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func appendReset(dst []byte, id uint32, code ErrCode) []byte {
	return append32(FrameHeader{Length: 4, Type: FrameRSTStream, Stream: id}.Append(dst), uint32(code))
}

func appendWindowUpdate(dst []byte, id, n uint32) []byte {
	return append32(FrameHeader{Length: 4, Type: FrameWindowUpdate, Stream: id}.Append(dst), n)
}

func appendGoAway(dst []byte, last uint32, code ErrCode) []byte {
	dst = FrameHeader{Length: 8, Type: FrameGoAway}.Append(dst)
	return append32(append32(dst, last), uint32(code))
}

func appendPing(dst []byte, flags uint8, data []byte) []byte {
	return append(FrameHeader{Length: 8, Type: FramePing, Flags: flags}.Append(dst), data...)
}

// append writes a SETTINGS frame of what differs from the defaults. A server does not speak of pushing, a client forbids
// it.
func (s *Settings) append(dst []byte, client bool) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, FrameHeaderLen)...)
	set := func(id uint16, v uint32) { dst = append32(append(dst, byte(id>>8), byte(id)), v) }
	if s.TableSize != defaults.TableSize {
		set(settingTableSize, s.TableSize)
	}
	if client {
		set(settingEnablePush, 0)
	} else {
		set(settingMaxStreams, s.MaxStreams)
	}
	if s.Window != defaults.Window {
		set(settingWindow, s.Window)
	}
	if s.FrameSize != defaults.FrameSize {
		set(settingFrameSize, s.FrameSize)
	}
	if s.HeaderListSize != 0 {
		set(settingHeaderListSize, s.HeaderListSize)
	}
	if s.ExtendedConnect {
		set(settingExtendedConnect, 1)
	}
	FrameHeader{Length: len(dst) - at - FrameHeaderLen, Type: FrameSettings}.put(dst[at:])
	return dst
}

// apply takes a SETTINGS payload into s, the other side's.
func (s *Settings) apply(p []byte) ErrCode {
	for ; len(p) >= 6; p = p[6:] {
		v := be32(p[2:])
		switch uint16(p[0])<<8 | uint16(p[1]) {
		case settingTableSize:
			s.TableSize = v
		case settingEnablePush:
			if v > 1 {
				return ProtocolError
			}
		case settingMaxStreams:
			s.MaxStreams = v
		case settingWindow:
			if v > MaxWindow {
				return FlowControlError
			}
			s.Window = v
		case settingFrameSize:
			if v < MinFrameSize || v > MaxFrameSize {
				return ProtocolError
			}
			s.FrameSize = v
		case settingHeaderListSize:
			s.HeaderListSize = v
		case settingExtendedConnect:
			if v > 1 || s.ExtendedConnect && v == 0 {
				return ProtocolError
			}
			s.ExtendedConnect = v == 1
		}
	}
	return NoError
}

// lower appends a header name in its form on the wire.
func lower(dst, name []byte) []byte {
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
