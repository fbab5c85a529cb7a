package lease

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

const (
	protocolVersion = 1
	// maxCandidacies bounds what one node stands for, maxMembers the nodes a leader talks to.
	maxCandidacies = 1024
	maxMembers     = 128
)

// hello is the first frame of a node's stream.
type hello struct {
	peer    Peer
	address netip.Addr
	life    uint64
}

func appendHello(b []byte, h hello) []byte {
	start := len(b)
	b = append(beginFrame(b, frameHello), protocolVersion)
	b = appendString(b, h.peer.ID)
	b = appendString(b, h.peer.Name)
	b = appendString(b, string(h.address.AsSlice()))
	b = binary.BigEndian.AppendUint64(b, h.life)
	return endFrame(b, start)
}

func decodeHello(body []byte) (hello, error) {
	d := decoder{b: body}
	if v := d.byte(); v != protocolVersion {
		return hello{}, fmt.Errorf("hello of version %d, known is %d: %w", v, protocolVersion, ErrProtocol)
	}
	h := hello{peer: Peer{ID: d.string(), Name: d.string()}}
	if raw := d.bytes(); len(raw) > 0 {
		var ok bool
		if h.address, ok = netip.AddrFromSlice(raw); !ok {
			d.fail()
		}
	}
	h.life = d.uint64()
	if h.peer.ID == "" || h.peer.Name == "" || h.life == 0 {
		d.fail()
	}
	if err := d.end(); err != nil {
		return hello{}, fmt.Errorf("hello: %w", err)
	}
	return h, nil
}

// standing is one candidacy as a full frame carries it.
type standing struct {
	instance string
	Candidacy
	held     uint64 // the epoch the node believes it holds
	lost     uint64 // the newest epoch that ran out here
	released uint64 // the newest epoch whose addresses are off
}

// dead is the newest epoch that this node will never hold again.
func (s *standing) dead() uint64 { return max(s.lost, s.released) }

const (
	flagNoPreempt byte = 1 << iota
	flagReady
	flagHolding
)

func appendCandidacy(b []byte, c Candidacy) []byte {
	b = append(b, byte(min(max(c.Priority, 0), 255)))
	b = append(b, flag(c.NoPreempt, flagNoPreempt)|flag(c.Ready, flagReady)|flag(c.Holding, flagHolding))
	return binary.AppendUvarint(b, uint64(min(max(c.PreemptDelay/time.Millisecond, 0), maxMillis)))
}

func (d *decoder) candidacy() Candidacy {
	c := Candidacy{Priority: int(d.byte())}
	f := d.byte()
	c.NoPreempt, c.Ready, c.Holding = f&flagNoPreempt != 0, f&flagReady != 0, f&flagHolding != 0
	c.PreemptDelay = d.millis()
	return c
}

func appendFull(b []byte, seq, gen, term uint64, all []*own) []byte {
	start := len(b)
	b = beginFrame(b, frameFull)
	b = binary.AppendUvarint(b, seq)
	b = binary.AppendUvarint(b, gen)
	b = binary.AppendUvarint(b, term)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, o := range all {
		b = appendString(b, o.instance)
		b = appendCandidacy(b, o.Candidacy)
		b = binary.AppendUvarint(b, o.held)
		b = binary.AppendUvarint(b, o.lost)
		b = binary.AppendUvarint(b, o.released)
	}
	return endFrame(b, start)
}

func decodeFull(body []byte) (seq, gen, term uint64, all []standing, err error) {
	d := decoder{b: body}
	seq, gen, term = d.uvarint(), d.uvarint(), d.uvarint()
	n := d.count(maxCandidacies, 7)
	all = make([]standing, 0, n)
	for range n {
		s := standing{instance: d.string(), Candidacy: d.candidacy()}
		s.held, s.lost, s.released = d.uvarint(), d.uvarint(), d.uvarint()
		if s.instance == "" {
			d.fail()
		}
		all = append(all, s)
	}
	if err := d.end(); err != nil {
		return 0, 0, 0, nil, fmt.Errorf("full: %w", err)
	}
	return seq, gen, term, all, nil
}

