package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/reeve-lb/reeve/internal/source"
)

// keyFile keeps the cluster key in data_dir once it was given, readable by the agent alone.
const keyFile = "cluster.key"

// errNoKey is the one line of an agent that has no key.
var errNoKey = errors.New("no cluster key: give one by -encrypt (`reeve keygen` makes it; the same for every node), or try -dev")

// clusterKey is the key that -encrypt gives or data_dir keeps. A kept one wins: a key is changed by rotation, not by a flag;
// that another was given is added to ps.
func clusterKey(s Settings, ps *source.Problems) ([]byte, error) {
	if s.Dev && s.Encrypt == "" {
		return newKey(), nil
	}
	path := filepath.Join(s.DataDir, keyFile)
	stored, err := storedKey(path)
	if s.DataDir == "" || errors.Is(err, fs.ErrNotExist) {
		if s.Encrypt == "" {
			return nil, errNoKey
		}
		key, err := s.key()
		if err != nil || s.DataDir == "" {
			return key, err
		}
		return key, storeKey(path, key)
	}
	if err != nil {
		return nil, err
	}
	if s.Encrypt != "" {
		if given, err := s.key(); err != nil {
			return nil, err
		} else if string(given) != string(stored) {
			ps.Warnf(source.Pos{File: path}, "", "the key kept in data_dir is used, the one given by -encrypt is not")
		}
	}
	return stored, nil
}

func storedKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s holds no key of 32 bytes in base64", path)
	}
	return key, nil
}

// storeKey writes the key so that a crash leaves the old file or the new one, never half of it.
func storeKey(path string, key []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return os.Rename(tmp, path)
}
