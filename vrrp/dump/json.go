package dump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

// entry is an element of keepalived.json. The fields stand in keepalived's order; a few are numbers where one expects
// true and false, and some are left out when they are empty, as there.
type entry struct {
	Data  entryData  `json:"data"`
	Stats entryStats `json:"stats"`
}

type entryData struct {
	Name              string      `json:"iname"`
	DontTrackPrimary  int         `json:"dont_track_primary"`
	SkipCheck         int         `json:"skip_check_adv_addr"`
	Strict            int         `json:"strict_mode"`
	VMAC              string      `json:"vmac_ifname"`
	Interface         string      `json:"ifp_ifname"`
	MasterPriority    int         `json:"master_priority"`
	LastTransition    json.Number `json:"last_transition"`
	GarpDelay         int         `json:"garp_delay"`
	GarpRefresh       int         `json:"garp_refresh"`
	GarpRepeat        int         `json:"garp_rep"`
	GarpRefreshRepeat int         `json:"garp_refresh_rep"`
	GarpLowerDelay    int         `json:"garp_lower_prio_delay"`
	GarpLowerRepeat   int         `json:"garp_lower_prio_rep"`
	LowerNoAdvert     int         `json:"lower_prio_no_advert"`
	HigherSend        int         `json:"higher_prio_send_advert"`
	VRID              int         `json:"vrid"`
	BasePriority      int         `json:"base_priority"`
	Priority          int         `json:"effective_priority"`
	VIPSet            bool        `json:"vipset"`
	Promote           bool        `json:"promote_secondaries"`
	AdvertInt         float64     `json:"adver_int"`
	MasterAdvertInt   float64     `json:"master_adver_int"`
	Accept            int         `json:"accept"`
	NoPreempt         bool        `json:"nopreempt"`
	PreemptDelay      int         `json:"preempt_delay"`
	State             State       `json:"state"`
	Want              State       `json:"wantstate"`
	Version           int         `json:"version"`
	SMTPAlert         bool        `json:"smtp_alert"`
	NotifyDeleted     bool        `json:"notify_deleted"`
	ScriptBackup      string      `json:"script_backup,omitempty"`
	ScriptMaster      string      `json:"script_master,omitempty"`
	ScriptFault       string      `json:"script_fault,omitempty"`
	ScriptStop        string      `json:"script_stop,omitempty"`
	ScriptDeleted     string      `json:"script_deleted,omitempty"`
	Script            string      `json:"script,omitempty"`
	ScriptLower       string      `json:"script_master_rx_lower_pri,omitempty"`
	VIPs              []string    `json:"vips,omitempty"`
	Excluded          []string    `json:"evips,omitempty"`
	Routes            []string    `json:"vroutes,omitempty"`
	Rules             []string    `json:"vrules,omitempty"`
	TrackInterfaces   []string    `json:"track_ifp,omitempty"`
	TrackScripts      []string    `json:"track_script,omitempty"`
	AuthType          int         `json:"auth_type"`
	AuthData          string      `json:"auth_data,omitempty"`
}

type entryStats struct {
	AdvertRcvd        uint64 `json:"advert_rcvd"`
	AdvertSent        uint64 `json:"advert_sent"`
	BecomeMaster      uint64 `json:"become_master"`
	ReleaseMaster     uint64 `json:"release_master"`
	PacketLenErr      uint64 `json:"packet_len_err"`
	AdvertIntervalErr uint64 `json:"advert_interval_err"`
	IPTTLErr          uint64 `json:"ip_ttl_err"`
	InvalidTypeRcvd   uint64 `json:"invalid_type_rcvd"`
	AddrListErr       uint64 `json:"addr_list_err"`
	InvalidAuthType   uint64 `json:"invalid_authtype"`
	AuthTypeMismatch  uint64 `json:"authtype_mismatch"`
	AuthFailure       uint64 `json:"auth_failure"`
	PriZeroRcvd       uint64 `json:"pri_zero_rcvd"`
	PriZeroSent       uint64 `json:"pri_zero_sent"`
}

