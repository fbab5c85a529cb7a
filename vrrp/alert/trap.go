package alert

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/reeve-lb/reeve/vrrp"
)

// Objects of SNMPv2-MIB (RFC 3418), KEEPALIVED-MIB, VRRP-MIB (RFC 2787) and VRRPV3-MIB (RFC 6527).
const (
	oidSysUpTime   = ".1.3.6.1.2.1.1.3.0"
	oidSnmpTrapOID = ".1.3.6.1.6.3.1.1.4.1.0"

	oidKeepalived          = ".1.3.6.1.4.1.9586.100.5"
	oidRouterID            = oidKeepalived + ".1.2.0"
	oidGroupName           = oidKeepalived + ".2.1.1.2"  // vrrpSyncGroupName
	oidGroupState          = oidKeepalived + ".2.1.1.3"  // vrrpSyncGroupState
	oidInstanceName        = oidKeepalived + ".2.3.1.2"  // vrrpInstanceName
	oidInstanceState       = oidKeepalived + ".2.3.1.4"  // vrrpInstanceState
	oidInstanceInitial     = oidKeepalived + ".2.3.1.5"  // vrrpInstanceInitialState
	oidGroupStateChange    = oidKeepalived + ".2.10.0.1" // vrrpSyncGroupStateChange
	oidInstanceStateChange = oidKeepalived + ".2.10.0.2" // vrrpInstanceStateChange

	oidVRRP          = ".1.3.6.1.2.1.68"
	oidNewMaster     = oidVRRP + ".0.1"     // vrrpTrapNewMaster
	oidAuthFailure   = oidVRRP + ".0.2"     // vrrpTrapAuthFailure
	oidMasterIPAddr  = oidVRRP + ".1.3.1.7" // vrrpOperMasterIpAddr, by ifIndex and VRID
	oidTrapPacketSrc = oidVRRP + ".1.5.0"   // vrrpTrapPacketSrc
	oidAuthErrorType = oidVRRP + ".1.6.0"   // vrrpTrapAuthErrorType
	oidVRRPv3        = ".1.3.6.1.2.1.207"
	oidV3NewMaster   = oidVRRPv3 + ".0.1"       // vrrpv3NewMaster
	oidV3ProtoError  = oidVRRPv3 + ".0.2"       // vrrpv3ProtoError
	oidV3MasterIP    = oidVRRPv3 + ".1.1.1.1.3" // vrrpv3OperationsMasterIpAddr
	oidV3Reason      = oidVRRPv3 + ".1.2.5.1.2" // vrrpv3StatisticsNewMasterReason
	oidV3ErrReason   = oidVRRPv3 + ".1.2.5.1.6" // vrrpv3StatisticsProtoErrReason
)

const (
	defaultTrapPort = "162"
	trapTries       = 4 // a name that does not resolve at first, a network that is not there; nobody acknowledges a trap
	trapTimeout     = 5 * time.Second
)

// engine is this node as an SNMPv3 engine: the one whose boots and time count for its traps (RFC 3414 section 1.5.1).
type engine struct {
	id    string
	boots uint32
	start time.Time
}

// newEngine names the engine by the node, in the form that RFC 3411 gives for text. Its boots have to grow from one life to
// the next, without memory: they are tens of seconds since 1970.
func newEngine(node string, now time.Time) engine {
	const enterprise, text, longest = "\x80\x00\x25\x72", "\x04", 27 // 9586, the enterprise of the MIB
	if len(node) > longest {
		node = node[:longest]
	}
	return engine{id: enterprise + text + node, boots: uint32(now.Unix()/10) & 0x7fffffff, start: now}
}

func (e engine) hex() string { return hex.EncodeToString([]byte(e.id)) }

// trapper sends traps to one manager.
type trapper struct {
	c        vrrp.SNMP
	routerID string
	engine   engine
	started  time.Time
}

