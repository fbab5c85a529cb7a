package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// wrkResult is what wrk says of its run.
type wrkResult struct {
	requests int64
	perSec   float64
	p50, p99 float64 // milliseconds
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkPerSec   = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)$`)
	wrkP50      = regexp.MustCompile(`(?m)^\s*50%\s+([0-9.]+)(us|ms|s|m)$`)
	wrkP99      = regexp.MustCompile(`(?m)^\s*99%\s+([0-9.]+)(us|ms|s|m)$`)
	wrkTrouble  = regexp.MustCompile(`(?m)^\s*((?:Socket errors|Non-2xx).*)$`)
)

// parseWrk reads wrk's report. A run with errors is no measurement.
func parseWrk(out string) (wrkResult, error) {
	var r wrkResult
	if m := wrkTrouble.FindStringSubmatch(out); m != nil {
		return r, fmt.Errorf("wrk: %s", m[1])
	}
	requests, perSec := wrkRequests.FindStringSubmatch(out), wrkPerSec.FindStringSubmatch(out)
	p50, p99 := wrkP50.FindStringSubmatch(out), wrkP99.FindStringSubmatch(out)
	if requests == nil || perSec == nil || p50 == nil || p99 == nil {
		return r, fmt.Errorf("wrk said something else than usual: %q", out)
	}
	var err error
	if r.requests, err = strconv.ParseInt(requests[1], 10, 64); err != nil || r.requests == 0 {
		return r, fmt.Errorf("wrk: %q requests", requests[1])
	}
	if r.perSec, err = strconv.ParseFloat(perSec[1], 64); err != nil {
		return r, fmt.Errorf("wrk: %w", err)
	}
	for _, p := range []struct {
		to   *float64
		from []string
	}{{&r.p50, p50}, {&r.p99, p99}} {
		d, err := time.ParseDuration(p.from[1] + p.from[2])
		if err != nil {
			return r, fmt.Errorf("wrk: %w", err)
		}
		*p.to = d.Seconds() * 1000
	}
	return r, nil
}

// median is the middle value, of an even number the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
