package agent

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/reeve-lb/reeve/internal/source"
)

// TestKeyIsKept: a key that was given once is found at the next start, readable by the agent alone, and wins over another.
func TestKeyIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var ps source.Problems
	if _, err := clusterKey(Settings{DataDir: dir}, &ps); !errors.Is(err, errNoKey) {
		t.Fatalf("without any key: %v", err)
	}
	want, err := clusterKey(Settings{DataDir: dir, Encrypt: testKey}, &ps)
	if err != nil {
		t.Fatal(err)
	}
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, flag := range []string{"", testKey, other} {
		var said source.Problems
		got, err := clusterKey(Settings{DataDir: dir, Encrypt: flag}, &said)
		if err != nil || string(got) != string(want) {
			t.Errorf("with -encrypt %q: %v, %v", flag, got, err)
		}
		if len(said) > 0 != (flag == other) || said.HasErrors() {
			t.Errorf("with -encrypt %q it warns of %v", flag, said)
		}
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clusterKey(Settings{DataDir: dir}, &ps); err == nil {
		t.Error("a damaged key was taken")
	}
	if _, err := clusterKey(Settings{DataDir: t.TempDir(), Encrypt: "short"}, &ps); err == nil {
		t.Error("a key of five letters was taken")
	}
}

// TestDevKeys: two trials are no cluster.
func TestDevKeys(t *testing.T) {
	a, errA := clusterKey(Settings{Dev: true}, new(source.Problems))
	b, errB := clusterKey(Settings{Dev: true}, new(source.Problems))
	if errA != nil || errB != nil || string(a) == string(b) || len(a) != 32 {
		t.Errorf("%v %v %v %v", a, b, errA, errB)
	}
}