// appendRenew appends a renewal. heard is the number of the newest one that was answered on this stream, 0 if none was.
func appendRenew(b []byte, seq, gen, term, heard uint64) []byte {
	start := len(b)
	b = beginFrame(b, frameRenew)
	b = binary.AppendUvarint(b, seq)
	b = binary.AppendUvarint(b, gen)
	b = binary.AppendUvarint(b, term)
	b = binary.AppendUvarint(b, heard)
	return endFrame(b, start)
}

func decodeRenew(body []byte) (seq, gen, term, heard uint64, err error) {
	d := decoder{b: body}
	seq, gen, term, heard = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	return seq, gen, term, heard, d.end()
}

// appendAnswer appends an answer; late (keeper.late) is carried in microseconds.
func appendAnswer(b []byte, seq, gen, term uint64, late time.Duration) []byte {
	start := len(b)
	b = beginFrame(b, frameAnswer)
	b = binary.AppendUvarint(b, seq)
	b = binary.AppendUvarint(b, gen)
	b = binary.AppendUvarint(b, term)
	b = binary.AppendVarint(b, late.Microseconds())
	return endFrame(b, start)
}

func decodeAnswer(body []byte) (seq, gen, term uint64, late time.Duration, err error) {
	d := decoder{b: body}
	seq, gen, term, late = d.uvarint(), d.uvarint(), d.uvarint(), d.micros()
	return seq, gen, term, late, d.end()
}

// appendPair appends a frame whose body is two numbers: ask and confirm (round, term).
func appendPair(b []byte, kind byte, x, y uint64) []byte {
	start := len(b)
	b = beginFrame(b, kind)
	b = binary.AppendUvarint(b, x)
	b = binary.AppendUvarint(b, y)
	return endFrame(b, start)
}

func decodePair(body []byte) (x, y uint64, err error) {
	d := decoder{b: body}
	x, y = d.uvarint(), d.uvarint()
	return x, y, d.end()
}

// view is what the leader tells all nodes: every lease, and who stands for it. Answers name the view they are given under.
type view struct {
	gen    uint64
	leases []viewLease
}

type viewLease struct {
	Record
	stopped    bool // not extended any more
	yield      bool // the holder is asked to hand over
	candidates []CandidateStatus
}

func appendView(b []byte, v *view) []byte {
	start := len(b)
	b = beginFrame(b, frameView)
	b = binary.AppendUvarint(b, v.gen)
	b = binary.AppendUvarint(b, uint64(len(v.leases)))
	for i := range v.leases {
		l := &v.leases[i]
		b = appendRecord(b, l.Record)
		b = append(b, flag(l.stopped, 1)|flag(l.yield, 2))
		b = binary.AppendUvarint(b, uint64(len(l.candidates)))
		for _, c := range l.candidates {
			b = appendString(b, c.Node)
			b = appendCandidacy(b, c.Candidacy)
		}
	}
	return endFrame(b, start)
}

func decodeView(body []byte) (*view, error) {
	d := decoder{b: body}
	v := &view{gen: d.uvarint()}
	n := d.count(maxRecords, 14)
	v.leases = make([]viewLease, 0, n)
	for range n {
		l := viewLease{Record: d.record()}
		f := d.byte()
		l.stopped, l.yield = f&1 != 0, f&2 != 0
		m := d.count(maxMembers, 4)
		for range m {
			l.candidates = append(l.candidates, CandidateStatus{Node: d.string(), Candidacy: d.candidacy()})
		}
		if len(v.leases) > 0 && v.leases[len(v.leases)-1].Instance >= l.Instance {
			d.fail() // the reader searches by halves
		}
		v.leases = append(v.leases, l)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return v, nil
}
