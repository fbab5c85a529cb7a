package agent

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/packet"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// TestMetrics: what a scrape shows of an instance.
func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(vrrpFigures{func() []speaker.InstanceStatus {
		return []speaker.InstanceStatus{{
			Instance: "VI_1", Interface: "eth0", VirtualRouterID: 51, State: machine.Master, Priority: 90, Epoch: 7,
			Counters:   map[string]uint64{"advert_sent": 12},
			Alarms:     []packet.Alarm{{Source: netip.MustParseAddr("10.0.0.2"), What: "wrong password", Count: 3}, {What: "wrong password", Count: 4}},
			Duplicates: []speaker.Duplicate{{Address: netip.MustParsePrefix("10.0.0.100/24"), Theirs: "02:00:00:00:00:01", Count: 1}},
		}, {Instance: "VI_2", Interface: "eth0", VirtualRouterID: 52}}
	}})
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{
		`reeve_vrrp_state{instance="VI_1",interface="eth0",virtual_router_id="51"} 2`,
		`reeve_vrrp_state{instance="VI_2",interface="eth0",virtual_router_id="52"} 0`,
		`reeve_vrrp_priority{instance="VI_1",interface="eth0",virtual_router_id="51"} 90`,
		`reeve_vrrp_lease_epoch{instance="VI_1",interface="eth0",virtual_router_id="51"} 7`,
		`reeve_vrrp_events_total{instance="VI_1",interface="eth0",kind="advert_sent",virtual_router_id="51"} 12`,
		`reeve_vrrp_mismatches_total{cause="wrong password",instance="VI_1",interface="eth0",source="10.0.0.2",virtual_router_id="51"} 3`,
		`reeve_vrrp_mismatches_total{cause="wrong password",instance="VI_1",interface="eth0",source="others",virtual_router_id="51"} 4`,
		`reeve_vrrp_duplicate_address_reports_total{address="10.0.0.100/24",instance="VI_1",interface="eth0",mac="02:00:00:00:00:01",virtual_router_id="51"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("%s is missing in\n%s", want, w.Body)
		}
	}
}