// JSON is keepalived.json: one line, an element for each instance in the order of the configuration. Passwords are in it,
// as in keepalived's: the file is for root alone.
func JSON(s Snapshot) ([]byte, error) {
	all := make([]entry, 0, len(s.Config.Instances))
	for _, in := range s.Config.Instances {
		st := s.instance(in)
		all = append(all, entry{Data: s.data(in, st), Stats: entryStats(st.Stats)})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil {
		return nil, fmt.Errorf("keepalived.json: %w", err)
	}
	// Slashes stand only within strings, and keepalived escapes them.
	return bytes.ReplaceAll(b.Bytes(), []byte("/"), []byte(`\/`)), nil
}

func (s Snapshot) data(in vrrp.Instance, st Instance) entryData {
	e := settle(in, s.Config.Global)
	d := entryData{
		Name: in.Name, DontTrackPrimary: bit(in.DontTrackPrim), SkipCheck: bit(e.skipCheck), Strict: bit(e.strict),
		Interface: e.dev, MasterPriority: st.MasterPrio, LastTransition: json.Number(stamp(st.Since)),
		GarpDelay: seconds(e.garpDelay), GarpRefresh: seconds(e.refresh), GarpRepeat: e.repeat, GarpRefreshRepeat: e.refreshRepeat,
		GarpLowerDelay: seconds(e.lowerDelay), GarpLowerRepeat: e.lowerRepeat,
		LowerNoAdvert: bit(e.lowerNoAdvert), HigherSend: bit(e.higherSend),
		VRID: in.VirtualRouterID, BasePriority: in.Priority, Priority: st.Priority, VIPSet: st.AddressesOn, Promote: in.Promote,
		AdvertInt: e.advert.Seconds(), MasterAdvertInt: e.advert.Seconds(), Accept: bit(e.accept),
		NoPreempt: e.noPreempt, PreemptDelay: seconds(in.PreemptDelay), State: st.State, Want: st.Want, Version: e.version,
		SMTPAlert: e.smtp, NotifyDeleted: in.Notifies.SayDeleted || len(in.Notifies.Deleted.Argv) > 0,
		ScriptBackup: command(in.Notifies.Backup.Argv), ScriptMaster: command(in.Notifies.Master.Argv),
		ScriptFault: command(in.Notifies.Fault.Argv), ScriptStop: command(in.Notifies.Stop.Argv),
		ScriptDeleted: command(in.Notifies.Deleted.Argv), Script: command(in.Notifies.Any.Argv),
		ScriptLower: command(in.Notifies.MasterRxLower.Argv),
		AuthType:    int(in.AuthType),
	}
	if in.VMAC.Use {
		d.VMAC = e.dev
	}
	if st.MasterAdvert != 0 {
		d.MasterAdvertInt = st.MasterAdvert.Seconds()
	}
	if in.AuthType != vrrp.AuthNone {
		d.AuthData = in.AuthPass
	}
	s.lists(&d, in, st, e)
	return d
}

func (s Snapshot) lists(d *entryData, in vrrp.Instance, st Instance, e effective) {
	for _, a := range in.Addresses {
		d.VIPs = append(d.VIPs, address(a, e, st.AddressesOn))
	}
	for _, a := range in.Excluded {
		d.Excluded = append(d.Excluded, address(a, e, st.AddressesOn))
	}
	for _, r := range in.Routes {
		d.Routes = append(d.Routes, route(r))
	}
	for _, r := range in.Rules {
		d.Rules = append(d.Rules, rule(r))
	}
	for _, t := range in.TrackInterfaces {
		if t.Name != in.Interface {
			d.TrackInterfaces = append(d.TrackInterfaces, t.Name)
		}
	}
	for _, t := range in.TrackScripts {
		for _, script := range s.Config.Scripts {
			if script.Name == t.Name {
				d.TrackScripts = append(d.TrackScripts, scriptCommand(script))
			}
		}
	}
}

func scriptCommand(s vrrp.Script) string {
	if s.Shell != "" {
		return s.Shell
	}
	return command(s.Command)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func seconds(d time.Duration) int { return int(d / time.Second) }
