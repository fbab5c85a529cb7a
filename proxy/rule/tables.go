package rule

import (
	"cmp"
	"fmt"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/tally"
)

// Stick-tables as rules use them: who is tracked, and what samples and converters read of a table.

// trackers is how many entries a connection or a transaction may track: sc0, sc1, sc2.
const trackers = 3

// Tracks are the entries that a connection or one of its transactions tracks.
type Tracks [trackers]tally.Ref

// Release lets go of all.
func (t *Tracks) Release(now int64) {
	for i := range t {
		t[i].Release(now)
		t[i] = tally.Ref{}
	}
}

// tracked is the entry of scN: the transaction's, or its connection's.
func (c *Ctx) tracked(n int) tally.Ref {
	if c.Tracks != nil && !c.Tracks[n].IsZero() {
		return c.Tracks[n]
	}
	if c.SessionTracks != nil {
		return c.SessionTracks[n]
	}
	return tally.Ref{}
}

// Tables is an Options.Table for who only looks whether c has the tables that its rules name. They are empty.
func Tables(c *proxy.Config) func(name string) *tally.Table {
	all := map[string]*tally.Table{}
	add := func(name string, st *proxy.StickTable) {
		if st == nil {
			return
		}
		if cfg, err := tally.Configured(st); err == nil {
			all[name] = tally.New(cfg)
		}
	}
	for i := range c.Frontends {
		add(c.Frontends[i].Name, c.Frontends[i].StickTable)
	}
	for i := range c.Backends {
		add(c.Backends[i].Name, c.Backends[i].StickTable)
	}
	return func(name string) *tally.Table { return all[name] }
}

// table finds the table of a proxy, by default the own one. Where tables are not looked at it is nil without an error.
func (p *program) table(name string) (*tally.Table, error) {
	if name == "" {
		name = p.proxy
	}
	if p.o.Table == nil {
		return nil, nil
	}
	if t := p.o.Table(name); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("'%s' has no stick-table", short(name))
}

// tableOf is the same for a fetch or converter that reads data of it.
func (p *program) tableOf(name string, stored ...tally.Data) (*tally.Table, error) {
	t, err := p.table(name)
	if t == nil {
		return nil, err
	}
	for _, d := range stored {
		if t.Stores(d) {
			return t, nil
		}
	}
	if len(stored) > 0 {
		return nil, fmt.Errorf("the stick-table of '%s' does not store %s", short(cmp.Or(name, p.proxy)), stored[0])
	}
	return t, nil
}

// keyOf makes the key of a sample, in the scratch.
func (v *Value) keyOf(c *Ctx, t *tally.Table) (key []byte, ok bool) {
	switch t.Type {
	case tally.IP, tally.IPv6:
		a, is := v.address()
		if !is {
			return nil, false
		}
		if key, ok = t.Type.AddrKey(c.rest(), a); !ok {
			return nil, false
		}
	case tally.Integer:
		n, is := v.number()
		if !is {
			return nil, false
		}
		key = tally.NumberKey(c.rest(), n)
	default:
		b, is := v.Bytes, v.Type == Str || v.Type == Bin
		if !is && t.Type == tally.Binary {
			b, is = v.binary(c)
		} else if !is {
			b, is = v.text(c)
		}
		if !is {
			return nil, false
		}
		key = t.TextKey(c.rest(), b)
	}
	return key, c.take(key)
}

// keyable reports whether a sample of a type may be a key of a table.
func keyable(from Type, t *tally.Table) bool {
	switch t.Type {
	case tally.IP, tally.IPv6:
		return castable(from, Addr)
	case tally.Integer:
		return castable(from, Int)
	}
	return true
}

// reading is a datum as samples name it.
type reading struct {
	data  tally.Data
	shift uint // of bytes told as kilobytes
}

