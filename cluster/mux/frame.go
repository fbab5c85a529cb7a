package mux

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A frame on an RPC connection is
//
//	length (4 bytes, of what follows) | kind (1) | request number (8) | the kind's own part
//
// request: timeout in ms (4), method's length (1), method, body
// answer:  body
// failure: code's length (1), code, text's length (2), text, detail
// cancel:  nothing; the caller no longer waits
type frameKind uint8

const (
	frameRequest frameKind = iota + 1
	frameAnswer
	frameFailure
	frameCancel
)

const (
	frameHead = 4 + 1 + 8
	maxMethod = 64
	maxText   = 16 << 10
)

type frame struct {
	kind frameKind
	seq  uint64
	rest []byte
}

// readFrame reads one frame, allocating no more than what has arrived claims within MaxFrame.
func readFrame(r io.Reader) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < frameHead-4 || n > MaxFrame {
		return frame{}, fmt.Errorf("frame of %d bytes: %w", n, ErrTooLarge)
	}
	f := frame{kind: frameKind(head[4]), seq: binary.BigEndian.Uint64(head[5:])}
	f.rest = make([]byte, n-(frameHead-4))
	if _, err := io.ReadFull(r, f.rest); err != nil {
		return frame{}, err
	}
	return f, nil
}

func beginFrame(k frameKind, seq uint64, room int) []byte {
	b := make([]byte, frameHead, frameHead+room)
	b[4] = byte(k)
	binary.BigEndian.PutUint64(b[5:], seq)
	return b
}

// endFrame writes the length; it fails for a frame that the other side would refuse.
func endFrame(b []byte) ([]byte, error) {
	if len(b)-4 > MaxFrame {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(b)-4, ErrTooLarge)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

func requestFrame(seq uint64, timeout time.Duration, method string, body []byte) ([]byte, error) {
	if len(method) == 0 || len(method) > maxMethod {
		return nil, fmt.Errorf("method %q: %w", method, ErrNoMethod)
	}
	b := beginFrame(frameRequest, seq, 5+len(method)+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(min(max(timeout.Milliseconds(), 1), 1<<31)))
	b = append(b, byte(len(method)))
	b = append(b, method...)
	return endFrame(append(b, body...))
}

func parseRequest(p []byte) (timeout time.Duration, method string, body []byte, err error) {
	if len(p) < 5 || len(p) < 5+int(p[4]) || int(p[4]) > maxMethod {
		return 0, "", nil, fmt.Errorf("request: %w", io.ErrUnexpectedEOF)
	}
	n := 5 + int(p[4])
	return time.Duration(binary.BigEndian.Uint32(p)) * time.Millisecond, string(p[5:n]), p[n:], nil
}

func answerFrame(seq uint64, body []byte) ([]byte, error) {
	return endFrame(append(beginFrame(frameAnswer, seq, len(body)), body...))
}

func failureFrame(seq uint64, code, text string, detail []byte) ([]byte, error) {
	code, text = code[:min(len(code), maxMethod)], text[:min(len(text), maxText)]
	b := beginFrame(frameFailure, seq, 3+len(code)+len(text)+len(detail))
	b = append(b, byte(len(code)))
	b = append(b, code...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	b = append(b, text...)
	return endFrame(append(b, detail...))
}

func parseFailure(p []byte) (code, text string, detail []byte, err error) {
	short := fmt.Errorf("failure: %w", io.ErrUnexpectedEOF)
	if len(p) < 1 || len(p) < 1+int(p[0])+2 {
		return "", "", nil, short
	}
	n := 1 + int(p[0])
	code = string(p[1:n])
	t := int(binary.BigEndian.Uint16(p[n:]))
	n += 2
	if len(p) < n+t {
		return "", "", nil, short
	}
	return code, string(p[n : n+t]), p[n+t:], nil
}
