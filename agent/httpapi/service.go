// Package httpapi serves /v1: it turns requests into calls on a Service and typed errors into statuses, in one place.
package httpapi

import (
	"context"
	"io"
	"net/http"

	"github.com/reeve-lb/reeve/api"
)

// Service is what the handlers need of the agent. All methods are safe for concurrent use. An error that is an
// *api.Error keeps its code; any other becomes "internal".
type Service interface {
	Self() api.Self
	Members() []api.Member
	Info() map[string]map[string]string
	Join(ctx context.Context, addresses []string) (int, error)
	// Leave starts the leaving and returns; the agent ends by itself.
	Leave() error
	Reload() (api.ReloadResponse, error)
	Plan(ctx context.Context, r api.ConfigRequest) (api.PlanResponse, error)
	Apply(ctx context.Context, r api.ConfigRequest) (api.ApplyResponse, error)
	Config() (api.Config, error)
	History() ([]api.ConfigVersion, error)
	VIPs() []api.VIP
	Why(ctx context.Context, instance string) (api.Why, error)
	// Release hands over one instance, or all for "".
	Release(ctx context.Context, instance string) error
	Tables() []api.Table
	Table(name string) ([]api.TableEntry, error)
	Certificates() []api.Certificate
	SetCertificate(ctx context.Context, name string, pem []byte) (api.CertificateChange, error)
	RemoveCertificate(ctx context.Context, name string) (api.CertificateChange, error)
	SetTicketKeys(ctx context.Context, r api.TicketKeysRequest) (api.CertificateChange, error)
	RaftPeers(ctx context.Context) ([]api.RaftPeer, error)
	// Stats is anything JSON can print.
	Stats() any
	// Metrics answers with figures as Prometheus scrapes them.
	Metrics() http.Handler
	// Monitor writes log lines of the level and above until ctx ends.
	Monitor(ctx context.Context, level string, w io.Writer) error
}
