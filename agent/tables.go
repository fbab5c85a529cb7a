package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/api"
)

// Tables implements httpapi.Service: the tables of the running configuration, and what is left of others.
func (a *Agent) Tables() []api.Table {
	sizes := map[string]int{}
	for _, t := range a.cluster.Tables().List() {
		sizes[t.Name] = t.Entries
	}
	out := []api.Table{}
	a.mu.Lock()
	backends := a.running.doc.Proxy.Backends
	a.mu.Unlock()
	for _, b := range backends {
		if b.StickTable == nil {
			continue
		}
		out = append(out, api.Table{Name: b.Name, Type: b.StickTable.Type, Size: b.StickTable.Size, Entries: sizes[b.Name]})
		delete(sizes, b.Name)
	}
	for name, n := range sizes {
		out = append(out, api.Table{Name: name, Entries: n})
	}
	slices.SortFunc(out, func(x, y api.Table) int { return strings.Compare(x.Name, y.Name) })
	return out
}

// tableRows bounds one answer.
const tableRows = 100_000

// Table implements httpapi.Service.
func (a *Agent) Table(name string) ([]api.TableEntry, error) {
	known := slices.ContainsFunc(a.Tables(), func(t api.Table) bool { return t.Name == name })
	if !known {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no table %q: `reeve table list` shows them", name)}
	}
	out := []api.TableEntry{}
	for _, e := range a.cluster.Tables().Entries(name, tableRows) {
		row := api.TableEntry{Key: e.Key.Key, Server: e.Server}
		if !e.Expires.IsZero() {
			row.ExpiresMS = max(0, time.Until(e.Expires).Milliseconds())
		}
		out = append(out, row)
	}
	return out, nil
}
