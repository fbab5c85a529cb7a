package vip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/reeve-lb/reeve/vrrp"
)

// journal is what has to be undone should this process die. It is written before anything in it is done.
type journal struct {
	Boot     string // kernel settings and interfaces do not outlive a boot
	VMACs    []VMAC
	Settings []changed
	Tables   []string // of nftables
	Routes   []vrrp.Route
	Rules    []vrrp.Rule
	Static   []vrrp.Address
}

// changed is a setting of the kernel's with what it was before.
type changed struct {
	knob
	Old, New int
}

// bootID changes with each boot of the machine.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// readJournal is nil when there is none, or it is of a former boot.
func readJournal(path string) (*journal, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal of changes to the machine: %w", err)
	}
	var j journal
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("journal of changes to the machine: %s: %w", path, err)
	}
	if j.Boot != bootID() {
		return nil, nil
	}
	return &j, nil
}

// write replaces the journal; an empty one is removed.
func (j *journal) write(path string) error {
	if path == "" {
		return nil
	}
	if j.empty() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("journal of changes to the machine: %w", err)
		}
		return nil
	}
	j.Boot = bootID()
	b, err := json.Marshal(j)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("journal of changes to the machine: %w", err)
	}
	return nil
}

func (j *journal) empty() bool {
	return len(j.VMACs)+len(j.Settings)+len(j.Tables)+len(j.Routes)+len(j.Rules)+len(j.Static) == 0
}
