package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

const (
	// idleSettle passes between the moment the cluster stands and the measuring: the last of the start is over by then,
	// gratuitous ARP's second round too.
	idleSettle = 6 * time.Second
	idleSpan   = 10 * time.Second
	// idleSpans are measured, one after the other. What else runs on the machine, or on the one that lends it its
	// processors, only adds to what a process seems to use: the least is nearest to what it does use.
	idleSpans = 3
	// ticksPerSecond is the unit of processor time in /proc/PID/stat; Linux shows it to programs as 100 everywhere.
	ticksPerSecond = 100
)

// What an idle cluster may cost: its processes together, in percent of one core, and each node's, in MB (10^6 bytes).
const (
	idleCPUMax = 5.0
	idleMemMax = 60.0
)

// Usage is what the processes of one node, agent and guard, cost while nobody asked them anything.
type Usage struct {
	Node       string  `json:"node"`
	Processes  int     `json:"processes"`
	CPUPercent float64 `json:"cpu_percent"` // of one core
	RSS        float64 `json:"rss_mb"`      // MB resident, the program's text in each process it runs in
	RSSAnon    float64 `json:"rss_anon_mb"` // MB of it that is no file's
}

// IdleReport is what a cluster cost that was left alone.
type IdleReport struct {
	Seconds    float64   `json:"seconds"`
	CPUPercent float64   `json:"cpu_percent"` // all nodes together, of one core, in the span that had least
	Spans      []float64 `json:"spans"`       // the same of each span measured
	Nodes      []Usage   `json:"nodes"`
}

// Idle starts a cluster as Run does, leaves it alone with its checks and its addresses, and measures what its processes cost
// meanwhile. It must run inside lab.Enter.
func Idle(ctx context.Context, dir string, agents Agents) (IdleReport, error) {
	s, err := newStage(Options{Fail: Kill, Dir: dir, View: Silent{}}, agents)
	if err != nil {
		return IdleReport{}, err
	}
	report, err := s.idle(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w%s", err, s.agentsSaid())
	}
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	return report, err
}

func (s *stage) idle(ctx context.Context) (IdleReport, error) {
	for _, act := range []func(context.Context) error{s.raise, s.settle} {
		if err := act(ctx); err != nil {
			return IdleReport{}, err
		}
	}
	ctx, release := s.whileAllRun(ctx)
	defer release()
	if err := pause(ctx, idleSettle); err != nil {
		return IdleReport{}, context.Cause(ctx)
	}
	var all []IdleReport
	for range idleSpans {
		r, err := s.idleSpan(ctx)
		if err != nil {
			return IdleReport{}, err
		}
		all = append(all, r)
	}
	return least(all), nil
}

func (s *stage) idleSpan(ctx context.Context) (IdleReport, error) {
	before, err := s.usage()
	if err != nil {
		return IdleReport{}, err
	}
	began := time.Now()
	if err := pause(ctx, idleSpan); err != nil {
		return IdleReport{}, context.Cause(ctx)
	}
	after, err := s.usage()
	if err != nil {
		return IdleReport{}, err
	}
	return idleReport(time.Since(began), before, after)
}

// least returns the report of the span that had least, with the figures of all.
func least(all []IdleReport) IdleReport {
	best := slices.MinFunc(all, func(a, b IdleReport) int { return cmp.Compare(a.CPUPercent, b.CPUPercent) })
	for _, r := range all {
		best.Spans = append(best.Spans, r.CPUPercent)
	}
	return best
}

// idleReport compares two looks at the nodes.
func idleReport(span time.Duration, before, after []nodeUse) (IdleReport, error) {
	r := IdleReport{Seconds: tenth(span.Seconds())}
	total := 0.0
	for i, now := range after {
		u := Usage{Node: now.node, Processes: len(now.procs)}
		ticks := uint64(0)
		for pid, p := range now.procs {
			was, ok := before[i].procs[pid]
			if !ok || len(before[i].procs) != len(now.procs) {
				return r, fmt.Errorf("%s: processes came or went while it idled", now.node)
			}
			ticks += p.ticks - was.ticks
			u.RSS += p.rss
			u.RSSAnon += p.anon
		}
		percent := float64(ticks) / ticksPerSecond / span.Seconds() * 100
		total += percent
		u.CPUPercent, u.RSS, u.RSSAnon = tenth(percent), tenth(u.RSS), tenth(u.RSSAnon)
		r.Nodes = append(r.Nodes, u)
	}
	r.CPUPercent = tenth(total)
	return r, nil
}

