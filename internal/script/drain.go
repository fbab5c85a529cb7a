package script

import (
	"os"
	"time"
)

const (
	freeFlow  = 1 << 20                // bytes that are read as fast as they come
	trickle   = 5 * time.Millisecond   // then a pause after each read: a script that floods waits, nobody else
	afterlife = 100 * time.Millisecond // how long what is in the pipe may take to read once the script is gone
)

// drain empties a script's output and keeps the end of it.
type drain struct {
	r       *os.File
	ring    []byte
	total   int64
	gone    chan struct{} // the script has ended
	drained chan struct{}
}

// newDrain starts reading r, which it closes in stop.
func newDrain(r *os.File, keep int) *drain {
	d := &drain{r: r, ring: make([]byte, 0, min(keep, DefaultMaxOutput)), gone: make(chan struct{}), drained: make(chan struct{})}
	go d.run(keep)
	return d
}

func (d *drain) run(keep int) {
	defer close(d.drained)
	buf := make([]byte, 4<<10)
	for {
		n, err := d.r.Read(buf)
		d.keep(buf[:n], keep)
		if err != nil {
			return // end of file, or the deadline of stop
		}
		if d.total > freeFlow {
			d.pause()
		}
	}
}

func (d *drain) pause() {
	t := time.NewTimer(trickle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.gone:
	}
}

func (d *drain) keep(b []byte, keep int) {
	d.total += int64(len(b))
	if len(b) >= keep {
		d.ring = append(d.ring[:0], b[len(b)-keep:]...)
		return
	}
	if over := len(d.ring) + len(b) - keep; over > 0 {
		d.ring = d.ring[:copy(d.ring, d.ring[over:])]
	}
	d.ring = append(d.ring, b...)
}

// stop reads what the pipe still holds, not waiting for whoever else has it open, and returns the end of all output.
func (d *drain) stop() (tail []byte, truncated bool) {
	close(d.gone)
	_ = d.r.SetReadDeadline(time.Now().Add(afterlife))
	<-d.drained
	d.r.Close()
	return d.ring, d.total > int64(len(d.ring))
}
