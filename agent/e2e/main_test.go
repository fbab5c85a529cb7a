// Package e2e runs the real binary on lab hosts: several agents, web servers, a client, and what can go wrong.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/reeve-lb/reeve/internal/lab"
)

// binaryEnv tells the test binary, once it has re-executed itself inside the lab, where the program is.
const binaryEnv = "REEVE_E2E_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(binaryEnv) != "" {
		lab.Main(m)
		return
	}
	os.Exit(buildAnd(func() int {
		code, inside, err := lab.Enter()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if inside {
			return m.Run()
		}
		return code
	}))
}

// buildAnd builds the program for the time of run.
func buildAnd(run func() int) int {
	dir, err := os.MkdirTemp("", "reeve-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin := filepath.Join(dir, "reeve")
	build := exec.Command("go", "build", "-tags", "hashicorpmetrics", "-o", bin, "github.com/reeve-lb/reeve")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	os.Setenv(binaryEnv, bin)
	return run()
}
