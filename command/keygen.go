package command

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

func keygenLeaf() *leaf {
	return &leaf{
		name: "keygen", args: "", short: "Make a cluster key", noArgs: true,
		long: "Prints a new random key of 32 bytes in base64. One key admits a node: give the same to every agent of a " +
			"cluster by -encrypt or `encrypt` in a file that only the agent can read.",
		run: func(c *call) error {
			key := make([]byte, 32)
			rand.Read(key) // never fails: crypto/rand ends the program instead
			fmt.Fprintln(c.out, base64.StdEncoding.EncodeToString(key))
			return nil
		},
	}
}
