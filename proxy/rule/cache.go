package rule

import (
	"github.com/reeve-lb/reeve/proxy/cache"
)

// cache takes the name of a cache. With checks alone there is none behind it.
func (r *actionReader) cache() (*cache.Cache, bool) {
	w, ok := r.word("the name of a cache")
	if !ok || r.p.o.Cache == nil {
		return nil, ok
	}
	c, known := r.p.o.Cache(w.Text)
	if !known {
		return nil, r.errorf(w.Pos, "", "there is no cache '%s'", short(w.Text))
	}
	return c, true
}

// cacheUse looks the request up. What is found goes out when the rules are through.
func (r *actionReader) cacheUse(to *ruleLine) bool {
	from, ok := r.cache()
	to.do = func(c *Ctx) bool {
		if c.UseCache != nil && from != nil {
			c.UseCache(from)
		}
		return true
	}
	return ok
}

// cacheStore keeps the answer as it is at this place among the rules.
func (r *actionReader) cacheStore(to *ruleLine) bool {
	in, ok := r.cache()
	to.do = func(c *Ctx) bool {
		if c.StoreCache != nil && in != nil {
			c.StoreCache(in)
		}
		return true
	}
	return ok
}

func init() {
	fetches["res.cache_hit"] = &fetchDef{out: Bool, needs: atResponse, make: plain(func(c *Ctx, v *Value) truth {
		v.setBool(c.Cached != "")
		return is(c.Res != nil)
	})}
	fetches["res.cache_name"] = &fetchDef{out: Str, needs: atResponse, make: plain(func(c *Ctx, v *Value) truth {
		v.setStr(append(c.rest(), c.Cached...))
		return is(c.take(v.Bytes) && c.Cached != "")
	})}
}
