package config

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/reeve-lb/reeve/proxy"
)

func genCompression(t *rapid.T) *proxy.Compression {
	c := &proxy.Compression{Offload: rapid.Bool().Draw(t, "offload")}
	c.Algos = rapid.SampledFrom([][]string{{"gzip"}, {"br", "zstd", "gzip"}, {"deflate", "raw-deflate", "identity"}}).Draw(t, "algo")
	c.Types = maybe(t, "types", func() []string { return []string{"text/", "application/json"} })
	return c
}

func genCache(t *rapid.T, i int) proxy.Cache {
	c := proxy.Cache{Name: fmt.Sprintf("c%d%s", i, genName.Draw(t, "name")), TotalMaxSize: num(t, "total", 1, 4095)}
	c.MaxObjectSize = num(t, "object", 0, c.TotalMaxSize<<19)
	c.MaxAge = seconds(t, "age", 1, 1<<20)
	c.ProcessVary, c.MaxSecondaryEntries = rapid.Bool().Draw(t, "vary"), num(t, "secondary", 1, 100)
	return c
}
