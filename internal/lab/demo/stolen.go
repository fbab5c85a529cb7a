package demo

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// stolenMax is how much of the processors' time, in percent, others may have taken from this machine while times are
// measured. A virtual machine whose host gives its processors away for tens of milliseconds answers that much later,
// whatever runs on it.
const stolenMax = 10.0

// processors is the time of all processors so far, in ticks.
type processors struct{ total, stolen uint64 }

// lookProcessors reads them.
func lookProcessors() (processors, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}, err
	}
	return parseProcessors(stat)
}

// parseProcessors reads the first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq and steal; guests' time
// that follows is in user's already.
func parseProcessors(stat []byte) (processors, error) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return processors{}, errors.New("/proc/stat does not begin with the processors' times")
	}
	var p processors
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return processors{}, errors.New("/proc/stat: " + err.Error())
		}
		p.total += n
		if i == 7 {
			p.stolen = n
		}
	}
	return p, nil
}

// since is the share that was stolen, in percent.
func (p processors) since(before processors) float64 {
	if p.total <= before.total || p.stolen < before.stolen {
		return 0
	}
	return tenth(float64(p.stolen-before.stolen) / float64(p.total-before.total) * 100)
}