// Faults lists what costs more than promised, nothing if all is well.
func (r IdleReport) Faults() []string {
	var out []string
	if r.CPUPercent >= idleCPUMax {
		out = append(out, fmt.Sprintf("cpu_percent %.1f of all nodes together, under %.0f promised", r.CPUPercent, idleCPUMax))
	}
	for _, u := range r.Nodes {
		if u.RSS >= idleMemMax {
			out = append(out, fmt.Sprintf("rss_mb %.1f on %s, under %.0f promised", u.RSS, u.Node, idleMemMax))
		}
	}
	return out
}

// Print writes the table, each figure over the nodes and the processor time of all of them, and what is worse than promised.
func (r IdleReport) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nidle, %d nodes, %.0f s\tmin\tmedian\tmax\tall\n", len(r.Nodes), r.Seconds)
	for _, figure := range []struct {
		name string
		of   func(Usage) float64
		all  string
	}{
		{"cpu_percent", func(u Usage) float64 { return u.CPUPercent }, fmt.Sprintf("%g", r.CPUPercent)},
		{"rss_mb", func(u Usage) float64 { return u.RSS }, ""},
		{"rss_anon_mb", func(u Usage) float64 { return u.RSSAnon }, ""},
		{"processes", func(u Usage) float64 { return float64(u.Processes) }, ""},
	} {
		var all []float64
		for _, u := range r.Nodes {
			all = append(all, figure.of(u))
		}
		slices.Sort(all)
		fmt.Fprintf(t, "  %s\t%g\t%g\t%g\t%s\n", figure.name, all[0], all[len(all)/2], all[len(all)-1], figure.all)
	}
	if len(r.Spans) > 1 {
		fmt.Fprintf(t, "  the least of %v: other work on the machine only adds\n", r.Spans)
	}
	for _, f := range r.Faults() {
		fmt.Fprintf(t, "  NOT GOOD: %s\n", f)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// checkIdle measures in a folder of its own, prints the table and says whether all is as promised.
func checkIdle(ctx context.Context, w io.Writer, dir string, agents Agents) (good bool, err error) {
	own, err := os.MkdirTemp(dir, "idle-")
	if err != nil {
		return false, err
	}
	r, err := Idle(ctx, own, agents)
	if rm := os.RemoveAll(own); err == nil {
		err = rm
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		fmt.Fprintf(w, "idle: %v\n", err)
		return false, nil
	}
	return len(r.Faults()) == 0, r.Print(w)
}

// nodeUse is what the processes of a node have used so far.
type nodeUse struct {
	node  string
	procs map[int]processUse
}

type processUse struct {
	ticks     uint64
	rss, anon float64 // MB
}

// usage looks at every process of every node.
func (s *stage) usage() ([]nodeUse, error) {
	var out []nodeUse
	for _, n := range s.nodes {
		u, err := useOf(n.Name, s.hosts[n.Name])
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func useOf(name string, h *lab.Host) (nodeUse, error) {
	pids, err := h.Pids()
	if err != nil {
		return nodeUse{}, err
	}
	u := nodeUse{node: name, procs: make(map[int]processUse, len(pids))}
	for _, pid := range pids {
		folder := "/proc/" + strconv.Itoa(pid)
		stat, err := os.ReadFile(folder + "/stat")
		if err != nil {
			return nodeUse{}, err
		}
		status, err := os.ReadFile(folder + "/status")
		if err != nil {
			return nodeUse{}, err
		}
		if u.procs[pid], err = parseUse(stat, status); err != nil {
			return nodeUse{}, fmt.Errorf("%s: %w", folder, err)
		}
	}
	return u, nil
}

// parseUse reads utime and stime, fields 14 and 15 of proc_pid_stat(5), and the memory of proc_pid_status(5).
func parseUse(stat, status []byte) (processUse, error) {
	var p processUse
	// The second field is the program's name in parentheses and may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return p, errors.New("stat has too few fields")
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return p, fmt.Errorf("stat: %w", err)
		}
		p.ticks += n
	}
	var err error
	if p.rss, err = statusMB(status, "VmRSS:"); err != nil {
		return p, err
	}
	p.anon, err = statusMB(status, "RssAnon:")
	return p, err
}

// statusMB is a line of status that is in kB, which there is 1024 bytes.
func statusMB(status []byte, name string) (float64, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			return float64(n) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("status has no %s", name)
}

// tenth rounds to one digit behind the point.
func tenth(f float64) float64 { return float64(int(f*10+0.5)) / 10 }
