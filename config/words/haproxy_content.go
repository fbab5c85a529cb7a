package words

// haproxyContent are the words about what is done to answers on their way.
var haproxyContent = []Word{
	{Name: "compression algo", In: anyProxy, Type: Line, Args: []string{"algorithm"}, Doc: "`compression algo WORD...`: how answers are compressed: `gzip`, `deflate`, `raw-deflate`, `identity` (not at all), and of Reeve's own `br` and `zstd`. Of those that a client likes alike it gets the first. A backend's line wins over a frontend's."},
	{Name: "compression type", In: anyProxy, Type: Line, Args: []string{"type"}, Doc: "`compression type TYPE...`: beginnings of the media types that are compressed. Default: all but multipart."},
	{Name: "compression offload", In: anyProxy, Type: Flag, Field: "Compression.Offload", Doc: "A server is not told what the client accepts, so that it leaves the work to Reeve."},
	{Name: "compression direction", In: anyProxy, Type: Enum, Enum: []string{"", "response"}, Later: []string{"request", "both"}, Doc: "Which way content is compressed."},
	{Name: "filter", In: []string{"frontend", "backend", "listen"}, Type: Line, Args: []string{"kind"}, Doc: "`filter compression` and `filter cache NAME`: accepted, and of no consequence. What is stored is what the server sent; it is compressed as it leaves."},
}

// haproxyCache are the words of a cache section.
var haproxyCache = []Word{
	{Name: "total-max-size", Type: Int, Min: 1, Max: 4095, Field: "TotalMaxSize", Doc: "MiB that all objects take, with those that are being stored. It must be given. The memory is taken as it fills."},
	{Name: "max-object-size", Type: Size, Min: 1, Max: 4095 << 19, Field: "MaxObjectSize", Doc: "Bytes of the largest object, head and body; at most half of `total-max-size`. Default: a 256th of it."},
	{Name: "max-age", Type: Duration, Min: 1, Field: "MaxAge", Default: "60s", Doc: "The longest that an object is given out, whatever the server says. A bare number is seconds."},
	{Name: "process-vary", Type: Bool, Field: "ProcessVary", Doc: "Keep answers that vary by Accept-Encoding, Referer or Origin, each variant on its own. Without it, and when they vary by anything else, they are not stored."},
	{Name: "max-secondary-entries", Type: Int, Min: 1, Max: 1<<31 - 1, Field: "MaxSecondaryEntries", Default: "10", Doc: "Variants that are kept of one object."},
}

// haproxyGlobalContent bound what compression takes of the process.
var haproxyGlobalContent = []Word{
	{Name: "tune.comp.maxlevel", Type: Int, Min: 1, Max: 9, Field: "Compression.Level", Doc: "How hard answers are compressed, 1 to 9. Default: 1. More takes more of the CPU and makes them smaller. `br` knows five levels and `zstd` two: more would take too much memory."},
	{Name: "maxcomprate", Type: Int, Max: 1<<31 - 1, Field: "Compression.Rate", Doc: "KiB a second that may go into compression; above that answers go out as they are. 0: no bound. Each event loop has its part of it."},
	{Name: "maxcompcpuusage", Type: Int, Max: 100, Field: "Compression.CPU", Doc: "Percent of an event loop's time above which answers go out as they are. 0 and 100: no bound."},
	{Name: "maxzlibmem", Type: Int, Max: 1 << 20, Field: "Compression.Memory", Doc: "MiB that compression may take, 4 for each answer; when they are taken answers go out as they are. 0: 64 answers at a time on each event loop."},
}
