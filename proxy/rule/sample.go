package rule

import (
	"encoding/binary"

	"github.com/reeve-lb/reeve/proxy"
)

// Sample is a sample expression on its own, taken before a server is chosen (`balance hash`).
type Sample struct {
	e *expr
	p *Program
}

// Sample compiles an expression with the ACLs and the name of the proxy that was compiled last; nil when it is wrong.
func (p *Program) Sample(w proxy.Word) *Sample {
	e, err := p.expression(w.Text)
	if err != nil {
		p.problem(w.Pos, err)
		return nil
	}
	if e.needs&atResponse != 0 {
		p.ps.Errorf(w.Pos, "", "the sample '%s' is of an answer: there is none before a server is chosen", short(w.Text))
		return nil
	}
	return &Sample{e, p}
}

// Bytes takes the sample as bytes: text as it is, an address by its 4 or 16, a number by 8, the greatest first. They are
// good until the next evaluation; ok is false where there is none.
func (s *Sample) Bytes(c *Ctx) (b []byte, ok bool) {
	c.room(s.p)
	f := c.push()
	if s.e.eval(c, &f.v) == yes {
		b, ok = f.v.binary(c)
	}
	c.pop()
	return b, ok
}

// binary is the value as bytes, made in the scratch where it is none yet.
func (v *Value) binary(c *Ctx) ([]byte, bool) {
	switch v.Type {
	case Str, Bin:
		return v.Bytes, true
	case Int, Bool:
		b := binary.BigEndian.AppendUint64(c.rest(), uint64(v.Int))
		return b, c.take(b)
	case Addr:
		b := c.rest()
		if v.Addr.Is4() {
			four := v.Addr.As4()
			b = append(b, four[:]...)
		} else {
			all := v.Addr.As16()
			b = append(b, all[:]...)
		}
		return b, c.take(b)
	}
	return nil, false
}