func newTrapper(c vrrp.SNMP, routerID string, e engine, started time.Time) *trapper {
	return &trapper{c: c, routerID: routerID, engine: e, started: started}
}

func (t *trapper) tries() int { return trapTries }

// send sends the traps of one event. Of a new master there are two: KEEPALIVED-MIB's, and that of the RFC of its version.
func (t *trapper) send(ctx context.Context, m message) error {
	g, err := t.client(ctx)
	if err != nil {
		return err
	}
	if err := g.Connect(); err != nil {
		return fmt.Errorf("trap sink %s: %w", t.c.TrapSink, err)
	}
	defer g.Conn.Close()
	for _, vars := range t.traps(m) {
		if _, err := g.SendTrap(gosnmp.SnmpTrap{Variables: vars}); err != nil {
			return fmt.Errorf("trap to %s: %w", t.c.TrapSink, err)
		}
	}
	return nil
}

func (t *trapper) client(ctx context.Context) (*gosnmp.GoSNMP, error) {
	host, port := split(t.c.TrapSink)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, refusal{fmt.Errorf("trap_sink %s: port: %w", t.c.TrapSink, err)}
	}
	g := &gosnmp.GoSNMP{
		Target: host, Port: uint16(n), Transport: "udp", Timeout: trapTimeout, Context: ctx, MaxOids: gosnmp.MaxOids,
		Version: gosnmp.Version2c, Community: t.c.Community,
	}
	if g.Community == "" {
		g.Community = "public"
	}
	if t.c.Version != "3" {
		return g, nil
	}
	g.Version, g.SecurityModel = gosnmp.Version3, gosnmp.UserSecurityModel
	g.MsgFlags, g.SecurityParameters, err = t.user()
	if err != nil {
		return nil, refusal{err}
	}
	g.ContextEngineID = t.engine.id
	return g, nil
}

