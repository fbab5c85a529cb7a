package rule

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fetchDef is a row of the table of samples.
type fetchDef struct {
	out         Type
	needs       where
	least, most int // arguments
	suffixed    bool
	volatile    bool
	costly      bool
	match       matchKind // 0: by the type
	make        func(p *program, e *expr, args []string) error
}

func (d *fetchDef) count(c call) error {
	n := len(c.args)
	if n == 0 && d.least == 1 && d.most == 1 {
		return fmt.Errorf("the sample '%s' needs its argument: %s(...)", c.name, c.name)
	}
	if n < d.least || n > d.most {
		return fmt.Errorf("the sample '%s' takes %s", c.name, counted(d.least, d.most))
	}
	return nil
}

// plain makes a fetch without arguments.
func plain(f fetchFunc) func(*program, *expr, []string) error {
	return func(_ *program, e *expr, _ []string) error {
		e.fetch = f
		return nil
	}
}

var fetches = map[string]*fetchDef{}

// fetchesLater are samples that HAProxy has and this release has not.
var fetchesLater = set(`req.body req.body_param req.body_len base32 base32+src src_is_local sc_get_gpc sc_inc_gpc sc_clr_gpc sc_gpc_rate sc_get_gpt
	src_get_gpc src_inc_gpc src_clr_gpc src_gpc_rate src_get_gpt
	table_avl table_cnt ssl_c_used ssl_c_verify ssl_c_s_dn ssl_c_i_dn ssl_c_sha1 ssl_fc_protocol ssl_fc_cipher ssl_fc_alpn ssl_fc_has_crt
	ssl_fc_has_sni ssl_fc_use_keysize ssl_fc_session_id ssl_f_sha1 ssl_bc capture.req.ver capture.res.ver
	unique-id uuid thread nbproc proc stopping hostname fc_http_major fc_rcvd_proxy fc_rtt bc_http_major be_id fe_id srv_id srv_name srv_weight
	srv_iweight srv_uweight be_server_timeout be_tunnel_timeout urlp_val payload payload_lv req.payload_lv res.payload res.len
	res.comp http_first_req quic_enabled so_id lat_ns_avg cpu_calls prio_class prio_offset last_rule_file last_rule_line`)

// set makes a set of words.
func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

func fetchNames() []string {
	names := slices.Sorted(maps.Keys(fetches))
	for _, n := range slices.Clone(names) {
		if fetches[n].suffixed {
			for _, s := range suffixes {
				names = append(names, n+s.text)
			}
		}
	}
	return names
}

func alias(name string, of ...string) {
	for _, n := range of {
		fetches[n] = fetches[name]
	}
}

func init() {
	fetches["always_true"] = &fetchDef{out: Bool, make: plain(func(_ *Ctx, v *Value) truth { v.setBool(true); return yes })}
	fetches["always_false"] = &fetchDef{out: Bool, make: plain(func(_ *Ctx, v *Value) truth { v.setBool(false); return yes })}
	fetches["wait_end"] = &fetchDef{out: Bool, volatile: true, make: plain(waitEnd)}
	fetches["str"] = &fetchDef{out: Str, least: 1, most: 1, make: func(_ *program, e *expr, args []string) error {
		b := []byte(args[0])
		e.fetch = func(_ *Ctx, v *Value) truth { v.setStr(b); return yes }
		return nil
	}}
	fetches["int"] = &fetchDef{out: Int, least: 1, most: 1, make: makeInt}
	fetches["bool"] = &fetchDef{out: Bool, least: 1, most: 1, make: makeBool}
	fetches["env"] = &fetchDef{out: Str, least: 1, most: 1, make: makeEnv}
	fetches["var"] = &fetchDef{out: Str, volatile: true, least: 1, most: 2, make: makeVar}
	fetches["rand"] = &fetchDef{out: Int, volatile: true, most: 1, make: makeRand}
	fetches["date"] = &fetchDef{out: Int, most: 2, make: makeDate}
	fetches["src"] = &fetchDef{out: Addr, make: plain(func(c *Ctx, v *Value) truth { v.setAddr(c.Src.Addr()); return is(v.Addr.IsValid()) })}
	fetches["dst"] = &fetchDef{out: Addr, make: plain(func(c *Ctx, v *Value) truth { v.setAddr(c.dst().Addr()); return is(v.Addr.IsValid()) })}
	fetches["src_port"] = &fetchDef{out: Int, make: plain(func(c *Ctx, v *Value) truth { v.setInt(int64(c.Src.Port())); return is(c.Src.IsValid()) })}
	fetches["dst_port"] = &fetchDef{out: Int, make: plain(func(c *Ctx, v *Value) truth { v.setInt(int64(c.dst().Port())); return is(c.Dst.IsValid()) })}
	fetches["ssl_fc"] = &fetchDef{out: Bool, make: plain(func(c *Ctx, v *Value) truth { v.setBool(c.TLS); return yes })}
	fetches["ssl_fc_sni"] = &fetchDef{out: Str, suffixed: true, make: plain(func(c *Ctx, v *Value) truth {
		v.setStr(append(c.rest(), c.SNI...))
		return is(c.take(v.Bytes) && c.TLS && c.SNI != "")
	})}
	fetches["fe_name"] = &fetchDef{out: Str, make: plain(func(c *Ctx, v *Value) truth { v.setStr(append(c.rest(), c.Front...)); return is(c.take(v.Bytes)) })}
	fetches["be_name"] = &fetchDef{out: Str, volatile: true, make: plain(func(c *Ctx, v *Value) truth { v.setStr(append(c.rest(), c.Back...)); return is(c.take(v.Bytes)) })}
}

