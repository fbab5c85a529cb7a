package alert

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/reeve-lb/reeve/internal/lab"
	"github.com/reeve-lb/reeve/vrrp"
)

var master = Event{
	Name: "VI_1", From: "BACKUP", To: "MASTER", Row: 3, Wanted: "BACKUP", Ifindex: 2, VRID: 51, Version: 2, Source: netip.MustParseAddr("192.0.2.1"), Reason: MasterNoResponse,
}

// trapSink reads one datagram at a time and decodes it.
type trapSink struct {
	conn net.PacketConn
	g    *gosnmp.GoSNMP
}

func newTrapSink(t *testing.T, g *gosnmp.GoSNMP) *trapSink {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &trapSink{conn, g}
}

// next is the next trap: each variable as "OID type value".
func (s *trapSink) next(t *testing.T) (vars []string, community string) {
	t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 1<<16)
	n, _, err := s.conn.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.g.UnmarshalTrap(buf[:n], true)
	if err != nil || p == nil {
		t.Fatalf("no trap: %v", err)
	}
	if p.PDUType != gosnmp.SNMPv2Trap {
		t.Errorf("a PDU of type %v", p.PDUType)
	}
	for _, v := range p.Variables {
		value := v.Value
		if b, ok := value.([]byte); ok {
			value = string(b)
		}
		if v.Type == gosnmp.TimeTicks {
			value = "TICKS"
		}
		vars = append(vars, fmt.Sprintf("%s %v %v", v.Name, v.Type, value))
	}
	return vars, p.Community
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	want = append([]string{".1.3.6.1.2.1.1.3.0 TimeTicks TICKS"}, want...)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("variables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTrapsV2c(t *testing.T) {
	sink := newTrapSink(t, &gosnmp.GoSNMP{Version: gosnmp.Version2c})
	a := running(t, Settings{RouterID: "LVS_1", SNMP: vrrp.SNMP{TrapSink: sink.conn.LocalAddr().String(), Community: "lab"}})
	a.Transition(master)
	vars, community := sink.next(t)
	if community != "lab" {
		t.Errorf("community %q", community)
	}
	same(t, vars,
		".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.4.1.9586.100.5.2.10.0.2",
		".1.3.6.1.4.1.9586.100.5.2.3.1.2.3 OctetString VI_1", ".1.3.6.1.4.1.9586.100.5.2.3.1.4.3 Integer 2",
		".1.3.6.1.4.1.9586.100.5.2.3.1.5.3 Integer 1", ".1.3.6.1.4.1.9586.100.5.1.2.0 OctetString LVS_1")
	vars, _ = sink.next(t)
	same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.2.1.68.0.1", ".1.3.6.1.2.1.68.1.3.1.7.2.51 IPAddress 192.0.2.1")

	a.Transition(Event{Group: true, Name: "VG_1", To: "FAULT", Row: 1})
	vars, _ = sink.next(t)
	same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.4.1.9586.100.5.2.10.0.1",
		".1.3.6.1.4.1.9586.100.5.2.1.1.2.1 OctetString VG_1", ".1.3.6.1.4.1.9586.100.5.2.1.1.3.1 Integer 3", ".1.3.6.1.4.1.9586.100.5.1.2.0 OctetString LVS_1")

	v3 := master
	v3.Version, v3.Source = 3, netip.MustParseAddr("fe80::1")
	a.Transition(v3)
	sink.next(t)
	vars, _ = sink.next(t)
	same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.2.1.207.0.1",
		".1.3.6.1.2.1.207.1.1.1.1.3.2.51.2 OctetString "+string(v3.Source.AsSlice()), ".1.3.6.1.2.1.207.1.2.5.1.2.2.51.2 Integer 3")

	a.AuthTrouble(netip.MustParseAddr("192.0.2.9"), AuthFailure)
	vars, _ = sink.next(t)
	same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.2.1.68.0.2", ".1.3.6.1.2.1.68.1.5.0 IPAddress 192.0.2.9", ".1.3.6.1.2.1.68.1.6.0 Integer 3")

	// What keepalived 2.2.7 sends of an advert with TTL 254, of version 4, and with a wrong checksum.
	for kind, want := range map[ProtoError]string{TTLError: "1", VersionError: "2", ChecksumError: "3"} {
		a.ProtoTrouble(3, 52, netip.MustParseAddr("192.0.2.1"), kind)
		vars, _ = sink.next(t)
		same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.2.1.207.0.2", ".1.3.6.1.2.1.207.1.2.5.1.6.3.52.1 Integer "+want)
	}
	a.ProtoTrouble(3, 52, netip.MustParseAddr("fe80::1"), TTLError)
	vars, _ = sink.next(t)
	same(t, vars, ".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.2.1.207.0.2", ".1.3.6.1.2.1.207.1.2.5.1.6.3.52.2 Integer 1")
	idle(t, a)
	if n := a.Counts()["snmp"]; n.Sent != 8 || n.Failed != 0 {
		t.Errorf("%+v", n)
	}
}