var readings = map[string]reading{"conn_cnt": {data: tally.ConnCnt}, "conn_cur": {data: tally.ConnCur}, "conn_rate": {data: tally.ConnRate},
	"sess_cnt": {data: tally.SessCnt}, "sess_rate": {data: tally.SessRate}, "http_req_cnt": {data: tally.ReqCnt}, "http_req_rate": {data: tally.ReqRate},
	"http_err_cnt": {data: tally.ErrCnt}, "http_err_rate": {data: tally.ErrRate}, "http_fail_cnt": {data: tally.FailCnt}, "http_fail_rate": {data: tally.FailRate},
	"kbytes_in": {tally.InCnt, 10}, "bytes_in_rate": {data: tally.InRate}, "kbytes_out": {tally.OutCnt, 10}, "bytes_out_rate": {data: tally.OutRate},
	"gpc0": {data: tally.GPC0}, "gpc0_rate": {data: tally.GPC0Rate}, "gpc1": {data: tally.GPC1}, "gpc1_rate": {data: tally.GPC1Rate}, "gpt0": {data: tally.GPT0}}

// got: samples of the numbers that rules keep have get_ in front of their names, converters have not.
func (r reading) got(name string) string {
	switch r.data {
	case tally.GPC0, tally.GPC1, tally.GPT0:
		return "get_" + name
	}
	return name
}

var generals = map[string]struct {
	event     tally.Event
	cnt, rate tally.Data
}{"gpc0": {tally.General0, tally.GPC0, tally.GPC0Rate}, "gpc1": {tally.General1, tally.GPC1, tally.GPC1Rate}}

func init() {
	each := func(name string, f tableUse, data ...tally.Data) {
		for n := range trackers {
			fetches[fmt.Sprintf("sc%d_%s", n, name)] = &fetchDef{out: Int, volatile: true, most: 1, make: makeTracked(n, f, data)}
		}
		fetches["sc_"+name] = &fetchDef{out: Int, volatile: true, least: 1, most: 2, make: makeTracked(-1, f, data)}
		fetches["src_"+name] = &fetchDef{out: Int, volatile: true, most: 1, make: makeSource(f, data)}
	}
	for name, r := range readings {
		each(r.got(name), r.read, r.data)
		converters["table_"+name] = &convDef{least: 1, most: 1, make: makeTableConv(r.read, r.data)}
	}
	for name, g := range generals {
		each("inc_"+name, func(t *tally.Table, key []byte, now int64) int64 { return int64(t.Add(key, g.event, now)) }, g.cnt, g.rate)
		each("clr_"+name, func(t *tally.Table, key []byte, now int64) int64 { return int64(t.Set(key, g.cnt, 0, now)) }, g.cnt)
	}
	fetches["src_updt_conn_cnt"] = &fetchDef{out: Int, volatile: true, most: 1, make: makeSource(func(t *tally.Table, key []byte, now int64) int64 {
		return int64(t.Add(key, tally.Conn, now))
	}, []tally.Data{tally.ConnCnt})}
	each("trackers", func(t *tally.Table, key []byte, now int64) int64 { return int64(t.Trackers(key, now)) })
	delete(fetches, "src_trackers")
	converters["table_trackers"] = &convDef{least: 1, most: 1, make: makeTableConv(func(t *tally.Table, key []byte, now int64) int64 { return int64(t.Trackers(key, now)) })}
	converters["in_table"] = &convDef{least: 1, most: 1, make: makeInTable}
	for n := range trackers {
		fetches[fmt.Sprintf("sc%d_tracked", n)] = &fetchDef{out: Bool, volatile: true, most: 1, make: makeIsTracked(n)}
	}
	fetches["sc_tracked"] = &fetchDef{out: Bool, volatile: true, least: 1, most: 2, make: makeIsTracked(-1)}
}

// tableUse reads or changes a key's entry and tells a number.
type tableUse func(t *tally.Table, key []byte, now int64) int64

func (r reading) read(t *tally.Table, key []byte, now int64) int64 {
	n, _ := t.Read(key, r.data, now)
	return int64(n >> r.shift)
}

// tracker reads which of sc0, sc1 and sc2 is meant.
func tracker(text string) (int, error) {
	n, ok := parseNumber([]byte(text))
	if !ok || n < 0 || n >= trackers {
		return 0, fmt.Errorf("'%s' is no number of what is tracked: 0 to %d", short(text), trackers-1)
	}
	return int(n), nil
}

