package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"
)

func configShowLeaf() *leaf {
	format := new(string)
	return &leaf{
		name: "config show", args: "[options]", short: "Print the configuration in force", client: true, noArgs: true,
		long: "Prints the version that the agent has in force, as HCL that `reeve apply` reads back.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(format, "format", "hcl", "`form`: hcl or json")
		},
		run: func(c *call) error {
			if *format != "hcl" && *format != "json" && *format != "text" {
				return usagef("-format=%s: want hcl or json", *format)
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			v, err := cl.Config(c.ctx)
			if err != nil {
				return err
			}
			if *format == "json" {
				e := json.NewEncoder(c.out)
				e.SetIndent("", "  ")
				return e.Encode(v)
			}
			_, err = io.WriteString(c.out, v.HCL)
			return err
		},
	}
}

func configHistoryLeaf() *leaf {
	return &leaf{
		name: "config history", args: "[options]", short: "List the versions kept", client: true, format: true, noArgs: true,
		long: "Lists the versions of the configuration, newest first, with who changed it and when. * marks the one the agent runs.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			vs, err := cl.History(c.ctx)
			if err != nil {
				return err
			}
			return c.print(vs, func(w io.Writer) {
				rows := make([][]string, 0, len(vs))
				for _, v := range vs {
					mark := strconv.FormatUint(v.Version, 10)
					if v.Running {
						mark += " *"
					}
					rows = append(rows, []string{mark, v.Time.Local().Format(time.DateTime), v.Author, v.Summary, v.Digest})
				}
				if len(rows) == 0 {
					fmt.Fprintln(w, "No version is kept: nothing was applied yet, or the agent stands alone and runs its own files.")
					return
				}
				table(w, []string{"Version", "Time", "Author", "Summary", "Digest"}, rows)
			})
		},
	}
}
