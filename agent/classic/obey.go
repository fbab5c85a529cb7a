package classic

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/vishvananda/netlink"

	"github.com/reeve-lb/reeve/vrrp/dump"
)

// dumpDir is where keepalived writes what signals ask for. It is everybody's directory: see replace.
const dumpDir = "/tmp"

// obey does what a signal other than the end asks for.
func (s *service) obey(sig os.Signal) {
	switch sig {
	case sigReload:
		s.reload()
	case sigData:
		s.log.Info(fmt.Sprintf("Printing VRRP data for process(%d) on signal", os.Getpid()))
		snap := s.snapshot()
		s.write("keepalived", true, ".data", dump.Data(snap))
		s.write("keepalived_parent", true, ".data", dump.ParentData(snap))
	case sigStats:
		s.log.Info(fmt.Sprintf("Printing VRRP stats for process(%d) on signal", os.Getpid()))
		s.write("keepalived", false, ".stats", dump.StatsText(s.snapshot()))
	case sigStatsClear:
		s.log.Info(fmt.Sprintf("Printing and clearing VRRP stats for process(%d) on signal", os.Getpid()))
		s.write("keepalived", false, ".stats", dump.StatsText(s.snapshot()))
		s.daemon.ClearStats()
	case sigJSON:
		s.log.Info(fmt.Sprintf("Printing VRRP as json for process(%d) on signal", os.Getpid()))
		b, err := dump.JSON(s.snapshot())
		if err != nil {
			s.log.Error(err.Error())
			return
		}
		s.write("keepalived", false, ".json", b)
	}
}

// snapshot is the daemon's, with times as the host shows them.
func (s *service) snapshot() dump.Snapshot {
	snap := s.daemon.Snapshot()
	snap.Zone = time.Local
	return snap
}

// write puts a dump where keepalived puts it. Only .data has the instance in its name.
func (s *service) write(name string, named bool, suffix string, content []byte) {
	if g := s.config.Global; named && g.DataUseInstance && g.InstanceName != "" {
		name += "." + g.InstanceName
	}
	mode := os.FileMode(0o666 &^ s.umask(s.config))
	if err := replace(filepath.Join(dumpDir, name+suffix), content, mode); err != nil {
		s.log.Error(err.Error())
	}
}

// reload reads the file again. One that can't run changes nothing.
func (s *service) reload() {
	s.log.Info("Reloading ...")
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReloading) // without systemd there is nobody to tell
	defer daemon.SdNotify(false, daemon.SdNotifyReady)
	done, err := reading(s.config.Global)
	if err != nil {
		s.log.Warn("reload_file: " + err.Error())
	}
	c, ps, err := load(s.o)
	done()
	if err != nil {
		s.log.Error(err.Error() + " What ran goes on")
		return
	}
	s.tell(ps)
	if ps.HasErrors() {
		s.log.Error("Reload refused: the configuration can't run, what ran goes on")
		return
	}
	was, now := s.config.Global, c.Global
	if was.InstanceName != now.InstanceName || was.NetNamespace != now.NetNamespace || was.UsePIDDir != now.UsePIDDir {
		s.log.Warn("instance, net_namespace and use_pid_dir take effect at the next start")
	}
	s.config = c
	s.tell(s.daemon.Apply(c))
	s.nameRivals(c)
	s.log.Info("Reload complete")
}

// watchAddresses logs what happens to addresses of the host, until ctx ends.
func (s *service) watchAddresses(ctx context.Context) {
	updates, done := make(chan netlink.AddrUpdate, 64), make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(done) }) }
	defer end()
	err := netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{
		ListExisting: true,
		ErrorCallback: func(err error) {
			if ctx.Err() == nil {
				s.log.Warn("address changes are not reported any more", "error", err)
			}
		},
	})
	if err != nil {
		s.log.Warn("address changes can't be reported", "error", err)
		return
	}
	known := map[string]bool{} // those that are on
	for {
		select {
		case <-ctx.Done():
			end()
			for range updates { // until the subscription has closed it
			}
			return
		case u, ok := <-updates:
			if !ok {
				return
			}
			dev := fmt.Sprint(u.LinkIndex)
			if i, err := net.InterfaceByIndex(u.LinkIndex); err == nil {
				dev = i.Name
			}
			key := fmt.Sprint(u.LinkIndex, u.LinkAddress)
			switch was := known[key]; {
			case u.NewAddr == was: // a lifetime that was extended
			case u.NewAddr:
				known[key] = true
				s.log.Info(fmt.Sprintf("Assigned address %s for interface %s", u.LinkAddress.IP, dev))
			default:
				delete(known, key)
				s.log.Info(fmt.Sprintf("Deassigned address %s from interface %s", u.LinkAddress.IP, dev))
			}
		}
	}
}
