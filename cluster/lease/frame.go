package lease

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A frame is its length (3 bytes, of what follows), its kind and the kind's own part.
//
//	hello    node -> leader   version, who, which life; the first on a stream
//	full     node -> leader   a renewal, the node's Raft term, the whole of its candidacies
//	renew    node -> leader   a renewal and the term; the candidacies are those of the last full
//	confirm  node -> leader   the round asked for, and the node's Raft term
//	words    node, guard      what guards said; a guard's stream begins with it, and gets heard back
//	ask      leader -> node   a round: tell your term
//	view     leader -> node   all leases and candidates; valid for the answers that follow
//	answer   leader -> node   the renewal of that number is answered
//	resend   leader -> node   send a full
//	heard    node -> guard
const (
	frameHello byte = iota + 1
	frameFull
	frameRenew
	frameConfirm
	frameWords
	frameAsk
	frameView
	frameAnswer
	frameResend
	frameHeard
)

const (
	frameHead = 4
	// maxFrame bounds a frame: a view of 4096 leases with long names stays below.
	maxFrame = 1<<22 - 1
	// firstBuffer is what a stream's reader begins with: renewals and answers fit.
	firstBuffer = 256
	// maxFirst bounds the first frame of a stream, from a peer that has not said who it is.
	maxFirst = 1 << 16
)

// beginFrame appends a frame's head to b; endFrame, given the length of b before, writes the length.
func beginFrame(b []byte, kind byte) []byte { return append(b, 0, 0, 0, kind) }

func endFrame(b []byte, start int) []byte {
	n := len(b) - start - frameHead + 1
	b[start], b[start+1], b[start+2] = byte(n>>16), byte(n>>8), byte(n)
	return b
}

// frameReader reads frames from a stream. What it returns is valid until the next call.
type frameReader struct {
	buf        []byte
	begin, end int
	limit      int // bytes of a frame; 0: maxFirst
}

// next returns the next frame's kind and body.
func (r *frameReader) next(from io.Reader) (kind byte, body []byte, err error) {
	if r.buf == nil {
		r.buf = make([]byte, firstBuffer)
	}
	limit := r.limit
	if limit == 0 {
		limit = maxFirst
	}
	for {
		if have := r.end - r.begin; have >= frameHead {
			h := r.buf[r.begin:]
			n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
			if n < 1 || n > limit {
				return 0, nil, fmt.Errorf("frame of %d bytes: %w", n, ErrProtocol)
			}
			if have >= n+frameHead-1 {
				r.begin += n + frameHead - 1
				return h[3], h[frameHead : n+frameHead-1], nil
			}
			r.room(n + frameHead - 1)
		} else {
			r.room(frameHead)
		}
		n, err := from.Read(r.buf[r.end:])
		r.end += n
		if n == 0 && err != nil {
			if err == io.EOF && r.end > r.begin {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
	}
}

// room makes place for a frame of n bytes, growing with what really arrives, not with what a length claims.
func (r *frameReader) room(n int) {
	if r.begin > 0 {
		copy(r.buf, r.buf[r.begin:r.end])
		r.begin, r.end = 0, r.end-r.begin
	}
	if r.end == len(r.buf) && len(r.buf) < n {
		grown := make([]byte, min(2*len(r.buf), max(n, firstBuffer)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
}

func appendWords(b []byte, words []Word) []byte {
	start := len(b)
	b = beginFrame(b, frameWords)
	b = binary.AppendUvarint(b, uint64(len(words)))
	for _, w := range words {
		b = appendString(b, w.Node)
		b = appendString(b, w.Instance)
		b = binary.AppendUvarint(b, w.Epoch)
		b = append(b, flag(w.AgentDied, 1))
	}
	return endFrame(b, start)
}

func decodeWords(body []byte) ([]Word, error) {
	d := decoder{b: body}
	n := d.count(maxRecords, 4)
	words := make([]Word, 0, n)
	for range n {
		w := Word{Node: d.string(), Instance: d.string(), Epoch: d.uvarint()}
		w.AgentDied = d.byte() != 0
		words = append(words, w)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("words: %w", err)
	}
	return words, nil
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}
