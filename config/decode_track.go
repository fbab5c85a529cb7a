package config

import (
	"time"

	"github.com/reeve-lb/reeve/config/tree"
	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/vrrp"
)

// Bounds of weights: a priority is 1 to 254, and a factor may turn all of it around.
const (
	mostWeight = 253
	mostFactor = 254
)

func (d *decoder) script(n tree.Node) {
	s := vrrp.Script{Name: name(n), Interval: time.Second, Rise: 1, Fall: 1, Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "script":
			s.Command, s.Shell = d.command(k)
			if len(s.Command) == 0 && s.Shell == "" {
				d.broken[brokenKey("vrrp_script", s.Name, "script")] = true
			}
			if k.Shell && len(k.Args) > 1 {
				d.user(&s.User, k.Def.Name, k.Pos, k.Args[1:])
			}
		case "user":
			d.user(&s.User, k.Def.Name, k.Pos, k.Args)
		case "weight":
			d.weightInto(&s.Weight, &s.Reverse, k.Args, mostWeight)
		default:
			d.scalar(k, &s)
		}
	}
	if s.Timeout == 0 {
		s.Timeout = s.Interval
	}
	d.doc.VRRP.Scripts = append(d.doc.VRRP.Scripts, s)
}

func (d *decoder) process(n tree.Node) {
	p := vrrp.Process{Name: name(n), Quorum: 1, Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "process":
			p.Command, p.Args = k.Args[0].Text, texts(k.Args[1:])
		case "weight":
			d.weightInto(&p.Weight, &p.Reverse, k.Args, mostFactor)
		case "quorum_max":
			if v, ok := d.value(k); ok {
				if p.QuorumMax = int(v.(int64)); p.QuorumMax == 0 {
					p.QuorumMax = -1
				}
			}
		case "delay":
			if v, ok := d.value(k); ok {
				p.ForkDelay, p.TerminateDelay = v.(time.Duration), v.(time.Duration)
			}
		default:
			d.scalar(k, &p)
		}
	}
	d.doc.VRRP.Processes = append(d.doc.VRRP.Processes, p)
}

func (d *decoder) trackFile(n tree.Node) {
	f := vrrp.File{Name: name(n), Weight: 1, Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "weight":
			d.weightInto(&f.Weight, &f.Reverse, k.Args, mostFactor)
		case "init_file":
			d.initFile(&f, k)
		default:
			if !d.scalar(k, &f) {
				d.broken[brokenKey("track_file", f.Name, k.Def.Name)] = true
			}
		}
	}
	d.doc.VRRP.Files = append(d.doc.VRRP.Files, f)
}

// initFile reads [VALUE] [overwrite].
func (d *decoder) initFile(f *vrrp.File, k tree.Node) {
	f.Init = new(0)
	for _, w := range k.Args {
		if w.Text == "overwrite" {
			f.Overwrite = true
			continue
		}
		n, ok := parseInt(w.Text, false)
		if !ok || n < -1<<31 || n >= 1<<31 {
			d.errorf(w.Pos, "init_file [VALUE] [overwrite]", "%s is no number for 'init_file'", tree.Quote(w.Text))
			continue
		}
		f.Init = new(int(n))
	}
}

// weightInto reads `N [reverse]` of what is tracked.
func (d *decoder) weightInto(weight *int, reverse *bool, ws []tree.Word, most int64) {
	if n, rev, _, ok := d.weight(ws, most, most); ok {
		*weight, *reverse = n, rev || *reverse
	}
}

// weight reads `N [reverse|noreverse]`; more than most, up to clamp, is taken for most.
func (d *decoder) weight(ws []tree.Word, most, clamp int64) (n int, reverse, noReverse, ok bool) {
	if len(ws) == 0 {
		return 0, false, false, false
	}
	v, good := parseInt(ws[0].Text, false)
	if !good || v < -clamp || v > clamp {
		d.errorf(ws[0].Pos, "a number from "+itoa(int(-most))+" to "+itoa(int(most)), "%s is no weight", tree.Quote(ws[0].Text))
		return 0, false, false, false
	}
	if v < -most || v > most {
		d.warnf(ws[0].Pos, "a number from "+itoa(int(-most))+" to "+itoa(int(most)), "the weight %d is taken for %d", v, max(-most, min(most, v)))
		d.ps.As(source.ClassTolerated)
		v = max(-most, min(most, v))
	}
	if len(ws) > 1 {
		if ws[1].Text != "reverse" && ws[1].Text != "noreverse" || len(ws) > 2 {
			w := ws[len(ws)-1]
			d.errorf(w.Pos, "weight N [reverse]", "surplus word %s after the weight", tree.Quote(w.Text))
			return 0, false, false, false
		}
		reverse, noReverse = ws[1].Text == "reverse", ws[1].Text == "noreverse"
	}
	return int(v), reverse, noReverse, true
}

