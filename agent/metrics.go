package agent

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/reeve-lb/reeve/vrrp/machine"
	"github.com/reeve-lb/reeve/vrrp/speaker"
)

// Metrics implements httpapi.Service: what Prometheus scrapes. Figures are read when somebody asks, so that they cost
// nothing else.
func (a *Agent) Metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(vrrpFigures{a.speaker.Status}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

// vrrpFigures is a prometheus.Collector of the VRRP instances.
type vrrpFigures struct {
	status func() []speaker.InstanceStatus
}

var (
	perInstance    = []string{"instance", "interface", "virtual_router_id"}
	vrrpState      = figure("state", "0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT, as keepalived numbers them", perInstance...)
	vrrpPriority   = figure("priority", "effective priority", perInstance...)
	vrrpEpoch      = figure("lease_epoch", "epoch of the lease held here, 0 for none", perInstance...)
	vrrpEvents     = figure("events_total", "adverts sent and received, moves to and from MASTER, packets that were dropped, by kind", append(perInstance, "kind")...)
	vrrpMismatches = figure("mismatches_total", "adverts of a peer that differ from what is configured here", append(perInstance, "source", "cause")...)
	vrrpDuplicates = figure("duplicate_address_reports_total", "claims of another machine on an address of ours", append(perInstance, "address", "mac")...)
)

func figure(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("reeve_vrrp_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (vrrpFigures) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{vrrpState, vrrpPriority, vrrpEpoch, vrrpEvents, vrrpMismatches, vrrpDuplicates} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (f vrrpFigures) Collect(c chan<- prometheus.Metric) {
	for _, st := range f.status() {
		labels := []string{st.Instance, st.Interface, strconv.Itoa(st.VirtualRouterID)}
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, more ...string) {
			c <- prometheus.MustNewConstMetric(d, kind, v, append(labels[:len(labels):len(labels)], more...)...)
		}
		send(vrrpState, prometheus.GaugeValue, float64(max(st.State, machine.Init)-machine.Init))
		send(vrrpPriority, prometheus.GaugeValue, float64(st.Priority))
		send(vrrpEpoch, prometheus.GaugeValue, float64(st.Epoch))
		for kind, n := range st.Counters {
			send(vrrpEvents, prometheus.CounterValue, float64(n), kind)
		}
		for _, al := range st.Alarms {
			source := "others"
			if al.Source.IsValid() {
				source = al.Source.String()
			}
			send(vrrpMismatches, prometheus.CounterValue, float64(al.Count), source, al.What)
		}
		for _, d := range st.Duplicates {
			send(vrrpDuplicates, prometheus.CounterValue, float64(d.Count), d.Address.String(), d.Theirs)
		}
	}
}
