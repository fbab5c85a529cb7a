package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/reeve-lb/reeve/vrrp"
	"github.com/reeve-lb/reeve/vrrp/vip"
)

// addressesFile lists, in data_dir, the addresses that this node may have put on: what an agent that was killed with its
// guard leaves behind is found by it, also when the configuration has moved on since.
const addressesFile = "addresses.json"

// remember writes the list before the first of the addresses goes on.
func remember(dataDir string, c vrrp.Config) error {
	if dataDir == "" {
		return nil
	}
	list := []vip.On{}
	plans, _ := vip.Plans(c) // what can't be goes on nowhere
	for _, p := range plans {
		list = append(list, p.Group.On()...)
	}
	b, err := json.Marshal(list)
	if err != nil {
		return err
	}
	path := filepath.Join(dataDir, addressesFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return os.Rename(path+".new", path)
}

// RemoveLeftovers takes off this machine what a former life of the agent with this data_dir may have left on it. It
// returns how many addresses it looked for; that some were not there is no error.
func RemoveLeftovers(dataDir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dataDir, addressesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var list []vip.On
	if err := json.Unmarshal(b, &list); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dataDir, addressesFile), err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	r, err := vip.NewRemover()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return len(list), r.Remove(list)
}
