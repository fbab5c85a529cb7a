package command

import (
	"fmt"
	"io"
	"runtime"

	"github.com/reeve-lb/reeve/internal/version"
)

func versionLeaf() *leaf {
	return &leaf{
		name: "version", args: "[options]", short: "Print the version", format: true, noArgs: true,
		long: "Prints the version of this binary and of the Go it was built with.",
		run: func(c *call) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{version.Version, runtime.Version()}
			return c.print(v, func(w io.Writer) { fmt.Fprintf(w, "Reeve %s (%s)\n", v.Version, v.Go) })
		},
	}
}
