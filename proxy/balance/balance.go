// Package balance picks a server of a backend. It is a pure core: no clock, no lock, no allocation after New but where a
// server's weight grows, and the same calls in the same order give the same servers in every process.
//
// A Picker belongs to one event loop. Whether a server may be picked is told to it (SetUp, SetWeight); persistence by
// cookie or stick table is asked before it and is no matter of this package, so a server of weight 0 is simply never
// picked here.
package balance

import (
	"net/netip"

	"github.com/reeve-lb/reeve/proxy"
)

// None is the id of no server: what NextFree takes when nothing is to be avoided. Ids of servers are not negative.
const None = -1

// MaxServers is how many active servers a round robin orders, HAProxy's limit.
const MaxServers = 4095

// MaxWeight is the greatest weight of a server.
const MaxWeight = 256

// Server is one candidate. ID is the caller's own number for it, unique in a Picker and not negative.
type Server struct {
	ID     int
	Weight int  // 0..MaxWeight; 0: never picked
	Backup bool // only when no active server is usable, and only the first usable one
}

// candidate is a Server with what was told about it since.
type candidate struct {
	Server
	up bool
}

func (c *candidate) usable() bool { return c.up && c.Weight > 0 }

// Picker chooses among the servers of one backend. Owned by one event loop: not safe for concurrent use.
type Picker struct {
	servers []candidate
	index   map[int]int // id to index
	// One of the two is set. They are no interface: a call through one would make every caller's full escape to the heap.
	robin   *robin
	slots   *slots
	active  int // usable servers that are no backups
	backups int // usable backups
	first   int // index of the first usable backup, None without one
}

// New makes a Picker of servers in the order of the file, all of them up. Weights outside 0..MaxWeight count as the
// nearest bound, a second server of one id is left out, and so are active servers beyond MaxServers; an unknown
// algorithm is RoundRobin. The readers of a configuration have refused all of these before.
func New(alg proxy.Algorithm, servers []Server) *Picker {
	p := &Picker{index: make(map[int]int, len(servers)), first: None}
	actives := 0
	for _, s := range servers {
		if _, twice := p.index[s.ID]; twice || s.ID < 0 {
			continue
		}
		if !s.Backup {
			if actives++; actives > MaxServers {
				continue
			}
		}
		s.Weight = clampWeight(s.Weight)
		p.index[s.ID] = len(p.servers)
		p.servers = append(p.servers, candidate{Server: s, up: true})
	}
	weights := make([]int, len(p.servers))
	for i := range p.servers {
		if c := &p.servers[i]; !c.Backup {
			weights[i] = c.Weight
		}
	}
	if alg == proxy.Source {
		p.slots = newSlots(p, weights)
	} else {
		p.robin = newRobin(p, weights)
	}
	p.count()
	return p
}

func clampWeight(w int) int { return min(max(w, 0), MaxWeight) }

// SetUp tells whether a server is alive. Unknown ids are ignored.
func (p *Picker) SetUp(id int, up bool) {
	if i, ok := p.index[id]; ok && p.servers[i].up != up {
		p.servers[i].up = up
		p.changed(i)
	}
}

// SetWeight changes a server's weight, bounded to 0..MaxWeight. Unknown ids are ignored.
func (p *Picker) SetWeight(id, weight int) {
	weight = clampWeight(weight)
	if i, ok := p.index[id]; ok && p.servers[i].Weight != weight {
		p.servers[i].Weight = weight
		p.changed(i)
	}
}

func (p *Picker) changed(i int) {
	c := &p.servers[i]
	if !c.Backup {
		w := 0
		if c.usable() {
			w = c.Weight
		}
		if p.slots != nil {
			p.slots.set(i, w)
		} else {
			p.robin.set(i, w)
		}
	}
	p.count()
}

func (p *Picker) count() {
	p.active, p.backups, p.first = 0, 0, None
	for i := range p.servers {
		switch c := &p.servers[i]; {
		case !c.usable():
		case !c.Backup:
			p.active++
		default:
			if p.backups++; p.first == None {
				p.first = i
			}
		}
	}
}

// Active is how many servers that are no backups are up and have a weight.
func (p *Picker) Active() int { return p.active }

// Backups is how many backups are up and have a weight.
func (p *Picker) Backups() int { return p.backups }

// Usable is Active and Backups together; with 0 no call of Next succeeds.
func (p *Picker) Usable() int { return p.active + p.backups }

// Up reports what SetUp said last of a server; false for an unknown id.
func (p *Picker) Up(id int) bool {
	i, ok := p.index[id]
	return ok && p.servers[i].up
}

// Weight reports a server's weight; 0 for an unknown id.
func (p *Picker) Weight(id int) int {
	if i, ok := p.index[id]; ok {
		return p.servers[i].Weight
	}
	return 0
}

// Next picks the server whose turn it is, or the one that hash (see HashSource) belongs to. ok is false when no server
// is usable.
func (p *Picker) Next(hash uint32) (id int, ok bool) { return p.NextFree(hash, None, nil) }

// NextExcept picks a server other than except, for a redispatch; except itself only when it is the last one usable.
func (p *Picker) NextExcept(hash uint32, except int) (id int, ok bool) {
	return p.NextFree(hash, except, nil)
}

// NextFree is NextExcept that also passes over servers of which full says that they are at their maxconn. Under
// RoundRobin ok is false when all are full: the request waits in the backend's queue. A server passed over has had its
// turn. Under Source the hash decides alone, as does being the backup: those servers queue for themselves.
func (p *Picker) NextFree(hash uint32, except int, full func(id int) bool) (id int, ok bool) {
	if p.active == 0 {
		return p.backup(except)
	}
	i := None
	if p.slots != nil {
		i = p.slots.next(hash, except)
	} else {
		i = p.robin.next(except, full)
	}
	if i == None {
		return 0, false
	}
	return p.servers[i].ID, true
}

// backup is the first usable backup, or the one after it when the first is to be avoided.
func (p *Picker) backup(except int) (id int, ok bool) {
	if p.first == None {
		return 0, false
	}
	if p.servers[p.first].ID == except {
		for i := p.first + 1; i < len(p.servers); i++ {
			if c := &p.servers[i]; c.Backup && c.usable() {
				return c.ID, true
			}
		}
	}
	return p.servers[p.first].ID, true
}

// HashSource is the number HAProxy's `balance source` makes of a client's address: the big-endian 32-bit words of it
// xored, an IPv4-mapped address counting as IPv4. It is not secret and not uniform: clients choose it.
func HashSource(addr netip.Addr) uint32 {
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		return word(b[:])
	}
	b := addr.As16()
	return word(b[0:]) ^ word(b[4:]) ^ word(b[8:]) ^ word(b[12:])
}

func word(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
