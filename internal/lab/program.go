package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programVar tells a test binary, once it has re-executed itself inside the lab, where the program is.
const programVar = "REEVE_LAB_PROGRAM"

// MainWithProgram is Main for tests that run a program of this module on lab hosts: it is built once, outside, from the
// package pkg with these build tags, and lies in a folder of its own that goes when the tests end.
func MainWithProgram(m Tests, pkg, tags string) {
	if os.Getenv(programVar) != "" {
		Main(m)
		return
	}
	code, err := withProgram(pkg, tags, func() int {
		code, inside, err := Enter()
		if err != nil {
			fmt.Fprintf(os.Stderr, "lab: %v\n", err)
			return 1
		}
		if inside {
			return m.Run()
		}
		return code
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// Program is the path of what MainWithProgram built.
func Program() string { return os.Getenv(programVar) }

// withProgram builds the program for the time of run.
func withProgram(pkg, tags string, run func() int) (int, error) {
	dir, err := os.MkdirTemp("", "reeve-program-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// Daemons that give up their privileges have to reach it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	file := filepath.Join(dir, filepath.Base(pkg))
	build := exec.Command("go", "build", "-tags", tags, "-o", file, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("build %s: %w", pkg, err)
	}
	if err := os.Setenv(programVar, file); err != nil {
		return 1, err
	}
	return run(), nil
}
