package drill

import (
	"fmt"
	"strings"
	"time"
)

// instance is a vrrp_instance of a configuration with more than one, or with more to it than settings has. What is empty
// is as section 7 has it: eth0, VRID 51, advert_int 1, PASS test.
type instance struct {
	name     string
	dev      string
	vrid     int
	priority int
	advert   string
	auth     string   // the password, "-": none
	vips     []string // with their lengths
	words    string   // lines
}

// file is a keepalived.conf of lines of global_defs, blocks before the instances, and instances.
func file(global, before string, all ...instance) string {
	var out strings.Builder
	fmt.Fprintf(&out, "global_defs {\n  script_user root\n  %s\n}\n%s\n", global, before)
	for _, i := range all {
		i = i.filled()
		fmt.Fprintf(&out, "vrrp_instance %s {\n  interface %s\n  virtual_router_id %d\n  priority %d\n  advert_int %s\n",
			i.name, i.dev, i.vrid, i.priority, i.advert)
		if i.auth != "-" {
			fmt.Fprintf(&out, "  authentication {\n    auth_type PASS\n    auth_pass %s\n  }\n", i.auth)
		}
		fmt.Fprintf(&out, "  virtual_ipaddress {\n    %s\n  }\n  %s\n}\n", strings.Join(i.vips, "\n    "), i.words)
	}
	return out.String()
}

func (i instance) filled() instance {
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	or(&i.name, "VI_1")
	or(&i.dev, "eth0")
	or(&i.advert, "1")
	or(&i.auth, "test")
	if i.vrid == 0 {
		i.vrid = 51
	}
	if i.vips == nil {
		i.vips = []string{vip + "/24"}
	}
	return i
}

// of matches adverts of a host for a virtual router.
func of(host string, vrid int) func(frame) bool {
	return func(f frame) bool { return isAdvert(f) && f.host == host && int(f.vrid) == vrid }
}

// zero matches adverts of priority 0 of a host for a virtual router.
func zero(host string, vrid int) func(frame) bool {
	return func(f frame) bool { return of(host, vrid)(f) && f.kind == kindZero }
}

// spoke waits for a host's first advert for a virtual router after since, other than one of priority 0, and tells when it
// was: a take-over is counted on the wire.
func (s *segment) spoke(host string, vrid int, since time.Time) time.Time {
	s.t.Helper()
	return s.wire.await(since, fmt.Sprintf("advert of %s for %d", host, vrid), 1, func(f frame) bool {
		return of(host, vrid)(f) && f.kind == kindAdvert
	}).at
}

// contended is how long an address may take to come or go that has that long by the daemon's doing. The kernel has one lock
// for all interfaces of all labs: beside others that are built and taken down an address waits for its turn.
func contended(d time.Duration) time.Duration {
	if fine() {
		return d
	}
	return d + time.Second
}
