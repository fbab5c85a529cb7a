package proxy

import (
	"time"

	"github.com/reeve-lb/reeve/internal/source"
)

// Compression is which answers are made smaller on their way to the client, and how: the `compression` lines.
type Compression struct {
	Algos   []string // words of `compression algo`, the first liked best: gzip, deflate, raw-deflate, identity, br, zstd
	Types   []string // beginnings of media types; none: all
	Offload bool     // servers are not told what the client accepts, so that they leave the work to the proxy
	Pos     source.Pos
}

// Tune bounds what compression takes of the process; zero is the default.
type Tune struct {
	Level  int // tune.comp.maxlevel: 1 (the default) to 9
	Rate   int // maxcomprate: KiB a second that go into it; 0: no bound
	CPU    int // maxcompcpuusage: percent of an event loop's time above which nothing more is compressed; 0 and 100: no bound
	Memory int // maxzlibmem: MiB that its encoders may take; 0: 64 answers at a time on each loop
}

// Cache is one `cache` section: answers kept in memory under the bounds that it states.
type Cache struct {
	Name                string
	TotalMaxSize        int           // MiB of all objects, 1 to 4095
	MaxObjectSize       int           // bytes of one, its head included; 0: a 256th of the whole
	MaxAge              time.Duration // longest life of an object; 0: 60 s
	ProcessVary         bool          // answers that vary by Accept-Encoding, Referer or Origin are kept, too
	MaxSecondaryEntries int           // variants of one object; 0: 10
	Pos                 source.Pos
}
