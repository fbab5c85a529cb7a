package drill

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// wire is what hosts of a segment said, by the recorder.
type wire struct {
	s *segment
	r *recorder
}

// virtual are the addresses whose ARPs are kept: 10.91.0.100 to 10.91.0.119 and fd91::100 to fd91::119.
func virtual() []netip.Addr {
	var out []netip.Addr
	for i := range 20 {
		out = append(out, netip.AddrFrom4([4]byte{10, 91, 0, byte(100 + i)}), netip.MustParseAddr(fmt.Sprintf("fd91::%d", 100+i)))
	}
	return out
}

// all lists the frames after since that match, by time.
func (w *wire) all(since time.Time, match func(frame) bool) []frame {
	var out []frame
	for _, f := range w.r.all() {
		if f.at.After(since) && (match == nil || match(f)) {
			out = append(out, f)
		}
	}
	return out
}

// await waits until n frames after since match, and gives the nth.
func (w *wire) await(since time.Time, what string, n int, match func(frame) bool) frame {
	w.s.t.Helper()
	f, err := w.r.await(w.s.ctx, n, since, match)
	if err != nil {
		w.s.t.Fatalf("%s: %v", what, err)
	}
	return f
}

func (w *wire) String() string {
	n := names{hw: map[[6]byte]string{}, ip: map[netip.Addr]string{}}
	for name := range w.s.hosts {
		n.ip[address(name)] = name
	}
	var out strings.Builder
	for _, f := range w.r.all() {
		out.WriteString(f.at.Format("05.000 ") + f.host + ": " + f.line(n) + "\n")
	}
	return out.String()
}

func isAdvert(f frame) bool { return f.kind == kindAdvert || f.kind == kindZero }

// by matches adverts of a host.
func by(host string) func(frame) bool {
	return func(f frame) bool { return isAdvert(f) && f.host == host }
}

// at matches adverts of a host with this priority.
func at(host string, priority int) func(frame) bool {
	return func(f frame) bool { return isAdvert(f) && f.host == host && int(f.priority) == priority }
}

// garp matches gratuitous ARPs of a host for the address.
func garp(host string) func(frame) bool {
	return func(f frame) bool {
		return f.host == host && (f.kind == kindRequest || f.kind == kindReply) && f.sender == vipAddr && f.target == vipAddr
	}
}

// first waits for the first advert of a host after since.
func (w *wire) first(host string, since time.Time) frame {
	w.s.t.Helper()
	return w.await(since, "advert of "+host, 1, by(host))
}

// last is the latest advert of a host before a moment.
func (w *wire) last(host string, before time.Time) frame {
	w.s.t.Helper()
	all := w.all(time.Time{}, func(f frame) bool { return isAdvert(f) && f.host == host && f.at.Before(before) })
	if len(all) == 0 {
		w.s.t.Fatalf("no advert of %s before %s", host, before.Format("05.000"))
	}
	return all[len(all)-1]
}
