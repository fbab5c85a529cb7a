package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reeve-lb/reeve/proxy"
)

// manyRules are 2,000 rules of 20 ACLs each, of which the last holds, and a map of 100,000 keys.
func manyRules(t testing.TB) (*Program, []*Cond, *Name) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "host%d.example be%d\n", i, i%100)
	}
	fmt.Fprintf(&text, "www.example.com be7\n")
	p := New(Options{Maps: &Maps{}, File: func(string) ([]byte, error) { return []byte(text.String()), nil }})
	var rs proxy.Rules
	for i := range 200 {
		rs.ACLs = append(rs.ACLs, proxy.ACL{Name: fmt.Sprint("h", i), Test: proxy.Words(fmt.Sprintf("hdr(host),lower -m beg www.host%d.", i))},
			proxy.ACL{Name: fmt.Sprint("p", i), Test: proxy.Words(fmt.Sprintf("path_beg /img /css%d", i))})
	}
	p.Proxy(Side{Name: "fe", Mode: proxy.HTTP}, &rs)
	var conds []*Cond
	for i := range 2000 {
		line := "if"
		for k := range 19 {
			line += fmt.Sprintf(" p%d", (i+k)%200)
		}
		conds = append(conds, p.Cond(proxy.Words(line+fmt.Sprintf(" h%d", i%200))))
	}
	name := p.Name(proxy.Word{Text: "%[hdr(host),lower,field(1,:),map_str(hosts.map)]"})
	if err := p.Problems().Err(); err != nil {
		t.Fatal(err)
	}
	return p, conds, name
}

// TestRulesAllocateNothing: rules cost no memory, whatever they look at.
func TestRulesAllocateNothing(t *testing.T) {
	_, conds, name := manyRules(t)
	c := asking(t, aRequest)
	req := c.Req
	run := func() {
		c.Begin()
		c.Req = req
		for _, d := range conds {
			if d.Holds(c) {
				t.Fatal("holds")
			}
		}
		if b, ok := name.Text(c); !ok || string(b) != "be7" {
			t.Fatalf("%q %v", b, ok)
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkManyRules is one request through 2,000 rules of 20 ACLs, none of which holds, and a look into a large map.
func BenchmarkManyRules(b *testing.B) {
	_, conds, name := manyRules(b)
	c := asking(b, aRequest)
	req := c.Req
	b.ReportAllocs()
	for b.Loop() {
		c.Begin()
		c.Req = req
		for _, d := range conds {
			d.Holds(c)
		}
		name.Text(c)
	}
}
