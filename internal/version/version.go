// Package version names the build.
package version

// Version is set by the linker (-X); a plain `go build` is a development build.
var Version = "0.1.0-dev"
