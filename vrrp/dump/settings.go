package dump

import (
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// effective is what an instance's settings come to once those of the whole are laid under them.
type effective struct {
	strict, skipCheck, accept      bool
	lowerNoAdvert, higherSend      bool
	smtp, priorityChanges          bool
	noPreempt                      bool
	garpDelay, refresh, lowerDelay time.Duration
	repeat, refreshRepeat          int
	lowerRepeat, version, down     int
	advert                         time.Duration
	dev, base                      string // base only for a virtual interface
}

func settle(in vrrp.Instance, g vrrp.Global) effective {
	e := effective{
		strict:          or(in.StrictMode, g.Strict),
		skipCheck:       or(in.SkipCheckAdv, g.SkipCheckAdvAddr),
		lowerNoAdvert:   or(in.LowerNoAdvert, g.LowerPrioNoAdvert),
		higherSend:      or(in.HigherSend, g.HigherPrioSendAdvert),
		priorityChanges: or(in.PriorityChanges, g.NotifyPriorityChanges),
		garpDelay:       or(in.Garp.MasterDelay, g.GarpMasterDelay),
		refresh:         or(in.Garp.MasterRefresh, g.GarpMasterRefresh),
		repeat:          or(in.Garp.MasterRepeat, g.GarpMasterRepeat),
		refreshRepeat:   or(in.Garp.RefreshRepeat, g.GarpMasterRefreshRept),
		version:         in.Version, down: in.DownTimer, advert: in.AdvertInt, dev: in.Interface,
	}
	e.smtp = or(in.SMTPAlert, or(g.Mail.AlertVRRP, or(g.Mail.Alert, false)))
	e.lowerDelay = or(in.Garp.LowerPrioDelay, or(g.GarpLowerPrioDelay, g.GarpMasterDelay))
	e.lowerRepeat = or(in.Garp.LowerPrioRepeat, or(g.GarpLowerPrioRepeat, g.GarpMasterRepeat))
	if e.version == 0 {
		e.version = max(g.Version, 2)
	}
	if e.down == 0 {
		e.down = max(g.DownTimerAdverts, 1)
	}
	if e.advert == 0 {
		e.advert = time.Second
	}
	e.noPreempt = in.NoPreempt && in.Priority != 255 && in.State != "MASTER"
	e.accept = or(in.Accept, !e.strict) || in.Priority == 255
	if e.strict {
		e.lowerNoAdvert, e.higherSend, e.lowerDelay, e.lowerRepeat = true, false, 0, 0
	}
	if in.VMAC.Use {
		e.dev, e.base = virtual(in, g, e.version), in.Interface
	}
	return e
}

// virtual is the name of an instance's virtual interface.
func virtual(in vrrp.Instance, g vrrp.Global, version int) string {
	if in.VMAC.Name != "" {
		return in.VMAC.Name
	}
	prefix := g.VMACPrefix
	if prefix == "" {
		prefix = "vrrp"
	}
	if six(in, version) {
		prefix += "6"
	}
	return prefix + "." + itoa(in.VirtualRouterID)
}

// six reports whether adverts go by IPv6: the first listed address decides.
func six(in vrrp.Instance, version int) bool {
	for _, a := range in.Addresses {
		return a.Prefix.Addr().Is6()
	}
	return in.NativeIPv6 && version == 3
}

func or[T any](own *T, otherwise T) T {
	if own != nil {
		return *own
	}
	return otherwise
}
