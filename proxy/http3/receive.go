package http3

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/http2"
)

// What comes over a link.

// read is the goroutine that receives, until the link ends.
func (l *link) read() {
	defer l.close()
	for {
		f, err := l.in.ReadFrame()
		var broken http2.StreamError
		if errors.As(err, &broken) { // a head that is too long for anybody, or malformed
			l.mu.Lock()
			if x := l.open[broken.StreamID]; x != nil {
				x.reset(broken.Code, fmt.Errorf("%w: %w", errBroken, broken))
			}
			l.mu.Unlock()
			continue
		}
		if err != nil {
			return
		}
		l.mu.Lock()
		l.take(f)
		flood := l.flood
		l.mu.Unlock()
		if flood {
			return
		}
		if _, away := f.(*http2.GoAwayFrame); away {
			l.onAway()
		}
	}
}

// take acts on a frame; mu is held.
func (l *link) take(f http2.Frame) {
	x := l.open[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			l.settings(f)
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			l.pong(f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			l.window += int64(f.Increment)
		} else if x != nil {
			x.window += int64(f.Increment)
		}
		l.changed.Broadcast()
	case *http2.GoAwayFrame:
		l.away, l.flood = true, l.flood || f.ErrCode == http2.ErrCodeEnhanceYourCalm
	case *http2.RSTStreamFrame:
		if x != nil {
			x.wasReset(f.ErrCode)
		}
	case *http2.MetaHeadersFrame:
		if x != nil {
			l.answered(x, f)
		}
	case *http2.DataFrame:
		l.data(x, f)
	}
}

// answered is a header block of an answer. Heads are not held back by any window, so that a client that takes none is given up.
func (l *link) answered(x *exchange, f *http2.MetaHeadersFrame) {
	if len(x.heads) == maxHeads {
		x.reset(http2.ErrCodeCancel, errCanceled)
		return
	}
	x.heads = append(x.heads, newHead(f))
	x.over(f.StreamEnded())
}

func (l *link) settings(f *http2.SettingsFrame) {
	f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			for _, x := range l.open {
				x.window += int64(s.Val) - l.initial
			}
			l.initial = int64(s.Val)
		case http2.SettingMaxFrameSize:
			l.frameSize = int(s.Val)
		}
		return nil
	})
	l.frame.WriteSettingsAck()
	l.changed.Broadcast()
}

// pong answers a PING; the one that follows a farewell a little later, as the loop takes no request after it.
func (l *link) pong(data [8]byte) {
	answer := func() {
		l.frame.WritePing(true, data)
		l.changed.Broadcast()
	}
	if !l.away {
		answer()
		return
	}
	time.AfterFunc(pongAfter, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		answer()
	})
}

// data is a piece of an answer. What nobody wants any more is given back at once.
func (l *link) data(x *exchange, f *http2.DataFrame) {
	if x == nil {
		l.credit(nil, len(f.Data()))
		return
	}
	x.content = append(x.content, f.Data()...)
	x.over(f.StreamEnded())
}

// credit lets the loop send n bytes more, on all streams and on that of x.
func (l *link) credit(x *exchange, n int) {
	if l.taken += int64(n); l.taken > linkWindow/4 {
		l.frame.WriteWindowUpdate(0, uint32(l.taken))
		l.taken = 0
	}
	if x != nil && !x.ended && x.err == nil {
		if x.taken += n; x.taken >= answerWindow/4 {
			l.frame.WriteWindowUpdate(x.id, uint32(x.taken))
			x.taken = 0
		}
	}
	l.changed.Broadcast()
}
