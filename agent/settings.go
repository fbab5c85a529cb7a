package agent

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/config"
)

// Settings is what a node brings along, flags already laid over its files: everything that is not the Document.
type Settings struct {
	Node      string // default: the host's name
	Bind      string // gossip and RPC listen here; default 0.0.0.0
	Advertise string // what others are told; default: Bind, or the first private address
	DataDir   string // "" only with Dev
	HTTPAddr  string // host:port or unix:///path; default 127.0.0.1:7500
	Token     string // guards the HTTP interface; needed when HTTPAddr is not loopback
	LogLevel  string // default info
	LogJSON   bool

	BootstrapExpect int
	RetryJoin       []string
	Encrypt         string // base64 of 32 bytes
	Dev             bool   // one node, in memory
	Witness         bool   // a voter without a data plane
	MemoryMax       int    // MiB that the whole process may take; 0: no bound

	RPCPort    int // 0: 7300
	GossipPort int // 0: 7301

	Files []string // configuration, as named by the user; read again on reload
}

// key decodes Encrypt.
func (s Settings) key() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s.Encrypt))
	if err != nil || len(b) != 32 {
		return nil, errors.New("the cluster key is not 32 bytes in base64: `reeve keygen` makes one")
	}
	return b, nil
}

// lay puts what the node's files say under what the flags said: a flag wins.
func (s *Settings) lay(n config.Node) {
	s.Node = cmp.Or(s.Node, n.Name)
	s.Bind = cmp.Or(s.Bind, n.Bind)
	s.Advertise = cmp.Or(s.Advertise, n.Advertise)
	s.DataDir = cmp.Or(s.DataDir, n.DataDir)
	s.HTTPAddr = cmp.Or(s.HTTPAddr, n.HTTPAddr)
	if s.HTTPAddr == "" && n.Ports.HTTP != 0 {
		s.HTTPAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Ports.HTTP))
	}
	s.Token = cmp.Or(s.Token, n.HTTPToken)
	s.LogLevel = cmp.Or(s.LogLevel, n.LogLevel)
	s.BootstrapExpect = cmp.Or(s.BootstrapExpect, n.BootstrapExpect)
	s.Encrypt = cmp.Or(s.Encrypt, n.Encrypt)
	s.RPCPort = cmp.Or(s.RPCPort, n.Ports.RPC)
	s.GossipPort = cmp.Or(s.GossipPort, n.Ports.Gossip)
	s.Witness = s.Witness || n.Witness
	s.MemoryMax = cmp.Or(s.MemoryMax, n.MemoryMax)
	if len(s.RetryJoin) == 0 {
		s.RetryJoin = n.RetryJoin
	}
}

// fill puts the defaults in and tells all that is wrong, a line each.
func (s *Settings) fill() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Node == "" {
		if s.Node, _ = os.Hostname(); s.Node == "" {
			add("this host has no name: give the node one by -node")
		}
	}
	if s.Bind == "" {
		s.Bind = "0.0.0.0"
		if s.Dev {
			s.Bind = "127.0.0.1"
		}
	}
	if _, err := netip.ParseAddr(s.Bind); err != nil {
		add("-bind %q is not an IP address", s.Bind)
	}
	if s.Advertise != "" {
		if _, err := netip.ParseAddr(s.Advertise); err != nil {
			add("-advertise %q is not an IP address", s.Advertise)
		}
	}
	if s.HTTPAddr == "" {
		s.HTTPAddr = api.DefaultAddress
	}
	if err := s.checkHTTP(); err != nil {
		errs = append(errs, err)
	}
	if s.LogLevel == "" {
		s.LogLevel = "info"
	}
	if hclog.LevelFromString(s.LogLevel) == hclog.NoLevel {
		add("-log-level %q: want trace, debug, info, warn or error", s.LogLevel)
	}
	if s.BootstrapExpect < 0 {
		add("-bootstrap-expect %d: want how many nodes begin the cluster together", s.BootstrapExpect)
	}
	if s.MemoryMax < 0 || s.MemoryMax > 1<<24 {
		add("-memory-max %d: want how many MiB the process may take, 0 for no bound", s.MemoryMax)
	}
	if s.DataDir == "" && !s.Dev {
		add("no data_dir: name a directory that is kept over restarts by -data-dir (or try -dev, which keeps all in memory)")
	}
	return errors.Join(errs...)
}

// checkHTTP refuses an interface that strangers reach and no token guards.
func (s *Settings) checkHTTP() error {
	if strings.HasPrefix(s.HTTPAddr, "unix://") {
		return nil
	}
	host, _, err := net.SplitHostPort(s.HTTPAddr)
	if err != nil {
		return fmt.Errorf("-http-addr %q: want host:port or unix:///path", s.HTTPAddr)
	}
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && ip.IsLoopback()
	if !loopback && s.Token == "" {
		return fmt.Errorf("-http-addr %s can be reached from other machines and no token guards it: set `http_token` in the agent's file, or keep it on 127.0.0.1", s.HTTPAddr)
	}
	return nil
}

// ofCluster reports whether the flags say that this node is one of several.
func (s Settings) ofCluster() bool { return s.BootstrapExpect > 0 || len(s.RetryJoin) > 0 }
