package drill

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/internal/lab"
)

// play is one telling of a story: one lab, one cast, one version.
type play struct {
	*segment
	story   string
	cast    string // programs of the hosts in their order: "RK"
	version int
	advert  time.Duration // advert_int of what conf and instance write
	names   names
	daemons map[string]*daemon
	steps   []step
	faults  []string // times that don't fit their formula, what never came
}

// step is a moment at which the play did something.
type step struct {
	at   time.Time
	what string
}

// abandoned ends a telling whose next event never came.
type abandoned string

// await waits for the nth frame after since that matches, with a patience that is long for what stories wait for.
func (p *play) await(since time.Time, what string, n int, match func(frame) bool) frame {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	f, err := p.wire.r.await(ctx, n, since, match)
	if err != nil {
		panic(abandoned(fmt.Sprintf("%s: %v", what, err)))
	}
	return f
}

// whose names the lab's interfaces and addresses by their hosts.
func (p *play) whose() names {
	p.t.Helper()
	n := names{hw: map[[6]byte]string{}, ip: map[netip.Addr]string{}}
	for name, h := range p.hosts {
		p.meet(n, name, h, "eth0")
	}
	return n
}

// meet adds the addresses of an interface, and the link-local one that the kernel makes of its hardware address.
func (p *play) meet(n names, name string, h *lab.Host, dev string) {
	p.t.Helper()
	var hw [6]byte
	p.Must(h.Do(func() error {
		i, err := net.InterfaceByName(dev)
		if err == nil {
			hw = [6]byte(i.HardwareAddr)
		}
		return err
	}))
	n.hw[hw] = name
	n.ip[netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: hw[0] ^ 2, 9: hw[1], 10: hw[2], 11: 0xff, 12: 0xfe, 13: hw[3], 14: hw[4], 15: hw[5]})] = name
	on, err := h.Addrs(dev)
	p.Must(err)
	for _, a := range on {
		n.ip[a.Addr()] = name
	}
}

// second gives the hosts an interface eth1 on a switch of its own, which is recorded too.
func (p *play) second() {
	p.t.Helper()
	for name := range p.daemons {
		h := p.host(name)
		p.Attach(h, "second", "eth1", "10.92.0."+strconv.Itoa(int(name[0]-'a'+1))+"/24")
		p.meet(p.names, name+".eth1", h, "eth1")
		p.Must(p.wire.r.tap(h, "eth1"))
	}
}

// conf is conf for the play's version. The second burst of gratuitous ARPs comes after two seconds unless words say more.
func (p *play) conf(c settings) string {
	c.words += p.common(c.words)
	c.advert = fmt.Sprint(p.advert.Seconds())
	if p.version == 3 {
		c.auth = "-"
	}
	return conf(c)
}

// common are words that every instance has.
func (p *play) common(words string) string {
	out := ""
	if !strings.Contains(words, "garp_master_delay") {
		out += "\n  garp_master_delay 2"
	}
	if p.version == 3 {
		out += "\n  version 3"
	}
	return out + "\n"
}

// instance is one more vrrp_instance, without authentication.
func (p *play) instance(name, dev string, vrid, priority int, vip, words string) string {
	return fmt.Sprintf(`vrrp_instance %s {
  interface %s
  virtual_router_id %d
  priority %d
  advert_int %v
  virtual_ipaddress {
    %s
  }
  %s
}
`, name, dev, vrid, priority, p.advert.Seconds(), vip, words+p.common(words))
}

// skew is SkewTime of the play's version: RFC 3768, section 6.1; RFC 5798, section 6.1.
func (p *play) skew(priority int) time.Duration {
	if p.version == 3 {
		return time.Duration(256-priority) * p.advert / 256
	}
	return skew(priority)
}

// down is MasterDownInterval of the play's version.
func (p *play) down(priority int) time.Duration { return 3*p.advert + p.skew(priority) }

// step notes that the play does something now.
func (p *play) step(format string, args ...any) time.Time {
	at := time.Now()
	p.steps = append(p.steps, step{at, fmt.Sprintf(format, args...)})
	return at
}

// begin starts a host's daemon and tells when it was first heard, usually when it joined the group: what a busy machine
// needs to start a program is not the program's.
func (p *play) begin(host string, c settings) time.Time {
	p.t.Helper()
	at := p.step("start %s", host)
	p.daemons[host].again(p.conf(c))
	if strings.Contains(c.words, "unicast_peer") {
		return p.daemons[host].said(at.Add(-time.Second), "Entering BACKUP STATE")
	}
	f := p.await(at, "sign of "+host, 1, func(f frame) bool { return f.host == host })
	return f.at.Add(-time.Microsecond)
}

