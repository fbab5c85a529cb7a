// Reeve turns a handful of Linux machines into one load balancer: see README.md.
package main

import (
	"os"

	"github.com/reeve-lb/reeve/command"
)

func main() { os.Exit(command.Main(os.Args)) }
