package soak

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// logAddr is where the proxy sends its log.
const logAddr = "127.0.0.1:5140"

// journal sorts what the proxy logs: how requests of well-behaved clients ended that were not answered well, and why servers
// went down. By it a failure that a client saw has a cause.
type journal struct {
	conn net.PacketConn
	wg   sync.WaitGroup

	mu   sync.Mutex
	bad  map[string]int64
	down map[string]int64
}

var (
	// goodLine is of a request as well-behaved clients make them: server, status and termination state.
	goodLine = regexp.MustCompile(`\S+/(\S+) [-+\d/]+ (-?\d+) \d+ \S+ \S+ (\S{4}) .*"GET ` + goodPath + ` HTTP/1\.1"`)
	downLine = regexp.MustCompile(`Server \S+ is DOWN, reason: (.*?)(, check duration|\. \d+ active)`)
)

func listenForLog(listen func(network, addr string) (net.PacketConn, error)) (*journal, error) {
	c, err := listen("udp", logAddr)
	if err != nil {
		return nil, err
	}
	j := &journal{conn: c, bad: map[string]int64{}, down: map[string]int64{}}
	j.wg.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			j.take(string(b[:n]))
		}
	})
	return j, nil
}

func (j *journal) take(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if m := goodLine.FindStringSubmatch(line); m != nil {
		if m[2] != "200" || m[3] != "----" {
			j.bad[m[2]+" "+m[3]+" at "+m[1]]++
		}
	} else if m := downLine.FindStringSubmatch(line); m != nil {
		j.down[m[1]]++
	}
}

// close stops listening; what the journal has is read afterwards.
func (j *journal) close() {
	j.conn.Close()
	j.wg.Wait()
}

// counts prints a tally, the most frequent first.
func counts(tally map[string]int64) string {
	if len(tally) == 0 {
		return "none"
	}
	keys := slices.SortedFunc(maps.Keys(tally), func(a, b string) int {
		if tally[a] != tally[b] {
			return int(tally[b] - tally[a])
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d x %s", tally[k], k))
	}
	return strings.Join(parts, ", ")
}
