// Package balance picks a server of a backend. It is a pure core: no clock, no lock, and the same calls in the same order
// give the same servers in every process.
//
// Picker is the round robin, which remembers whose turn it is. The tables that hashes and draws look into (Slots, Ring,
// Maglev, Shares) are immutable: a change of health or weight makes new ones, and all loops read one without a lock.
// Persistence by cookie or stick table is asked before any of them and is no matter of this package.
package balance

// None is the id of no server: what NextFree takes when nothing is to be avoided. Ids of servers are not negative.
const None = -1

// MaxServers is how many active servers a round robin orders, HAProxy's limit.
const MaxServers = 4095

// MaxWeight is the greatest weight of a server.
const MaxWeight = 256

// Server is one candidate. ID is the caller's own number for it, unique in a Picker and not negative.
type Server struct {
	ID     int
	Weight int // 0..MaxWeight; 0: never picked
}

// candidate is a Server with what was told about it since.
type candidate struct {
	Server
	up bool
}

func (c *candidate) usable() bool { return c.up && c.Weight > 0 }

// Picker is a weighted round robin in HAProxy's order. Whether a server may be picked is told to it (SetUp, SetWeight).
// It allocates nothing after New but where a weight grows. Not safe for concurrent use.
type Picker struct {
	servers []candidate
	index   map[int]int // id to index
	robin   *robin
	usable  int
}

// New makes a Picker of servers in the order of the file, all of them up. Weights outside 0..MaxWeight count as the
// nearest bound, a second server of one id is left out, and so are servers beyond MaxServers. The readers of a
// configuration have refused all of these before.
func New(servers []Server) *Picker {
	p := &Picker{index: make(map[int]int, len(servers))}
	for _, s := range servers {
		if _, twice := p.index[s.ID]; twice || s.ID < 0 || len(p.servers) == MaxServers {
			continue
		}
		s.Weight = clampWeight(s.Weight)
		p.index[s.ID] = len(p.servers)
		p.servers = append(p.servers, candidate{Server: s, up: true})
	}
	weights := make([]int, len(p.servers))
	for i := range p.servers {
		if weights[i] = p.servers[i].Weight; weights[i] > 0 {
			p.usable++
		}
	}
	p.robin = newRobin(p, weights)
	return p
}

func clampWeight(w int) int { return min(max(w, 0), MaxWeight) }

// SetUp tells whether a server is alive. Unknown ids are ignored.
func (p *Picker) SetUp(id int, up bool) {
	if i, ok := p.index[id]; ok {
		c := p.servers[i]
		c.up = up
		p.change(i, c)
	}
}

// SetWeight changes a server's weight, bounded to 0..MaxWeight. Unknown ids are ignored.
func (p *Picker) SetWeight(id, weight int) {
	if i, ok := p.index[id]; ok {
		c := p.servers[i]
		c.Weight = clampWeight(weight)
		p.change(i, c)
	}
}

func (p *Picker) change(i int, to candidate) {
	was := p.servers[i]
	if p.servers[i] = to; was == to {
		return
	}
	weight := 0
	if to.usable() {
		weight = to.Weight
		p.usable++
	}
	if was.usable() {
		p.usable--
	}
	p.robin.set(i, weight)
}

// Usable is how many servers are up and have a weight; with 0 no call of Next succeeds.
func (p *Picker) Usable() int { return p.usable }

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

// Next picks the server whose turn it is. ok is false when no server is usable.
func (p *Picker) Next() (id int, ok bool) { return p.NextFree(None, nil) }

// NextFree picks a server other than except, for a redispatch (except itself only when it is the last one usable), and
// passes over those of which full says that they are at their maxconn. When all are full ok is false: the request waits
// in the backend's queue. A server passed over has had its turn.
func (p *Picker) NextFree(except int, full func(id int) bool) (id int, ok bool) {
	if p.usable == 0 {
		return 0, false // and the turn stays where it is
	}
	i := p.robin.next(except, full)
	if i == None {
		return 0, false
	}
	return p.servers[i].ID, true
}
