package engine

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http3"
)

const (
	backlog      = 4096
	acceptBurst  = 64
	pauseFor     = 10 * time.Millisecond
	deferSeconds = 1
)

// group is one bind: a listening socket per loop, all on one address by SO_REUSEPORT. Whose it is and what is expected of
// its connections may change.
type group struct {
	place  place
	bind   atomic.Pointer[bindConf]
	conn   gauge   // connections
	fds    []int32 // of loop i
	inodes []uint64
	file   fileID          // of a Unix socket
	quic   *http3.Listener // of QUIC, once it is served; the socket is its own then
}

// acceptor is a loop's socket of a group.
type acceptor struct {
	group  *group
	fd     int32
	paused bool
	timer  timer
	loop   *loop
	talks  map[talkKey]*session // of UDP
}

// listen opens a group's sockets; with an error none stays open.
func listen(p place, b *proxy.Bind, n int) (*group, error) {
	g := &group{place: p}
	if b.Unix != "" {
		if err := listenUnix(g, b, n); err != nil {
			g.close()
			return nil, err
		}
		return g, nil
	}
	if p.quic {
		n = 1 // connections are told apart by what is in their packets
	}
	for range n {
		fd, err := listenOne(g.place, b)
		if err != nil {
			g.close()
			return nil, err
		}
		g.fds = append(g.fds, int32(fd))
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err == nil {
			g.inodes = append(g.inodes, st.Ino)
		}
	}
	return g, nil
}

func (g *group) close() {
	for _, fd := range g.fds {
		sysClose(fd)
	}
	g.fds = nil
	g.remove()
}

func listenOne(p place, b *proxy.Bind) (int, error) {
	fd, err := bound(p)
	if err != nil {
		return -1, err
	}
	if p.dgram {
		return fd, nil
	}
	if err := listenWith(fd, b); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func listenWith(fd int, b *proxy.Bind) error {
	n := backlog
	if b.Backlog > 0 {
		n = b.Backlog
	}
	if err := unix.Listen(fd, n); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// bound is a socket of an address that does not listen yet.
func bound(p place) (fd int, err error) {
	addr, v6 := p.addr, p.six()
	family := unix.AF_INET
	var sa unix.Sockaddr = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: [4]byte{}}
	if v6 {
		family = unix.AF_INET6
		sa = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	} else if ip := addr.Addr().Unmap(); ip.Is4() {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	}
	kind := unix.SOCK_STREAM
	if p.dgram {
		kind = unix.SOCK_DGRAM
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	for _, o := range listenOptions(p) {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return -1, fmt.Errorf("%s: %w", o.text, err)
		}
	}
	if p.device != "" {
		if err := unix.BindToDevice(fd, p.device); err != nil {
			return -1, fmt.Errorf("interface %s: %w", p.device, err)
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, fmt.Errorf("bind: %w", err)
	}
	return fd, nil
}

type sockOption struct {
	level, name, value int
	text               string
}

// listenOptions: a standby binds the virtual address before it has it (FREEBIND), and every loop has its own socket.
func listenOptions(p place) []sockOption {
	os := []sockOption{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1, "SO_REUSEADDR"},
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT"},
	}
	if !p.dgram {
		os = append(os, sockOption{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, "TCP_NODELAY"})
	}
	level, free, transparent, told := unix.IPPROTO_IP, unix.IP_FREEBIND, unix.IP_TRANSPARENT, unix.IP_PKTINFO
	if p.six() {
		only := 1
		if p.dual {
			only = 0
		}
		os = append(os, sockOption{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only, "IPV6_V6ONLY"})
		level, free, transparent, told = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, unix.IPV6_TRANSPARENT, unix.IPV6_RECVPKTINFO
	}
	os = append(os, sockOption{level, free, 1, "IP_FREEBIND"})
	if p.dgram && p.addr.Addr().IsUnspecified() { // answers come from the address that was asked
		os = append(os, sockOption{level, told, 1, "IP_PKTINFO"})
	}
	if p.transparent {
		os = append(os, sockOption{level, transparent, 1, "IP_TRANSPARENT"})
	}
	return os
}

// deferAccept lets the kernel hold connections back until they say something; for protocols where the client begins.
func deferAccept(fd int32, on bool) {
	v := 0
	if on {
		v = deferSeconds
	}
	unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, v)
}

