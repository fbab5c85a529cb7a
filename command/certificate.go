package command

import (
	"io"
	"os"
	"strings"
	"time"
)

func certificateListLeaf() *leaf {
	return &leaf{
		name: "certificate list", args: "[options]", short: "List the certificates that are served", client: true, format: true, noArgs: true,
		long: "Lists the certificates of the node's binds: file, names, kind of key and when they end.",
		run: func(c *call) error {
			cl, err := c.dial()
			if err != nil {
				return err
			}
			cs, err := cl.Certificates(c.ctx)
			if err != nil {
				return err
			}
			return c.print(cs, func(w io.Writer) {
				rows := make([][]string, 0, len(cs))
				for _, x := range cs {
					rows = append(rows, []string{x.File, strings.Join(x.Names, ","), x.Key, x.NotAfter.UTC().Format(time.RFC3339)})
				}
				table(w, []string{"File", "Names", "Key", "Ends"}, rows)
			})
		},
	}
}

func certificateSetLeaf() *leaf {
	return &leaf{
		name: "certificate set", args: "[options] NAME FILE", short: "Serve another certificate", client: true, format: true,
		long: "Lets the certificate in FILE (PEM: certificate, chain and key) stand in place of the file NAME that a bind's crt names, from the\n" +
			"next handshake on, on this node and until its agent ends. NAME is a path, or its last part where that is enough.",
		run: func(c *call) error {
			if len(c.args) != 2 {
				return usagef("name the certificate (`reeve certificate list` shows them) and the file with the new one")
			}
			pem, err := os.ReadFile(c.args[1])
			if err != nil {
				return err
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			change, err := cl.SetCertificate(c.ctx, c.args[0], string(pem))
			if err != nil {
				return err
			}
			return c.print(change, func(w io.Writer) { io.WriteString(w, "A new certificate is served for "+change.File+".\n") })
		},
	}
}
