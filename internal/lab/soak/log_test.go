package soak

import (
	"testing"
)

// TestJournal: lines as the proxy writes them are sorted by how a request ended and why a server went down.
func TestJournal(t *testing.T) {
	j := &journal{bad: map[string]int64{}, down: map[string]int64{}}
	for _, line := range []string{
		`<134>Nov  1 10:00:00 reeve[1]: 127.0.0.1:4000 [01/Nov/2026:10:00:00.000] web app/s1 0/0/0/1/1 200 42 - - ---- 1/1/0/0/0 0/0 "GET /index.html HTTP/1.1"`,
		`<134>Nov  1 10:00:00 reeve[1]: 127.0.0.1:4000 [01/Nov/2026:10:00:00.000] web app/s1 0/0/0/-1/1 502 42 - - SH-- 1/1/0/0/+3 0/0 "GET /index.html HTTP/1.1"`,
		`<134>Nov  1 10:00:00 reeve[1]: 127.0.0.1:4000 [01/Nov/2026:10:00:00.000] web app/<NOSRV> 0/-1/-1/-1/0 503 42 - - SC-- 1/1/0/0/0 0/0 "GET /index.html HTTP/1.1"`,
		`<134>Nov  1 10:00:00 reeve[1]: 127.0.0.1:4000 [01/Nov/2026:10:00:00.000] web app/<NOSRV> 0/-1/-1/-1/0 503 42 - - SC-- 1/1/0/0/0 0/0 "GET /index.html HTTP/1.1"`,
		`<134>Nov  1 10:00:00 reeve[1]: 127.0.0.1:4001 [01/Nov/2026:10:00:00.000] web web/<NOSRV> -1/-1/-1/-1/0 400 42 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>"`,
		`<129>Nov  1 10:00:00 reeve[1]: Server app/s2 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms. 3 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.`,
	} {
		j.take(line)
	}
	if got := counts(j.bad); got != "2 x 503 SC-- at <NOSRV>, 1 x 502 SH-- at s1" {
		t.Error(got)
	}
	if got := counts(j.down); got != `1 x Layer4 connection problem, info: "Connection refused"` {
		t.Error(got)
	}
}