// listenOn starts accepting on the loop's socket of a group.
func (l *loop) listenOn(g *group) {
	if g.place.quic || g.fds == nil { // no loop's, or closed before the loop ran
		return
	}
	fd := g.fds[l.id]
	a := &acceptor{group: g, fd: fd, loop: l}
	a.timer.owner = a
	for int(fd) >= len(l.accepts) {
		l.accepts = append(l.accepts, make([]*acceptor, 16)...)
	}
	l.accepts[fd] = a
	l.watch(a)
}

// watch asks for events of a listening socket. One that all loops share wakes one of them for each connection.
func (l *loop) watch(a *acceptor) {
	events := uint32(unix.EPOLLIN)
	if a.group.place.unix != "" {
		events |= unix.EPOLLEXCLUSIVE
	}
	sysEpollAdd(l.ep, a.fd, 0, events)
}

// unlisten takes in who has been let in by the kernel already, then closes the socket.
func (l *loop) unlisten(a *acceptor) {
	for _, s := range a.talks { // they have no socket but this one
		s.abort()
	}
	if !l.stopped && !a.group.place.dgram {
		for l.acceptOne(a) {
		}
	}
	l.wheel.remove(&a.timer)
	l.accepts[a.fd] = nil
	sysClose(a.fd)
}

// incoming takes in what waits at a listening socket.
func (l *loop) incoming(a *acceptor) {
	if a.group.place.dgram {
		l.receive(a)
		return
	}
	for range acceptBurst {
		if !l.acceptOne(a) {
			return
		}
	}
}

// acceptOne is false when there is nobody, or no room: then the kernel's backlog holds who comes.
func (l *loop) acceptOne(a *acceptor) bool {
	if a.paused {
		return false
	}
	e := l.e
	fe := a.group.bind.Load().fe
	if e.conns.add() > e.maxConn.Load() || fe.limited() || a.group.limited() || !l.mayAccept(fe) {
		e.conns.sub()
		l.pause(a)
		return false
	}
	fd, peer, errno := sysAccept(a.fd)
	if errno != 0 {
		e.conns.sub()
		if errno == unix.EMFILE || errno == unix.ENFILE || errno == unix.ENOMEM || errno == unix.ENOBUFS {
			if errno == unix.EMFILE && l.shedIdle() {
				return true
			}
			l.pause(a)
			if l.fails.allow(l.now) {
				e.log.Error("cannot accept connections", "frontend", fe.name, "error", errno)
			}
		}
		return errno == unix.ECONNABORTED || errno == unix.EINTR
	}
	if !peer.IsValid() {
		peer = netip.AddrPortFrom(netip.Addr{}, a.group.bind.Load().number) // all that is known of a client on a Unix socket
	}
	l.accepted++
	e.accepts.count(l.now, e.connRate.Load())
	fe.rate.count(l.now, fe.conf.Load().rate)
	l.begin(a, fd, peer)
	return true
}

// limited reports whether a frontend is at its maxconn.
func (fe *frontend) limited() bool {
	limit := fe.conf.Load().maxConn
	return limit > 0 && fe.conn.cur.Load() >= limit
}

// limited reports whether an address is at its own maxconn.
func (g *group) limited() bool {
	limit := g.bind.Load().maxConn
	return limit > 0 && g.conn.cur.Load() >= limit
}

// mayAccept reports whether rates and memory let one more in; what is not let in waits in the kernel's backlog.
func (l *loop) mayAccept(fe *frontend) bool {
	if !l.roomForConn() {
		l.noRoom("connection")
		return false
	}
	return l.e.accepts.open(l.now, l.e.connRate.Load()) && fe.rate.open(l.now, fe.conf.Load().rate)
}

// pause stops listening to a socket for a moment; a connection that ends on this loop ends the pause.
func (l *loop) pause(a *acceptor) {
	a.paused = true
	sysEpollDel(l.ep, a.fd)
	l.paused = append(l.paused, a)
	l.wheel.add(&a.timer, (l.now+int64(pauseFor))/int64(time.Millisecond))
}

func (a *acceptor) expired() { a.loop.resume() }

func (l *loop) resume() {
	if len(l.paused) == 0 || l.stopped {
		return
	}
	for _, a := range l.paused {
		if l.accepts[a.fd] != a {
			continue
		}
		a.paused = false
		l.wheel.remove(&a.timer)
		l.watch(a)
	}
	l.paused = l.paused[:0]
}
