package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"net"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// The handshake, with clients and with servers. crypto/tls wants to wait for its peer in the middle of it; here it waits on
// a coroutine, which belongs to the loop and runs on its thread: to hand a handshake to a goroutine and back would cost four
// changes of threads, a fifth of what a resumed one takes. Its arithmetic takes 0.1 ms or two at a time, so that a few of them
// have a turn and then everybody else. What takes longer, signing with RSA or the large curves, is done by a goroutine, as
// many at a time as there are loops. Each handshake has a deadline, the session's.

const (
	// maxHandshakes bounds how many are under way in the process, at some 20 kB each. Who comes then is closed.
	maxHandshakes = 16384
	// shakesPerTurn is how many go on before the loop looks for other events.
	shakesPerTurn = 4
	// keepShakers bounds the coroutines that a loop keeps, with stacks that have grown already.
	keepShakers = 64
)

var (
	errCanceled = errors.New("the handshake was given up")
	errTooMany  = errors.New("too many handshakes at once")
	errSilent   = errors.New("the peer was silent")
	errLeft     = errors.New("the peer left")
)

// handshake is one under way.
type handshake struct {
	by       *shaker // nil: not begun
	due      bool    // has its turn in l.due
	apart    bool    // a goroutine computes for it
	canceled bool    // nobody waits for the outcome any more
}

// shaker is a coroutine that shakes hands, one after the other. It is the loop's.
type shaker struct {
	l     *loop
	w     *secure // whose handshake it has; nil: none
	err   error   // of the last one
	ctx   context.Context
	yield func(struct{}) bool
	next  func() (struct{}, bool)
	stop  func()
}

func (l *loop) shaker() *shaker {
	if n := len(l.shakers); n > 0 {
		k := l.shakers[n-1]
		l.shakers = l.shakers[:n-1]
		return k
	}
	k := &shaker{l: l}
	k.ctx = tlsconf.WithApart(context.Background(), k.apart)
	k.next, k.stop = iter.Pull(func(yield func(struct{}) bool) {
		k.yield = yield
		for again := true; again; again = yield(struct{}{}) {
			k.err = k.w.tls.HandshakeContext(k.ctx)
			k.w = nil
		}
	})
	return k
}

// freeShaker keeps an idle coroutine for the next handshake.
func (l *loop) freeShaker(k *shaker) {
	if len(l.shakers) < keepShakers && !l.stopped {
		l.shakers = append(l.shakers, k)
		return
	}
	k.stop()
}

func (l *loop) closeShakers() {
	for _, k := range l.shakers {
		k.stop()
	}
	l.shakers = nil
}

// shake begins a handshake on a connected socket. Its session runs when it is over.
func (l *loop) shake(c *conn, peer net.Addr, role func(net.Conn, *tls.Config) *tls.Conn, config *tls.Config) {
	w := &secure{l: l, c: c, fd: c.fd, peer: peer}
	w.tls = role(w, config)
	c.tls = w
	if l.e.shaking.add() > maxHandshakes {
		l.e.shaking.sub()
		w.err = errTooMany
		return
	}
	w.hs = &handshake{}
	l.arm(c)
	w.wake()
}

// wake gives the handshake a turn: its socket may have something, or room, or what was computed for it is there.
func (w *secure) wake() {
	if hs := w.hs; hs != nil && !hs.due {
		hs.due = true
		w.l.due = append(w.l.due, w)
	}
}

// runShakes takes the next handshakes a step further each.
func (l *loop) runShakes() {
	n := min(len(l.due), shakesPerTurn)
	for _, w := range l.due[:n] {
		if w.hs != nil {
			w.hs.due = false
			l.shakeOn(w)
		}
	}
	left := copy(l.due, l.due[n:])
	clear(l.due[left:])
	l.due = l.due[:left]
}

// shakeOn runs the handshake until it waits or is over.
func (l *loop) shakeOn(w *secure) {
	hs := w.hs
	if hs.by == nil {
		hs.by = l.shaker()
		hs.by.w = w
	}
	k := hs.by
	if k.next(); k.w != nil {
		return
	}
	w.shaken(k.err)
	l.freeShaker(k)
	if c := w.c; c.s != nil {
		c.s.run()
	} else {
		c.mux.touch()
	}
}

// shaken ends the handshake.
func (w *secure) shaken(err error) {
	w.hs, w.err = nil, err
	w.l.e.shaking.sub()
	if err != nil {
		return
	}
	state := w.tls.ConnectionState()
	w.alpn, w.sni, w.resumed = state.NegotiatedProtocol, state.ServerName, state.DidResume
	w.forget()
}

// cancel gives the handshake up. Its coroutine comes to its end at once, reading and writing nothing any more.
func (w *secure) cancel() {
	hs := w.hs
	hs.canceled = true
	if k := hs.by; k != nil {
		k.next()
		w.l.freeShaker(k)
	}
	w.shaken(errCanceled)
}

// pause lets the loop go on, until the handshake is woken. It is for the coroutine.
func (hs *handshake) pause() error {
	if hs.canceled || !hs.by.yield(struct{}{}) || hs.canceled {
		return errCanceled
	}
	return nil
}

// apart runs what takes long on a goroutine, as many at a time as there are loops. It is for the coroutine, which waits.
func (k *shaker) apart(compute func()) error {
	w, l := k.w, k.l
	hs := w.hs
	hs.apart = true
	l.e.shakes.Go(func() {
		l.e.slots <- struct{}{}
		compute()
		<-l.e.slots
		l.post(func() {
			hs.apart = false
			w.wake()
		})
	})
	for hs.apart {
		if err := hs.pause(); err != nil {
			return err
		}
	}
	return nil
}

func (hs *handshake) read(w *secure, p []byte) (int, error) {
	for !hs.canceled {
		n, err := w.read(p)
		if err != errWouldBlock {
			return n, err
		}
		if err := hs.pause(); err != nil {
			return 0, err
		}
	}
	return 0, errCanceled
}

// write waits for room: a chain of certificates may be longer than what is kept for a socket that takes nothing.
func (hs *handshake) write(w *secure, p []byte) (int, error) {
	for done := 0; !hs.canceled; {
		if w.c.writable {
			n, e := sysSend(w.fd, p[done:], 0)
			if e != 0 && e != unix.EAGAIN {
				return done, errBroken
			}
			if e == 0 {
				if done += n; done == len(p) {
					return done, nil
				}
			}
			w.c.writable = false
		}
		if err := hs.pause(); err != nil {
			return done, err
		}
	}
	return 0, errCanceled
}
