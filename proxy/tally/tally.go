// Package tally counts by key what a stick-table stores beside a server: connections, requests, errors, bytes, and what
// rules add up themselves. It is one node's view. It is a pure core: time is an argument, and it neither waits nor talks.
// Event loops share a table; each touch holds the lock of a part of it for the time of a few memory accesses.
package tally

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Data is what a table stores for each key, by the name that `store` gives it.
type Data uint8

// The data. Those of a rate have a period.
const (
	ConnCnt Data = iota
	ConnCur
	ConnRate
	SessCnt
	SessRate
	ReqCnt
	ReqRate
	ErrCnt
	ErrRate
	FailCnt
	FailRate
	InCnt
	InRate
	OutCnt
	OutRate
	GPC0
	GPC0Rate
	GPC1
	GPC1Rate
	GPT0
	dataCount
)

var names = [dataCount]string{"conn_cnt", "conn_cur", "conn_rate", "sess_cnt", "sess_rate", "http_req_cnt", "http_req_rate", "http_err_cnt",
	"http_err_rate", "http_fail_cnt", "http_fail_rate", "bytes_in_cnt", "bytes_in_rate", "bytes_out_cnt", "bytes_out_rate", "gpc0", "gpc0_rate",
	"gpc1", "gpc1_rate", "gpt0"}

// String is the name that `store` knows.
func (d Data) String() string {
	if d < dataCount {
		return names[d]
	}
	return "unknown"
}

// Rate reports whether the data is a number of events in a period.
func (d Data) Rate() bool { return strings.HasSuffix(d.String(), "_rate") }

// Event is what is counted, in a number and a rate of it.
type Event uint8

// The events: a connection that is tracked; one that became a session; a request; one that was no good, was denied or had an
// answer of 4xx; a failure of a server (5xx but 501 and 505); bytes from and to the client; two that rules count.
const (
	Conn Event = iota
	Sess
	Req
	Err
	Fail
	In
	Out
	General0
	General1
)

var counted = [...]struct{ cnt, rate Data }{{ConnCnt, ConnRate}, {SessCnt, SessRate}, {ReqCnt, ReqRate}, {ErrCnt, ErrRate}, {FailCnt, FailRate},
	{InCnt, InRate}, {OutCnt, OutRate}, {GPC0, GPC0Rate}, {GPC1, GPC1Rate}}

// Store is one element of `store`.
type Store struct {
	Data   Data
	Period time.Duration // of a rate
}

// later are data that HAProxy has and this release has not.
var later = []string{"server_id", "server_key", "gpc", "gpc_rate", "gpt", "glitch_cnt", "glitch_rate"}

// Names are what `store` knows.
func Names() []string { return names[:] }

// ParseStore reads NAME or NAME(PERIOD) of `store`; a period is a whole number with us, ms, s, m, h or d behind it, without
// one of milliseconds.
func ParseStore(text string) (Store, error) {
	name, arg, paren := strings.Cut(text, "(")
	d := Data(slices.Index(names[:], name))
	switch {
	case d < dataCount:
	case slices.Contains(later, name):
		return Store{}, fmt.Errorf("'store %s' is not supported yet", name)
	default:
		return Store{}, fmt.Errorf("'%s' is nothing that a stick-table stores", name)
	}
	s := Store{Data: d}
	if !d.Rate() {
		if paren {
			return s, fmt.Errorf("'%s' is no rate and has no period", name)
		}
		return s, nil
	}
	arg, closed := strings.CutSuffix(arg, ")")
	var ok bool
	if s.Period, ok = period(arg); !ok || !closed {
		return s, fmt.Errorf("'%s' needs its period: %s(10s)", name, name)
	}
	return s, nil
}

var units = map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "": time.Millisecond, "s": time.Second, "m": time.Minute,
	"h": time.Hour, "d": 24 * time.Hour}

func period(text string) (time.Duration, bool) {
	number := strings.TrimRight(text, strings.Join(slices.Collect(maps.Keys(units)), ""))
	unit, ok := units[text[len(number):]]
	n, err := strconv.ParseUint(number, 10, 31)
	d := time.Duration(n) * unit
	return d, ok && err == nil && d >= time.Millisecond && d < 1<<31*time.Millisecond
}

// rate counts events in two windows that follow each other: the present one, and the one before, which fades as the present
// one fills. The first window begins with the first event.
type rate struct {
	start     int64 // of the present window
	cur, prev uint64
}

func (r *rate) add(n uint64, period, now int64) {
	switch age := now - r.start; {
	case age < period:
		r.cur += n
	case age < 2*period:
		r.prev, r.cur, r.start = r.cur, n, r.start+period
	default:
		r.prev, r.cur, r.start = 0, n, now
	}
}

// read is the events of the period that ends now. A single event of the window before counts in full until a window without
// one is over: a slow rate does not flap.
func (r *rate) read(period, now int64) uint64 {
	cur, prev, age := r.cur, r.prev, now-r.start
	if age >= period {
		cur, prev, age = 0, cur, age-period
	}
	if age >= period {
		return 0
	}
	if cur == 0 && prev <= 1 {
		return prev
	}
	return cur + uint64(float64(prev)*(float64(period-age)/float64(period)))
}
