// Package stolen tells how much of the processors' time the host of a virtual machine took for others, so that who measures
// times knows when not to believe them.
package stolen

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strconv"
)

// Max is how much of the processors' time, in percent, others may have taken from this machine while times are
// measured. A virtual machine whose host gives its processors away for tens of milliseconds answers that much later,
// whatever runs on it.
const Max = 10.0

// Processors is the time of all processors so far, in ticks.
type Processors struct{ total, stolen uint64 }

// Of makes a Processors of so many ticks, of which so many were stolen.
func Of(total, taken uint64) Processors { return Processors{total, taken} }

// Look reads them.
func Look() (Processors, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Processors{}, err
	}
	return parse(stat)
}

// parse reads the first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq and steal; guests' time
// that follows is in user's already.
func parse(stat []byte) (Processors, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return Processors{}, errors.New("/proc/stat does not begin with the processors' times")
	}
	var p Processors
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return Processors{}, errors.New("/proc/stat: " + err.Error())
		}
		p.total += n
		if i == 7 {
			p.stolen = n
		}
	}
	return p, nil
}

// Since is the share that was stolen, in percent, to a tenth.
func (p Processors) Since(before Processors) float64 {
	if p.total <= before.total || p.stolen < before.stolen {
		return 0
	}
	return math.Round(float64(p.stolen-before.stolen)/float64(p.total-before.total)*1000) / 10
}