func waitEnd(c *Ctx, v *Value) truth {
	if !c.Final {
		return miss
	}
	v.setBool(true)
	return yes
}

func makeInt(_ *program, e *expr, args []string) error {
	n, ok := parseNumber([]byte(args[0]))
	if !ok {
		return fmt.Errorf("'%s' is no integer", short(args[0]))
	}
	e.fetch = func(_ *Ctx, v *Value) truth { v.setInt(n); return yes }
	return nil
}

func makeBool(_ *program, e *expr, args []string) error {
	switch args[0] {
	case "1", "true":
		e.fetch = func(_ *Ctx, v *Value) truth { v.setBool(true); return yes }
	case "0", "false":
		e.fetch = func(_ *Ctx, v *Value) truth { v.setBool(false); return yes }
	default:
		return fmt.Errorf("'%s' is no boolean: true, false, 1 or 0", short(args[0]))
	}
	return nil
}

func makeEnv(p *program, e *expr, args []string) error {
	text, there := "", false
	if p.o.Env != nil {
		text, there = p.o.Env(args[0])
	}
	b := []byte(text)
	e.fetch = func(_ *Ctx, v *Value) truth { v.setStr(b); return is(there) }
	return nil
}

func makeVar(p *program, e *expr, args []string) error {
	vr, err := p.variable(args[0])
	if err != nil {
		return err
	}
	var otherwise []byte
	if len(args) == 2 {
		otherwise = []byte(args[1])
	}
	e.fetch = func(c *Ctx, v *Value) truth {
		if vr.of(c).get(vr.index, v) {
			return yes
		}
		v.setStr(otherwise)
		return is(otherwise != nil)
	}
	return nil
}

// random is a fast generator (splitmix64); nothing secret is made of it.
func (c *Ctx) random() uint64 {
	c.Random += 0x9e3779b97f4a7c15
	z := c.Random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func makeRand(_ *program, e *expr, args []string) error {
	limit := uint64(1) << 32
	if len(args) == 1 {
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil || n == 0 {
			return fmt.Errorf("'%s' is no range: a number from 1", short(args[0]))
		}
		limit = n
	}
	e.fetch = func(c *Ctx, v *Value) truth { v.setInt(int64((c.random() >> 32) * limit >> 32)); return yes }
	return nil
}

func makeDate(_ *program, e *expr, args []string) error {
	offset, unit := int64(0), int64(time.Second)
	for i, a := range args {
		switch {
		case a == "" || i == 1 && a == "s":
		case i == 1 && a == "ms":
			unit = int64(time.Millisecond)
		case i == 1 && a == "us":
			unit = int64(time.Microsecond)
		default:
			n, ok := parseNumber([]byte(a))
			if !ok || i == 1 {
				return fmt.Errorf("'%s' is no offset or unit (s, ms, us)", short(a))
			}
			offset = n
		}
	}
	e.fetch = func(c *Ctx, v *Value) truth { v.setInt(c.Now/unit + offset); return yes }
	return nil
}

// Known reports whether there is a sample of that name, in this release or in HAProxy.
func Known(name string) bool { return fetches[name] != nil || fetchesLater[name] }
