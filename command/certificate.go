package command

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/api"
)

func certificateListLeaf() *leaf {
	return &leaf{
		name: "certificate list", args: "[options]", short: "List the certificates that are served", client: true, format: true, noArgs: true,
		long: "Lists the certificates of the node's binds: file, names, kind of key, when they end, and where they come from: the file itself, or\n" +
			"what was set in its place and when. What was set for a file that no bind of this node names is listed, too.",
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
					from := "file"
					if !x.Set.IsZero() {
						from = "set " + x.Set.UTC().Format(time.RFC3339)
					}
					if !x.Served {
						from += ", no bind names it"
					}
					rows = append(rows, []string{x.File, strings.Join(x.Names, ","), x.Key, x.NotAfter.UTC().Format(time.RFC3339), from})
				}
				table(w, []string{"File", "Names", "Key", "Ends", "From"}, rows)
			})
		},
	}
}

// everyNode is what the commands that set something have in common.
const everyNode = "Every live node is asked first; with an error nothing changes anywhere. It holds until it is changed again, over restarts and on\n" +
	"nodes that join later; on an agent that stands alone, until that ends."

func certificateSetLeaf() *leaf {
	return &leaf{
		name: "certificate set", args: "[options] NAME FILE", short: "Serve another certificate on every node", client: true, format: true,
		long: "Lets the certificate in FILE (PEM: certificate, chain and key; - for standard input) stand in place of the file NAME that a bind's\n" +
			"crt names, from the next handshake on, on every node. NAME is a path, or its last part where that is enough; for a file that a\n" +
			"bind will name only later it is the whole path, and the nodes need no such file then. What becomes of the nodes' own files\n" +
			"meanwhile does not count until `reeve certificate remove`. " + everyNode,
		run: func(c *call) error {
			if len(c.args) != 2 {
				return usagef("name the certificate (`reeve certificate list` shows them) and the file with the new one")
			}
			pem, err := readArgument(c, c.args[1])
			if err != nil {
				return err
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			change, err := cl.SetCertificate(c.ctx, c.args[0], string(pem))
			return c.served(change, err, "A new certificate is served for "+change.File)
		},
	}
}

func certificateRemoveLeaf() *leaf {
	return &leaf{
		name: "certificate remove", args: "[options] NAME", short: "Let the file of a certificate count again", client: true, format: true,
		long: "Takes back what `reeve certificate set` has put in place of the file NAME: every node serves its own file again, from the next\n" +
			"handshake on. A node that names the file and does not have it, or has one that is no good, refuses for all.",
		run: func(c *call) error {
			if len(c.args) != 1 {
				return usagef("name the certificate: `reeve certificate list` shows which were set")
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			change, err := cl.RemoveCertificate(c.ctx, c.args[0])
			return c.served(change, err, "The file counts again: "+change.File)
		},
	}
}

func certificateTicketKeysLeaf() *leaf {
	return &leaf{
		name: "certificate ticket-keys", args: "[options] [FILE]", short: "Set a new key for session tickets on every node", client: true, format: true,
		long: "Makes a new key that session tickets are sealed with, and sets it on every node, so that each resumes the others' sessions. Of the\n" +
			"keys before it the two newest still open the tickets that they sealed. With FILE (- for standard input) the keys are those in it,\n" +
			"one to three of 32 bytes in base64, a line each, newest first; three leave none of those before. Keys are never printed.\n" +
			"A bind with tls-ticket-keys keeps those of its file. Once keys are set, the leader makes a new one when the newest is 25 hours\n" +
			"old; who runs this daily, by cron, is always first. " + everyNode,
		run: func(c *call) error {
			if len(c.args) > 1 {
				return usagef("name one file with keys, or none for a new key")
			}
			key := make([]byte, 32)
			rand.Read(key) // never fails: crypto/rand ends the program instead
			keys := []string{base64.StdEncoding.EncodeToString(key)}
			if len(c.args) == 1 {
				b, err := readArgument(c, c.args[0])
				if err != nil {
					return err
				}
				keys = strings.Fields(string(b))
			}
			cl, err := c.dial()
			if err != nil {
				return err
			}
			change, err := cl.SetTicketKeys(c.ctx, keys)
			return c.served(change, err, "Session tickets are sealed with a new key")
		},
	}
}

// maxArgument bounds a file that is named as an argument, in bytes.
const maxArgument = 4 << 20

// readArgument reads a file, or standard input for "-".
func readArgument(c *call, name string) ([]byte, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxArgument+1))
	if err == nil && len(b) > maxArgument {
		err = fmt.Errorf("%s is larger than 4 MiB", name)
	}
	return b, err
}

// served prints what became of a change of certificates or keys, and fails when a node does not serve so.
func (c *call) served(change api.CertificateChange, err error, what string) error {
	if err != nil {
		return err
	}
	lacking := 0
	for _, n := range change.Nodes {
		if n.Error != "" {
			lacking++
		}
	}
	if err := c.print(change, func(w io.Writer) {
		printProblems(c.errOut, change.Problems)
		for _, n := range change.Nodes {
			if n.Error == "" {
				fmt.Fprintf(w, "    %s serves so after %.0f ms\n", n.Node, n.TookMS)
			} else {
				fmt.Fprintf(c.errOut, "node %s: %s\n", n.Node, n.Error)
			}
		}
		fmt.Fprintf(w, "%s, on %d of %s.\n", what, len(change.Nodes)-lacking, count(len(change.Nodes), "node"))
	}); err != nil {
		return err
	}
	if lacking > 0 {
		return fmt.Errorf("it is committed, but %d of %s not serve so yet", lacking, nodesDo(len(change.Nodes), lacking))
	}
	return nil
}