// tracks reads NAME [weight N [reverse|noreverse]], one a line.
func (d *decoder) tracks(n tree.Node, most int64) []vrrp.Track {
	var out []vrrp.Track
	for _, line := range n.Kids {
		t := vrrp.Track{Name: line.Args[0].Text, Pos: line.Pos}
		w, rev, noRev, given, ok := d.tracked(line.Args[1:], most)
		if !ok && !d.opts.Tolerant {
			continue
		}
		if given && ok {
			t.Weight, t.Reverse, t.NoReverse = &w, rev, noRev
		}
		out = append(out, t)
	}
	return out
}

func (d *decoder) trackInterfaces(n tree.Node) []vrrp.TrackInterface {
	var out []vrrp.TrackInterface
	for _, line := range n.Kids {
		if !d.interfaceName(line.Args[0]) {
			continue
		}
		if w, rev, _, _, ok := d.tracked(line.Args[1:], mostWeight); ok || d.opts.Tolerant {
			out = append(out, vrrp.TrackInterface{Name: line.Args[0].Text, Weight: w, Reverse: rev, Pos: line.Pos})
		}
	}
	return out
}

// tracked reads [weight N [reverse|noreverse]] after the name of what is tracked.
func (d *decoder) tracked(ws []tree.Word, most int64) (n int, reverse, noReverse, given, ok bool) {
	if len(ws) == 0 {
		return 0, false, false, false, true
	}
	if ws[0].Text != "weight" {
		d.errorf(ws[0].Pos, "NAME [weight N [reverse]], one a line", "surplus word %s", tree.Quote(ws[0].Text))
		return 0, false, false, false, false
	}
	if len(ws) == 1 {
		d.errorf(ws[0].Pos, "weight N", "'weight' needs a number")
		return 0, false, false, false, false
	}
	n, reverse, noReverse, ok = d.weight(ws[1:], most, mostFactor)
	return n, reverse, noReverse, true, ok
}

func (d *decoder) syncGroup(n tree.Node) {
	g := vrrp.SyncGroup{Name: name(n), Pos: n.Pos}
	for _, k := range n.Kids {
		d.noEffect(k)
		switch k.Def.Name {
		case "group":
			g.Members = append(g.Members, texts(k.Args)...)
		case "track_script":
			g.TrackScripts = append(g.TrackScripts, d.tracks(k, mostWeight)...)
		case "track_interface":
			g.TrackInterfaces = append(g.TrackInterfaces, d.trackInterfaces(k)...)
		case "track_process":
			g.TrackProcesses = append(g.TrackProcesses, d.tracks(k, mostFactor)...)
		case "track_file":
			g.TrackFiles = append(g.TrackFiles, d.tracks(k, mostFactor)...)
		case "global_tracking":
		default:
			if !d.notify(&g, &g.Notifies, k) {
				d.scalar(k, &g)
			}
		}
	}
	d.doc.VRRP.SyncGroups = append(d.doc.VRRP.SyncGroups, g)
}

func (d *decoder) trackGroup(n tree.Node) vrrp.TrackGroup {
	g := vrrp.TrackGroup{Name: name(n), Pos: n.Pos}
	for _, k := range n.Kids {
		g.Members = append(g.Members, texts(k.Args)...)
	}
	return g
}

func (d *decoder) garpGroup(n tree.Node) {
	g := vrrp.GarpGroup{Pos: n.Pos}
	for _, k := range n.Kids {
		switch k.Def.Name {
		case "interface", "interfaces":
			g.Interfaces = append(g.Interfaces, d.interfaceNames(k.Args)...)
		default:
			d.scalar(k, &g)
		}
	}
	if g.GarpInterval == 0 && g.GnaInterval == 0 {
		d.warnf(n.Pos, "write garp_interval 0.001", "this garp_group has no interval and no effect")
		d.ps.As(source.ClassTolerated)
		if d.dialect == words.Keepalived {
			return
		}
	}
	d.doc.VRRP.GarpGroups = append(d.doc.VRRP.GarpGroups, g)
}