// term stops a host's daemon and waits for its end.
func (p *play) term(host string) time.Time {
	p.t.Helper()
	at := p.step("stop %s", host)
	p.daemons[host].stop()
	return at
}

// again reloads a host's daemon with another configuration.
func (p *play) again(host string, c settings) time.Time {
	p.t.Helper()
	p.daemons[host].write("keepalived.conf", p.conf(c), 0o644)
	at := p.step("reload %s", host)
	p.daemons[host].signal(unix.SIGHUP)
	return at
}

// link pulls or plugs a host's cable.
func (p *play) link(host, dev string, up bool) time.Time {
	p.t.Helper()
	at := p.step("link %s of %s up: %t", dev, host, up)
	p.Must(p.host(host).Port(dev).Carrier(up))
	return at
}

// cut parts a host from all others, or joins it again.
func (p *play) cut(host string, off bool) time.Time {
	p.t.Helper()
	at := p.step("%s cut off: %t", host, off)
	if off {
		p.Must(p.host(host).Cut())
	} else {
		p.Must(p.host(host).Heal())
	}
	return at
}

// kill ends a host's daemon so that it can't tidy up.
func (p *play) kill(host string) time.Time {
	p.t.Helper()
	at := p.step("kill %s", host)
	p.daemons[host].kill()
	return at
}

// well and ill make a host's script (checked) succeed and fail.
func (p *play) well(host string) time.Time {
	p.t.Helper()
	at := p.step("script of %s succeeds", host)
	p.daemons[host].write("ok", "", 0o644)
	return at
}

func (p *play) ill(host string) time.Time {
	p.t.Helper()
	at := p.step("script of %s fails", host)
	p.daemons[host].remove("ok")
	return at
}

// checked is a script that succeeds while there is a file ok.
func checked(weight int) string {
	return fmt.Sprintf(`vrrp_script ok {
  script "/usr/bin/test -e /run/ok"
  interval 1
  weight %d
}
`, weight)
}

// first waits for a host's first frame of a kind after since; of adverts, those of the first virtual router.
func (p *play) first(host string, k kind, since time.Time) frame {
	p.t.Helper()
	return p.await(since, fmt.Sprintf("%s of %s", k, host), 1, func(f frame) bool {
		return f.host == host && f.kind == k && (f.vrid == 51 || !isAdvert(f))
	})
}

// settled waits until a host that began to speak after since has announced its addresses twice, n frames in all, and
// until half an interval after its next advert: then nothing is in the air, and what is done next is done at the same
// phase in every telling.
func (p *play) settled(host string, since time.Time, n int) frame {
	p.t.Helper()
	one := p.first(host, kindAdvert, since)
	p.spoke(host, since, n)
	p.beat(host, 1)
	return one
}

// spoke waits for n announcements of addresses.
func (p *play) spoke(host string, since time.Time, n int) {
	p.t.Helper()
	if n > 0 {
		p.await(since, fmt.Sprintf("%d announcements of %s", n, host), n, func(f frame) bool {
			return f.host == host && (f.kind == kindRequest || f.kind == kindReply || f.kind == kindNA)
		})
	}
}

// beat waits for n adverts of a host more, and half an interval.
func (p *play) beat(host string, n int) {
	p.t.Helper()
	p.phase(host, n, 0.5)
}

// phase is beat with another part of an interval: where two hosts' adverts would come at nearly the same time, it parts them.
func (p *play) phase(host string, n int, part float64) {
	p.t.Helper()
	f := p.await(time.Now(), "adverts of "+host, n, func(f frame) bool {
		return f.host == host && f.kind == kindAdvert && f.vrid == 51
	})
	p.after(f.at.Add(time.Duration(part * float64(f.interval))))
}

// last is a host's last frame of a kind before a time.
func (p *play) last(host string, k kind, before time.Time) time.Time {
	p.t.Helper()
	var at time.Time
	for _, f := range p.wire.r.all() {
		if f.host == host && f.kind == k && f.at.Before(before) {
			at = f.at
		}
	}
	if at.IsZero() {
		panic(abandoned(fmt.Sprintf("no %s of %s", k, host)))
	}
	return at
}

// took is took for this play.
func (p *play) took(what string, since, at time.Time, want time.Duration) {
	p.t.Helper()
	if d := at.Sub(since); d < want-toleranceOf(p.t) || d > want+toleranceOf(p.t) {
		p.faults = append(p.faults, fmt.Sprintf("%s: %s took %v, want %v", p.cast, what, d.Round(time.Millisecond), want))
	}
}
