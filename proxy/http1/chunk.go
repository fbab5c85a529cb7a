package http1

// Piece is what the bytes are that Chunks.Next passed over.
type Piece uint8

const (
	// Framing: sizes, extensions, line ends, trailers.
	Framing Piece = iota
	// Data: the content.
	Data
	// End: framing too, and the message ends with it.
	End
)

// maxLine bounds a chunk's size line with its extensions, maxTrailer all trailers together.
const (
	maxLine    = 4096
	maxDigits  = 16 // of a size; more of them, though zeros, another reader may cut off
	maxTrailer = MaxHead
)

type chunkState uint8

const (
	sizeStart chunkState = iota
	size
	blank // after the size
	extension
	sizeLF
	data
	dataCR
	dataLF
	lineStart // of a trailer or of the empty line
	trailerName
	trailerValue
	trailerLF
	endLF
	ended
)

// Chunks follows a chunked body (RFC 9112 section 7.1). The zero value stands before the first chunk.
type Chunks struct {
	left  int64
	count int // bytes of the present line, or of all trailers
	state chunkState
}

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == ended }

// InData reports whether the next byte is content.
func (c *Chunks) InData() bool { return c.state == data }

// Trailing reports whether the last chunk is over: what follows are trailers and the empty line.
func (c *Chunks) Trailing() bool { return c.state >= lineStart }

// Left is how many bytes of the present chunk's data are still to come.
func (c *Chunks) Left() int64 { return c.left }

// Next says what the first n bytes of b are. n is 0 only when b is empty or the body has ended. With a Fault nothing of
// b is to be believed.
func (c *Chunks) Next(b []byte) (n int, p Piece, f Fault) {
	if c.state == data {
		n = int(min(c.left, int64(len(b))))
		if c.left -= int64(n); c.left == 0 {
			c.state = dataCR
		}
		return n, Data, None
	}
	for n < len(b) {
		if f := c.step(b[n]); f != None {
			return n, Framing, f
		}
		n++
		switch c.state {
		case ended:
			return n, End, None
		case data:
			return n, Framing, None
		}
	}
	return n, Framing, None
}

func (c *Chunks) step(ch byte) Fault {
	switch c.state {
	case lineStart, trailerName, trailerValue, trailerLF, endLF:
		return c.trailer(ch)
	case dataCR:
		return c.want(ch, '\r', dataLF)
	case dataLF:
		return c.want(ch, '\n', sizeStart)
	case sizeLF:
		return c.lineEnd(ch)
	case ended:
		return None
	}
	if c.count++; c.count > maxLine {
		return BadChunk
	}
	switch c.state {
	case sizeStart, size:
		if d := hex(ch); d >= 0 {
			if c.left > 1<<55 || c.count > maxDigits {
				return BadChunk
			}
			c.left = c.left<<4 | int64(d)
			c.state = size
			return None
		}
		if c.state == sizeStart {
			return BadChunk
		}
	}
	return c.afterSize(ch)
}

func (c *Chunks) afterSize(ch byte) Fault {
	switch {
	case ch == '\r':
		c.state = sizeLF
	case c.state == extension:
		if class[ch]&isValue == 0 {
			return BadChunk
		}
	case ch == ';':
		c.state = extension
	case ch == ' ' || ch == '\t':
		c.state = blank
	default:
		return BadChunk
	}
	return None
}

func (c *Chunks) want(ch, wanted byte, then chunkState) Fault {
	if ch != wanted {
		return BadChunk
	}
	c.state, c.count = then, 0
	return None
}

func (c *Chunks) lineEnd(ch byte) Fault {
	then := data
	if c.left == 0 {
		then = lineStart
	}
	return c.want(ch, '\n', then)
}

func (c *Chunks) trailer(ch byte) Fault {
	if c.count++; c.count > maxTrailer {
		return BadTrailer
	}
	switch c.state {
	case lineStart:
		if ch == '\r' {
			c.state = endLF
			return None
		}
		if class[ch]&isToken == 0 {
			return BadTrailer
		}
		c.state = trailerName
	case trailerName:
		if ch == ':' {
			c.state = trailerValue
		} else if class[ch]&isToken == 0 {
			return BadTrailer
		}
	case trailerValue:
		if ch == '\r' {
			c.state = trailerLF
		} else if class[ch]&isValue == 0 {
			return BadTrailer
		}
	case trailerLF, endLF:
		if ch != '\n' {
			return BadTrailer
		}
		if c.state == endLF {
			c.state = ended
		} else {
			c.state = lineStart
		}
	}
	return None
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
