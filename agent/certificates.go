package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/api"
	"github.com/reeve-lb/reeve/cluster"
	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy/tlsconf"
)

// Certificates and ticket keys that come by the API are agreed on like a configuration: each node is asked, then all serve
// them. What is set for a file counts on every node until it is taken back, whatever becomes of the files: they are each
// node's own. A node that stands alone has them until its agent ends.

// ownTLS is what was set on a node that stands alone.
type ownTLS struct {
	part    cluster.TLSPart
	changes uint64
}

// change makes a change and returns what there is then.
func (o *ownTLS) change(now time.Time, change cluster.TLSChange) (cluster.TLS, error) {
	o.changes++
	err := o.part.Change(o.changes, now, change)
	return o.part.Contents(), err
}

// renew makes a new ticket key when the newest one that was set is old, as a cluster's leader does.
func (o *ownTLS) renew(now time.Time) (cluster.TLS, bool) {
	change, old := cluster.NewTicketKey(&o.part, now, cluster.DefaultTicketKeyAge)
	if !old {
		return cluster.TLS{}, false
	}
	t, err := o.change(now, change)
	return t, err == nil
}

// renewEvery is how often a node that stands alone looks at the age of its ticket keys.
const renewEvery = time.Minute

func (a *Agent) renewOwnTicketKey(now time.Time) {
	if !a.alone() {
		return
	}
	a.mu.Lock()
	t, renewed := a.own.renew(now)
	a.mu.Unlock()
	if renewed {
		a.logProblems(a.serveTLS(t))
	}
}

// inForceTLS is what was set, here or by the cluster.
func (a *Agent) inForceTLS() cluster.TLS {
	if !a.alone() {
		return a.cluster.TLS()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.own.part.Contents()
}

// Certificates implements httpapi.Service.
func (a *Agent) Certificates() []api.Certificate {
	out := []api.Certificate{}
	row := func(c tlsconf.Certificate) api.Certificate {
		return api.Certificate{File: c.File, Names: c.Names, Key: c.Key, Serial: c.Serial, Issuer: c.Issuer, NotBefore: c.NotBefore,
			NotAfter: c.NotAfter, OCSP: c.OCSP}
	}
	for _, c := range a.engine.Certificates() {
		r := row(c)
		r.Served = true
		out = append(out, r)
	}
	for _, set := range a.inForceTLS().Certificates {
		i := slices.IndexFunc(out, func(c api.Certificate) bool { return c.File == set.Name })
		if i < 0 {
			c, _ := tlsconf.Check(set.Name, set.PEM, set.Set) // good at that time, else it had not been agreed on
			c.File = set.Name
			i, out = len(out), append(out, row(c))
		}
		out[i].Set = set.Set
	}
	slices.SortFunc(out, func(x, y api.Certificate) int { return strings.Compare(x.File, y.File) })
	return out
}

// methodFiles asks a node for the files that its binds' certificates come from.
const methodFiles = "certificate-files"

func (a *Agent) certificateFiles() []string {
	files := []string{}
	for _, c := range a.engine.Certificates() {
		files = append(files, c.File)
	}
	return files
}

func (a *Agent) serveFiles(context.Context, cluster.Peer, []byte) ([]byte, error) {
	return json.Marshal(a.certificateFiles())
}

// certificateFile finds the file that is meant: one that this node serves from, or that something was set for, or that
// another node serves from.
func (a *Agent) certificateFile(ctx context.Context, name string) (string, error) {
	files := a.certificateFiles()
	for _, c := range a.inForceTLS().Certificates {
		files = append(files, c.Name)
	}
	file, err := tlsconf.Find(files, name)
	if !errors.Is(err, tlsconf.ErrNoCertificate) {
		return file, err
	}
	for _, m := range a.cluster.Members() {
		if m.Name == a.set.Node || m.Role == cluster.RoleWitness || m.Status != cluster.StatusAlive {
			continue
		}
		var theirs []string
		if b, err := a.cluster.Call(ctx, m.Name, methodFiles, nil); err == nil && json.Unmarshal(b, &theirs) == nil {
			files = append(files, theirs...)
		}
	}
	return tlsconf.Find(files, name)
}

// SetCertificate implements httpapi.Service.
func (a *Agent) SetCertificate(ctx context.Context, name string, content []byte) (api.CertificateChange, error) {
	file, err := a.certificateFile(ctx, name)
	early := false
	if errors.Is(err, tlsconf.ErrNoCertificate) {
		if file, early = tlsconf.Ahead(name); early {
			err = nil
		} else {
			err = fmt.Errorf("%w: give the whole path to set one before a bind names it", err)
		}
	}
	if err != nil {
		return api.CertificateChange{}, tlsError(err)
	}
	change := cluster.TLSChange{Put: &cluster.Certificate{Name: file, PEM: content}}
	out, err := a.changeTLS(ctx, change, file, "a certificate was set in place of its file", "file", file)
	if err == nil && early {
		var ps source.Problems
		ps.Warnf(source.Pos{}, "", "%s: no bind names it yet: it is kept for the configuration that does", file)
		out.Problems = append(toAPI(ps, ""), out.Problems...)
	}
	return out, err
}

// RemoveCertificate implements httpapi.Service.
func (a *Agent) RemoveCertificate(ctx context.Context, name string) (api.CertificateChange, error) {
	file, err := a.certificateFile(ctx, name)
	if err != nil {
		return api.CertificateChange{}, tlsError(err)
	}
	return a.changeTLS(ctx, cluster.TLSChange{Remove: file}, file, "a certificate's file counts again", "file", file)
}

// SetTicketKeys implements httpapi.Service.
func (a *Agent) SetTicketKeys(ctx context.Context, r api.TicketKeysRequest) (api.CertificateChange, error) {
	var change cluster.TLSChange
	for _, text := range r.Keys {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) != len(tlsconf.TicketKey{}) {
			return api.CertificateChange{}, &api.Error{Code: api.CodeInvalid, Message: "a ticket key is 32 bytes in base64"} // the key itself is not told
		}
		change.TicketKeys = append(change.TicketKeys, b)
	}
	if len(r.Keys) == 0 {
		return api.CertificateChange{}, &api.Error{Code: api.CodeInvalid, Message: "there must be 1 to 3 ticket keys"}
	}
	return a.changeTLS(ctx, change, "", "ticket keys were set", "keys", len(r.Keys))
}

