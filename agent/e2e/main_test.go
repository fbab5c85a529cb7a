// Package e2e runs the real binary on lab hosts: several agents, web servers, a client, and what can go wrong.
package e2e

import (
	"testing"

	"github.com/reeve-lb/reeve/internal/lab"
)

func TestMain(m *testing.M) {
	lab.MainWithProgram(m, "github.com/reeve-lb/reeve", "hashicorpmetrics")
}