// makeTracked takes a number of a tracked entry, or of the same key in another table. n -1: the first argument says which.
func makeTracked(n int, use tableUse, data []tally.Data) func(*program, *expr, []string) error {
	return func(p *program, e *expr, args []string) error {
		n := n
		if n < 0 {
			var err error
			if n, err = tracker(args[0]); err != nil {
				return err
			}
			args = args[1:]
		}
		var other *tally.Table
		if len(args) > 0 && args[0] != "" {
			var err error
			if other, err = p.tableOf(args[0], data...); err != nil {
				return err
			}
		}
		e.fetch = func(c *Ctx, v *Value) truth {
			ref := c.tracked(n)
			if ref.IsZero() {
				return no
			}
			t := other
			if t == nil {
				t = ref.Table()
			}
			if !storesAny(t, data) {
				return no
			}
			used := c.used
			key := append(c.rest(), ref.Key()...)
			ok := c.take(key)
			v.setInt(0)
			if ok {
				v.Int = use(t, key, c.Now)
			}
			c.used = used
			return is(ok)
		}
		return nil
	}
}

func storesAny(t *tally.Table, data []tally.Data) bool {
	for _, d := range data {
		if t.Stores(d) {
			return true
		}
	}
	return len(data) == 0
}

func makeIsTracked(n int) func(*program, *expr, []string) error {
	return func(p *program, e *expr, args []string) error {
		n := n
		if n < 0 {
			var err error
			if n, err = tracker(args[0]); err != nil {
				return err
			}
		}
		e.fetch = func(c *Ctx, v *Value) truth { v.setBool(!c.tracked(n).IsZero()); return yes }
		return nil
	}
}

// makeSource takes a number of the client's address.
func makeSource(use tableUse, data []tally.Data) func(*program, *expr, []string) error {
	return func(p *program, e *expr, args []string) error {
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		e.own = name == ""
		t, err := p.tableOf(name, data...)
		if err != nil {
			return err
		}
		if t != nil && !keyable(Addr, t) {
			return fmt.Errorf("the stick-table of '%s' has no addresses for keys", short(cmp.Or(name, p.proxy)))
		}
		e.fetch = func(c *Ctx, v *Value) truth {
			if t == nil || !c.Src.IsValid() {
				return no
			}
			v.setAddr(c.Src.Addr())
			used := c.used
			key, ok := v.keyOf(c, t)
			v.setInt(0)
			if ok {
				v.Int = use(t, key, c.Now)
			}
			c.used = used
			return is(ok)
		}
		return nil
	}
}

// makeTableConv takes a number of the sample's key.
func makeTableConv(use tableUse, data ...tally.Data) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(p *program, e *expr, args []string) (convFunc, Type, error) {
		t, err := p.keyTable(e, args[0], data...)
		e.volatile = true
		return func(c *Ctx, v *Value) bool {
			used := c.used
			key, ok := []byte(nil), false
			if t != nil {
				key, ok = v.keyOf(c, t)
			}
			v.setInt(0)
			if ok {
				v.Int = use(t, key, c.Now)
			}
			c.used = used
			return ok
		}, Int, err
	}
}

func (p *program) keyTable(e *expr, name string, data ...tally.Data) (*tally.Table, error) {
	t, err := p.tableOf(name, data...)
	if t != nil && !keyable(e.out, t) {
		return nil, fmt.Errorf("a sample of type %s is no key of the stick-table of '%s'", e.out, short(cmp.Or(name, p.proxy)))
	}
	return t, err
}

func makeInTable(p *program, e *expr, args []string) (convFunc, Type, error) {
	t, err := p.keyTable(e, args[0])
	e.volatile = true
	return func(c *Ctx, v *Value) bool {
		used := c.used
		key, ok := []byte(nil), false
		if t != nil {
			key, ok = v.keyOf(c, t)
		}
		v.setBool(ok && t.Has(key, c.Now))
		c.used = used
		return true
	}, Bool, err
}