// changeTLS makes a change everywhere, or nowhere. What no node could serve is said once, by this one.
func (a *Agent) changeTLS(ctx context.Context, change cluster.TLSChange, file, done string, args ...any) (api.CertificateChange, error) {
	if err := change.Fits(); err != nil {
		return api.CertificateChange{}, &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	for _, p := range (app{a}).CanServe(ctx, change) {
		if p.Severity == source.Error {
			return api.CertificateChange{}, &api.Error{Code: api.CodeInvalid, Message: p.Text + ": nothing was changed"}
		}
	}
	var reports []cluster.NodeReport
	var err error
	if a.alone() {
		reports, err = a.changeOwnTLS(ctx, change)
	} else {
		reports, err = a.cluster.ChangeTLS(ctx, change)
	}
	if err != nil {
		return api.CertificateChange{}, tlsError(err)
	}
	a.log.Info(done, args...)
	out := api.CertificateChange{File: file, Nodes: []api.ServingReport{}}
	for _, r := range reports {
		out.Nodes = append(out.Nodes, api.ServingReport{Node: r.Node, Error: r.Error, TookMS: ms(r.Took)})
		out.Problems = append(out.Problems, toAPI(r.Problems, r.Node)...)
	}
	return out, nil
}

// changeOwnTLS is the change on a node that stands alone.
func (a *Agent) changeOwnTLS(ctx context.Context, change cluster.TLSChange) ([]cluster.NodeReport, error) {
	report := cluster.NodeReport{Node: a.set.Node, Problems: app{a}.CanServe(ctx, change)}
	begun := time.Now()
	a.mu.Lock()
	now, err := a.own.change(begun, change)
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := a.serveTLS(now).Err(); err != nil {
		report.Error = err.Error()
	}
	report.Took = time.Since(begun)
	return []cluster.NodeReport{report}, nil
}

// tlsError turns what went wrong with a change into its code.
func tlsError(err error) error {
	switch {
	case errors.Is(err, tlsconf.ErrNoCertificate), errors.Is(err, cluster.ErrNotSet):
		return &api.Error{Code: api.CodeNotFound, Message: err.Error()}
	case errors.Is(err, tlsconf.ErrSeveral), errors.Is(err, cluster.ErrFull):
		return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	return apiError(err)
}

// serveTLS has the data plane serve what is agreed on.
func (a *Agent) serveTLS(t cluster.TLS) source.Problems {
	if a.set.Witness {
		return nil
	}
	var ps source.Problems
	files := make(map[string][]byte, len(t.Certificates))
	for _, c := range t.Certificates {
		files[c.Name] = c.PEM
	}
	var keys []tlsconf.TicketKey
	for _, k := range t.TicketKeys {
		if len(k.Key) != len(tlsconf.TicketKey{}) {
			ps.Errorf(source.Pos{}, "is a newer version of the program elsewhere?", "a ticket key has %d bytes", len(k.Key))
			continue
		}
		keys = append(keys, tlsconf.TicketKey(k.Key))
	}
	return append(ps, a.engine.ServeTLS(files, keys)...)
}

// CanServe implements cluster.App.
func (a app) CanServe(_ context.Context, change cluster.TLSChange) source.Problems {
	var ps source.Problems
	switch {
	case a.set.Witness: // it serves nothing
	case change.Put != nil:
		return a.engine.CheckCertificate(change.Put.Name, change.Put.PEM)
	case change.Remove != "":
		if err := a.engine.CheckFile(change.Remove); err != nil {
			ps.Errorf(source.Pos{}, "", "the file can't count again: %v", err)
		}
	default:
		for _, k := range change.TicketKeys {
			if n := len(tlsconf.TicketKey{}); len(k) != n {
				ps.Errorf(source.Pos{}, "", "a ticket key has %d bytes, it must have %d", len(k), n)
			}
		}
	}
	return ps
}

// TLSCommitted implements cluster.App. A configuration that had problems is tried again: a file that it missed may have
// come.
func (a app) TLSCommitted(t cluster.TLS) {
	err := a.serveTLS(t).Err()
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	a.cluster.Serving(t.Index, problem)
	a.log.Info("certificates of the cluster are served", "certificates", len(t.Certificates), "ticket_keys", len(t.TicketKeys), "problem", problem)
	select {
	case a.retry <- struct{}{}:
	default:
	}
}

// applyAgain applies what runs with problems once more.
func (a *Agent) applyAgain() {
	a.mu.Lock()
	r := a.running
	a.mu.Unlock()
	if r.problem != "" {
		a.apply(wanted{version: r.version, doc: r.whole})
	}
}