// split takes host, host:port, [v6]:port or a bare v6 address apart.
func split(sink string) (host, port string) {
	if _, err := netip.ParseAddr(sink); err == nil {
		return sink, defaultTrapPort
	}
	if host, port, err := net.SplitHostPort(sink); err == nil {
		return host, port
	}
	return strings.Trim(sink, "[]"), defaultTrapPort
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{
	"": gosnmp.NoAuth, "MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA224": gosnmp.SHA224, "SHA256": gosnmp.SHA256,
	"SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512,
}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{
	"": gosnmp.NoPriv, "DES": gosnmp.DES, "AES": gosnmp.AES, "AES192": gosnmp.AES192, "AES256": gosnmp.AES256,
}

// user is the user of RFC 3414, at our engine.
func (t *trapper) user() (gosnmp.SnmpV3MsgFlags, gosnmp.SnmpV3SecurityParameters, error) {
	u := t.c.User
	auth, ok := authProtocols[strings.ToUpper(u.AuthProtocol)]
	if !ok {
		return 0, nil, fmt.Errorf("snmp: unknown auth protocol %q", u.AuthProtocol)
	}
	priv, ok := privProtocols[strings.ToUpper(u.PrivProtocol)]
	if !ok {
		return 0, nil, fmt.Errorf("snmp: unknown priv protocol %q", u.PrivProtocol)
	}
	flags := gosnmp.NoAuthNoPriv
	switch {
	case priv != gosnmp.NoPriv && auth == gosnmp.NoAuth:
		return 0, nil, fmt.Errorf("snmp: user %s: privacy needs authentication", u.Name)
	case priv != gosnmp.NoPriv:
		flags = gosnmp.AuthPriv
	case auth != gosnmp.NoAuth:
		flags = gosnmp.AuthNoPriv
	}
	return flags, &gosnmp.UsmSecurityParameters{
		UserName: u.Name, AuthenticationProtocol: auth, AuthenticationPassphrase: u.AuthPass, PrivacyProtocol: priv,
		PrivacyPassphrase: u.PrivPass, AuthoritativeEngineID: t.engine.id, AuthoritativeEngineBoots: t.engine.boots,
		AuthoritativeEngineTime: uint32(time.Since(t.engine.start) / time.Second),
	}, nil
}

// stateNumber is VrrpState of KEEPALIVED-MIB.
func stateNumber(state string) int {
	n, ok := map[string]int{"INIT": 0, "BACKUP": 1, "MASTER": 2, "FAULT": 3, "STOP": 5, "DELETED": 6}[state]
	if !ok {
		return 4 // unknown
	}
	return n
}

// traps are the variables of each trap.
func (t *trapper) traps(m message) [][]gosnmp.SnmpPDU {
	if m.auth != 0 {
		return [][]gosnmp.SnmpPDU{t.trap(m, oidAuthFailure, address(oidTrapPacketSrc, m.Source), integer(oidAuthErrorType, int(m.auth)))}
	}
	if m.proto != 0 {
		return [][]gosnmp.SnmpPDU{t.trap(m, oidV3ProtoError, integer(oidV3ErrReason+index3(m), int(m.proto)))}
	}
	row := "." + strconv.Itoa(max(m.Row, 1))
	if m.Group {
		return [][]gosnmp.SnmpPDU{t.trap(m, oidGroupStateChange, text(oidGroupName+row, m.Name),
			integer(oidGroupState+row, stateNumber(m.To)), text(oidRouterID, t.routerID))}
	}
	out := [][]gosnmp.SnmpPDU{t.trap(m, oidInstanceStateChange, text(oidInstanceName+row, m.Name),
		integer(oidInstanceState+row, stateNumber(m.To)), integer(oidInstanceInitial+row, stateNumber(m.Wanted)),
		text(oidRouterID, t.routerID))}
	if m.To == "MASTER" && m.Source.IsValid() {
		out = append(out, t.newMaster(m))
	}
	return out
}

// newMaster is the trap of the RFC of the instance's version.
func (t *trapper) newMaster(m message) []gosnmp.SnmpPDU {
	if m.Version != 3 && m.Source.Is4() {
		return t.trap(m, oidNewMaster, address(oidMasterIPAddr+index2(m), m.Source))
	}
	return t.trap(m, oidV3NewMaster, text(oidV3MasterIP+index3(m), string(m.Source.AsSlice())), integer(oidV3Reason+index3(m), int(m.Reason)))
}

// index2 is an instance's index in the tables of RFC 2787: ifIndex and VRID.
func index2(m message) string { return "." + strconv.Itoa(m.Ifindex) + "." + strconv.Itoa(m.VRID) }

// index3 is that of RFC 6527, which has the type of address too (1 or 2, RFC 4001).
func index3(m message) string {
	if m.Source.Is4() {
		return index2(m) + ".1"
	}
	return index2(m) + ".2"
}

// trap puts time and name in front, as RFC 3416 section 4.2.6 wants it.
func (t *trapper) trap(m message, oid string, vars ...gosnmp.SnmpPDU) []gosnmp.SnmpPDU {
	up := m.Time.Sub(t.started) / (10 * time.Millisecond)
	return append([]gosnmp.SnmpPDU{
		{Name: oidSysUpTime, Type: gosnmp.TimeTicks, Value: uint32(max(up, 0))},
		{Name: oidSnmpTrapOID, Type: gosnmp.ObjectIdentifier, Value: oid},
	}, vars...)
}

func text(oid, value string) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: oid, Type: gosnmp.OctetString, Value: []byte(value)}
}

func integer(oid string, value int) gosnmp.SnmpPDU {
	return gosnmp.SnmpPDU{Name: oid, Type: gosnmp.Integer, Value: value}
}

func address(oid string, a netip.Addr) gosnmp.SnmpPDU {
	if !a.Is4() { // the type has four bytes
		a = netip.IPv4Unspecified()
	}
	return gosnmp.SnmpPDU{Name: oid, Type: gosnmp.IPAddress, Value: a.String()}
}
