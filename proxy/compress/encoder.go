package compress

import (
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// window is how far back brotli and zstd look, in bits: a quarter of a MiB, of which an encoder keeps a few copies.
const window = 18

// Cost is more than the memory that any encoder takes, in bytes.
const Cost = 4 << 20

// keptOut is how much room for its output an encoder keeps from one answer to the next.
const keptOut = 128 << 10

// writer is what the libraries' encoders have in common.
type writer interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Encoder compresses one answer at a time. What it has made is gathered in Out. It is not safe for concurrent use.
type Encoder struct {
	Out    []byte // of which the first Lead bytes are the caller's
	w      writer
	coding Coding
	level  int
	lead   int
}

// sink is the Encoder as its library sees it.
type sink Encoder

func (s *sink) Write(p []byte) (int, error) {
	s.Out = append(s.Out, p...)
	return len(p), nil
}

func newEncoder(c Coding, level int) *Encoder {
	e := &Encoder{coding: c, level: level}
	var err error
	switch c {
	case Gzip:
		e.w, err = gzip.NewWriterLevel((*sink)(e), level)
	case Deflate:
		e.w, err = zlib.NewWriterLevel((*sink)(e), level)
	case RawDeflate:
		e.w, err = flate.NewWriter((*sink)(e), level)
	case Brotli:
		// Beyond level 5 the tables take up to 40 MiB, as zstd's do beyond its default.
		e.w = brotli.NewWriterOptions((*sink)(e), brotli.WriterOptions{Quality: min(level, 5), LGWin: window})
	case Zstd:
		speed := zstd.SpeedFastest
		if level > 2 {
			speed = zstd.SpeedDefault
		}
		e.w, err = zstd.NewWriter((*sink)(e), zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), // works on the caller's goroutine
			zstd.WithWindowSize(1<<window), zstd.WithLowerEncoderMem(true))
	default:
		return nil
	}
	if err != nil {
		return nil // a level that the library has not: Pool asks for none
	}
	return e
}

// Write compresses p. What comes out of it may stay inside until Flush or Close.
func (e *Encoder) Write(p []byte) { e.w.Write(p) } // to memory: it can't fail

// Flush brings out all that was written so far, so that the client can have it.
func (e *Encoder) Flush() { e.w.Flush() }

// Close ends the content.
func (e *Encoder) Close() { e.w.Close() }

// Coding is what the encoder makes.
func (e *Encoder) Coding() Coding { return e.coding }

// Clear forgets the output, which has been taken.
func (e *Encoder) Clear() { e.Out = e.Out[:e.lead] }

// Empty reports whether there is no output.
func (e *Encoder) Empty() bool { return len(e.Out) == e.lead }

// Pool lends encoders to the answers of one event loop. It is not safe for concurrent use.
type Pool struct {
	free [codings][]*Encoder
	used int
}

// maxFree is how many encoders of a coding wait for the next answer.
const maxFree = 16

// Take lends an encoder whose output begins with lead bytes for the caller. Levels are those of zlib, 1 to 9.
func (p *Pool) Take(c Coding, level, lead int) *Encoder {
	level = min(max(level, 1), 9)
	var e *Encoder
	for n := len(p.free[c]); n > 0 && e == nil; n-- {
		e = p.free[c][n-1]
		p.free[c][n-1] = nil
		if p.free[c] = p.free[c][:n-1]; e.level != level {
			e = nil // the configuration has changed since
		}
	}
	if e == nil {
		if e = newEncoder(c, level); e == nil {
			return nil
		}
	} else {
		e.w.Reset((*sink)(e))
	}
	if cap(e.Out) < lead {
		e.Out = make([]byte, lead, 4096)
	}
	e.Out, e.lead = e.Out[:lead], lead
	p.used++
	return e
}

// Give takes an encoder back, whatever became of its answer.
func (p *Pool) Give(e *Encoder) {
	p.used--
	if cap(e.Out) > keptOut {
		e.Out = nil
	}
	e.Out = e.Out[:0]
	if len(p.free[e.coding]) < maxFree {
		p.free[e.coding] = append(p.free[e.coding], e)
	}
}

// Used is how many encoders are lent.
func (p *Pool) Used() int { return p.used }
