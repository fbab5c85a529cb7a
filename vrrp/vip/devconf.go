package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Settings of an interface that go by netlink (linux/ip.h, IPV4_DEVCONF_*), so that a read-only /proc/sys does not matter.
var devconf = map[string]uint16{
	"rp_filter": 8, "arp_filter": 13, "arp_ignore": 19, "promote_secondaries": 20, "accept_local": 23,
}

const (
	inetConf           = 1 // IFLA_INET_CONF
	inet6AddrGenMode   = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone        = 1 // IN6_ADDR_GEN_MODE_NONE
	promoteSecondaries = "promote_secondaries"
)

// linkLocalReports says whether IGMP tells of groups in 224.0.0.0/24 (Linux's ip-sysctl); it is no interface's.
const linkLocalReports = "igmp_link_local_mcast_reports"

// knob is one setting of the kernel about an interface; Dev "all" is everybody's, "" means that it is about none.
type knob struct {
	Dev string
	Key string // of net.ipv4.conf, or with the prefix "ipv6/" of net.ipv6.conf
}

// path is where the setting stands below /proc/sys.
func (k knob) path() string {
	family := "ipv4"
	key, six := strings.CutPrefix(k.Key, "ipv6/")
	if six {
		family = "ipv6"
	}
	if k.Dev == "" {
		return filepath.Join("/proc/sys/net", family, key)
	}
	return filepath.Join("/proc/sys/net", family, "conf", k.Dev, key)
}

// byNetlink reports whether netlink carries the setting: all but everybody's and IPv6's.
func (k knob) byNetlink() bool { return k.Dev != "all" && k.Dev != "default" && devconf[k.Key] != 0 }

// readKnob reads a setting.
func (c *conn) readKnob(k knob) (int, error) {
	if !k.byNetlink() {
		b, err := os.ReadFile(k.path())
		if err != nil {
			return 0, fmt.Errorf("kernel setting: %w", err)
		}
		return strconv.Atoi(strings.TrimSpace(string(b)))
	}
	index, err := c.index(k.Dev)
	if err != nil {
		return 0, err
	}
	info, err := c.linkInfo(index)
	if err != nil {
		return 0, err
	}
	at := 4 * (int(devconf[k.Key]) - 1)
	if len(info.inet) < at+4 {
		return 0, &LinkError{Dev: k.Dev, Err: fmt.Errorf("the kernel does not tell %s", k.Key)}
	}
	return int(int32(binary.NativeEndian.Uint32(info.inet[at:]))), nil
}

// writeKnob changes a setting.
func (c *conn) writeKnob(k knob, value int) error {
	if !k.byNetlink() {
		if err := os.WriteFile(k.path(), strconv.AppendInt(nil, int64(value), 10), 0o644); err != nil {
			return fmt.Errorf("kernel setting: %w", err)
		}
		return nil
	}
	index, err := c.index(k.Dev)
	if err != nil {
		return err
	}
	c.reset()
	c.inet(index, devconf[k.Key], value)
	return c.one("set " + k.Key + " of " + k.Dev)
}

// one flushes a batch of one request.
func (c *conn) one(what string) error {
	results, err := c.flush()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", what, errSocket, err)
	}
	if err := errors.Join(results...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// inet appends a request that changes a setting of an interface.
func (c *conn) inet(index int, key uint16, value int) {
	at := c.begin(unix.RTM_SETLINK, unix.NLM_F_ACK)
	c.ifinfo(index)
	spec := c.nest(unix.IFLA_AF_SPEC)
	inet := c.nest(unix.AF_INET)
	conf := c.nest(inetConf)
	c.uint32(key, uint32(value))
	c.unnest(conf)
	c.unnest(inet)
	c.unnest(spec)
	c.end(at)
}

// promote appends a request that lets the interface keep the other addresses of a subnet when its first one goes.
func (c *conn) promote(index int) { c.inet(index, devconf[promoteSecondaries], 1) }

// linkInfo is what one link's message tells.
type linkInfo struct {
	name  string
	kind  string // macvlan, ipvlan, veth...
	base  int    // of a link upon another
	mac   []byte
	inet  []byte // IPv4 settings, by number - 1
	flags uint32
}

// linkInfo asks for one link.
func (c *conn) linkInfo(index int) (linkInfo, error) {
	var found linkInfo
	c.reset()
	at := c.begin(unix.RTM_GETLINK, 0)
	c.ifinfo(index)
	c.end(at)
	seq := c.seq
	err := unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	c.reset()
	if err != nil {
		return found, fmt.Errorf("%w: %w", errSocket, err)
	}
	var failed error
	for answered := false; !answered; {
		err := c.receive(func(m message) {
			if m.seq != seq || answered {
				return
			}
			answered = true
			if m.kind == unix.NLMSG_ERROR {
				failed = m.err()
				return
			}
			found = parseLinkInfo(m.data)
		})
		if err != nil {
			return found, fmt.Errorf("%w: %w", errSocket, err)
		}
	}
	if errors.Is(failed, unix.ENODEV) {
		failed = ErrNoInterface
	}
	return found, failed
}

func parseLinkInfo(b []byte) (l linkInfo) {
	if len(b) < unix.SizeofIfInfomsg {
		return l
	}
	l.flags = binary.NativeEndian.Uint32(b[8:])
	attrs(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(v)
		case kind == unix.IFLA_LINK && len(v) >= 4:
			l.base = int(int32(binary.NativeEndian.Uint32(v)))
		case kind == unix.IFLA_ADDRESS:
			l.mac = append([]byte(nil), v...)
		case kind == unix.IFLA_LINKINFO:
			attrs(v, func(kind uint16, v []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.kind = unix.ByteSliceToString(v)
				}
			})
		case kind == unix.IFLA_AF_SPEC:
			attrs(v, func(family uint16, v []byte) {
				if family == unix.AF_INET {
					attrs(v, func(kind uint16, v []byte) {
						if kind == inetConf {
							l.inet = append([]byte(nil), v...)
						}
					})
				}
			})
		}
	})
	return l
}