func TestTrapsV3(t *testing.T) {
	user := vrrp.SNMPUser{Name: "ops", AuthProtocol: "SHA", AuthPass: "authauth", PrivProtocol: "AES", PrivPass: "privpriv"}
	a := New(Options{Node: "lb1"})
	sink := newTrapSink(t, &gosnmp.GoSNMP{
		Version: gosnmp.Version3, SecurityModel: gosnmp.UserSecurityModel, MsgFlags: gosnmp.AuthPriv,
		SecurityParameters: &gosnmp.UsmSecurityParameters{
			UserName: user.Name, AuthenticationProtocol: gosnmp.SHA, AuthenticationPassphrase: user.AuthPass,
			PrivacyProtocol: gosnmp.AES, PrivacyPassphrase: user.PrivPass, AuthoritativeEngineID: a.engine.id,
		},
	})
	b := running(t, Settings{RouterID: "LVS_1", SNMP: vrrp.SNMP{TrapSink: sink.conn.LocalAddr().String(), Version: "3", User: user}})
	if a.EngineID() != b.EngineID() || a.EngineID() != "8000257204"+"6c6231" {
		t.Errorf("engines %s and %s", a.EngineID(), b.EngineID())
	}
	b.Transition(master)
	vars, _ := sink.next(t)
	same(t, vars,
		".1.3.6.1.6.3.1.1.4.1.0 ObjectIdentifier .1.3.6.1.4.1.9586.100.5.2.10.0.2",
		".1.3.6.1.4.1.9586.100.5.2.3.1.2.3 OctetString VI_1", ".1.3.6.1.4.1.9586.100.5.2.3.1.4.3 Integer 2",
		".1.3.6.1.4.1.9586.100.5.2.3.1.5.3 Integer 1", ".1.3.6.1.4.1.9586.100.5.1.2.0 OctetString LVS_1")
}

func TestTrapSettings(t *testing.T) {
	for sink, want := range map[string]string{
		"192.0.2.1": "192.0.2.1 162", "192.0.2.1:1162": "192.0.2.1 1162", "nms": "nms 162", "nms:99": "nms 99", "::1": "::1 162", "[::1]": "::1 162", "[::1]:99": "::1 99",
	} {
		if host, port := split(sink); host+" "+port != want {
			t.Errorf("%s: %s %s", sink, host, port)
		}
	}
	for _, c := range []vrrp.SNMP{
		{TrapSink: "127.0.0.1:x"}, {TrapSink: "127.0.0.1", Version: "3", User: vrrp.SNMPUser{Name: "u", AuthProtocol: "ROT13"}},
		{TrapSink: "127.0.0.1", Version: "3", User: vrrp.SNMPUser{Name: "u", PrivProtocol: "AES", PrivPass: "privpriv"}},
	} {
		a := running(t, Settings{SNMP: c})
		a.Transition(master)
		idle(t, a)
		if n := a.Counts()["snmp"]; n.Failed != 1 {
			t.Errorf("%+v: %+v", c, n)
		}
	}
	for state, want := range map[string]int{"INIT": 0, "BACKUP": 1, "MASTER": 2, "FAULT": 3, "": 4, "STOP": 5, "DELETED": 6} {
		if got := stateNumber(state); got != want {
			t.Errorf("%s: %d", state, got)
		}
	}
}

// TestSnmptrapd: net-snmp's receiver understands both versions.
func TestSnmptrapd(t *testing.T) {
	l := lab.New(t)
	h := l.Host("nms", "10.9.0.1/24")
	dir := t.TempDir()
	conf := filepath.Join(dir, "snmptrapd.conf")
	user := vrrp.SNMPUser{Name: "ops", AuthProtocol: "SHA", AuthPass: "authauth", PrivProtocol: "AES", PrivPass: "privpriv"}
	engine := New(Options{Node: "lb1"}).EngineID()
	text := "createUser -e 0x" + engine + " ops SHA authauth AES privpriv\nauthUser log ops priv\nauthCommunity log lab\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := h.Command("snmptrapd", "-f", "-Lo", "-On", "-n", "-C", "-c", conf, "-m", "", "-F", "TRAP %v\n", "udp:127.0.0.1:1162")
	p.Env = append(p.Env, "SNMP_PERSISTENT_DIR="+dir)
	l.StartProcess(p)
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	l.Must(p.AwaitOutput(ctx, "version"))
	for _, c := range []vrrp.SNMP{
		{TrapSink: "127.0.0.1:1162", Community: "lab"}, {TrapSink: "127.0.0.1:1162", Version: "3", User: user},
	} {
		name := "V" + c.Version
		e := master
		e.Name, e.Time = name, time.Now()
		l.Must(h.Do(func() error { // the courier's goroutine would not be on the host
			return newTrapper(c, "LVS_1", newEngine("lb1", time.Now()), time.Now()).send(ctx, message{Event: e})
		}))
		l.Must(p.AwaitOutput(ctx, `.1.3.6.1.4.1.9586.100.5.2.3.1.2.3 = STRING: "`+name+`"`))
	}
	l.Must(p.AwaitOutput(ctx, ".1.3.6.1.2.1.68.1.3.1.7.2.51 = IpAddress: 192.0.2.1"))
}
