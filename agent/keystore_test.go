package agent

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestKeyIsKept: a key that was given once is found at the next start, readable by the agent alone, and wins over another.
func TestKeyIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	log := hclog.NewNullLogger()
	if _, err := clusterKey(Settings{DataDir: dir}, log); !errors.Is(err, errNoKey) {
		t.Fatalf("without any key: %v", err)
	}
	want, err := clusterKey(Settings{DataDir: dir, Encrypt: testKey}, log)
	if err != nil {
		t.Fatal(err)
	}
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, flag := range []string{"", testKey, other} {
		got, err := clusterKey(Settings{DataDir: dir, Encrypt: flag}, log)
		if err != nil || string(got) != string(want) {
			t.Errorf("with -encrypt %q: %v, %v", flag, got, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clusterKey(Settings{DataDir: dir}, log); err == nil {
		t.Error("a damaged key was taken")
	}
	if _, err := clusterKey(Settings{DataDir: t.TempDir(), Encrypt: "short"}, log); err == nil {
		t.Error("a key of five letters was taken")
	}
}

// TestDevKeys: two trials are no cluster.
func TestDevKeys(t *testing.T) {
	a, errA := clusterKey(Settings{Dev: true}, hclog.NewNullLogger())
	b, errB := clusterKey(Settings{Dev: true}, hclog.NewNullLogger())
	if errA != nil || errB != nil || string(a) == string(b) || len(a) != 32 {
		t.Errorf("%v %v %v %v", a, b, errA, errB)
	}
}
