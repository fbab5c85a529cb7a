package http2

// entry is a name and a value.
type entry struct{ name, value string }

// static is the static table (RFC 7541 appendix A); index 1 is its first.
var static = [...]entry{
	{":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"}, {":scheme", "http"},
	{":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"}, {":status", "400"},
	{":status", "404"}, {":status", "500"}, {"accept-charset", ""}, {"accept-encoding", "gzip, deflate"}, {"accept-language", ""},
	{"accept-ranges", ""}, {"accept", ""}, {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""},
	{"cache-control", ""}, {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""}, {"expect", ""},
	{"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""}, {"if-none-match", ""}, {"if-range", ""},
	{"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""}, {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""},
	{"proxy-authorization", ""}, {"range", ""}, {"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
	{"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""}, {"www-authenticate", ""},
}

// Indices into the static table that are used by themselves.
const (
	idxAuthority = 1
	idxGET       = 2
	idxPOST      = 3
	idxPath      = 4
	idxHTTP      = 6
	idxHTTPS     = 7
	idxStatus200 = 8
)

// staticNames finds the index of a name; of equal ones the first.
var staticNames = func() map[string]uint8 {
	m := map[string]uint8{}
	for i, e := range static {
		if _, ok := m[e.name]; !ok {
			m[e.name] = uint8(i + 1)
		}
	}
	return m
}()

// entryOverhead is what an entry counts beyond its bytes (RFC 7541 section 4.1).
const entryOverhead = 32

// place is where an entry's bytes lie.
type place struct{ at, name, value int }

// table is a dynamic table: the youngest entry has the lowest index. Bytes are appended to a buffer that is compacted
// when it is full, so that entries cost no allocation of their own.
type table struct {
	bytes  []byte
	places []place // a ring
	first  int     // place of the oldest
	n      int
	size   int // as RFC 7541 section 4.1 counts
	max    int
}

func (t *table) at(i int) (name, value []byte) {
	p := t.places[(t.first+t.n-1-i)%len(t.places)]
	return t.bytes[p.at : p.at+p.name], t.bytes[p.at+p.name : p.at+p.name+p.value]
}

// evict makes the table no larger than size.
func (t *table) evict(size int) {
	for t.size > size {
		p := t.places[t.first]
		t.size -= p.name + p.value + entryOverhead
		t.first = (t.first + 1) % len(t.places)
		t.n--
	}
	if t.n == 0 {
		t.bytes = t.bytes[:0]
	}
}

// add enters a name and a value, which may lie in the table itself only if they were copied before.
func (t *table) add(name, value []byte) {
	need := len(name) + len(value)
	if need+entryOverhead > t.max {
		t.evict(0)
		return
	}
	t.evict(t.max - need - entryOverhead)
	if t.n == len(t.places) {
		t.grow()
	}
	if len(t.bytes)+need > cap(t.bytes) {
		t.compact(need)
	}
	t.places[(t.first+t.n)%len(t.places)] = place{len(t.bytes), len(name), len(value)}
	t.bytes = append(append(t.bytes, name...), value...)
	t.n++
	t.size += need + entryOverhead
}

func (t *table) grow() {
	more := make([]place, max(16, 2*len(t.places)))
	for i := range t.n {
		more[i] = t.places[(t.first+i)%len(t.places)]
	}
	t.places, t.first = more, 0
}

// compact moves what lives to the front, into a larger buffer where it fills more than half of this one.
func (t *table) compact(need int) {
	from := len(t.bytes)
	if t.n > 0 {
		from = t.places[t.first].at
	}
	live := t.bytes[from:]
	to := t.bytes[:0]
	if 2*(len(live)+need) > cap(t.bytes) {
		to = make([]byte, 0, max(256, 4*(len(live)+need)))
	}
	t.bytes = append(to, live...)
	for i := range t.n {
		t.places[(t.first+i)%len(t.places)].at -= from
	}
}
