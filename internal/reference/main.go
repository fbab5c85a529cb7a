// Reference writes the website's reference pages: the command line from the flag sets, the configuration from the table
// of words, the linter from its table of rules. What runs is what is documented.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "website/reference", "write the pages into this `directory`")
	flag.Parse()
	pages := map[string]string{"cli.md": cliPage(), "config.md": configPage(), "lint.md": lintPage()}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(*out, name), []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "reference:", err)
			os.Exit(1)
		}
	}
}
