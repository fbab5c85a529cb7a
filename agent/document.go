package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// encode is the payload of a Raft entry: the Document as JSON, places included, so that a node can name the line of
// what it can't run.
func encode(d config.Document) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return b, nil
}

// decode reads what encode wrote.
func decode(payload []byte) (config.Document, error) {
	var d config.Document
	if err := json.Unmarshal(payload, &d); err != nil {
		return d, fmt.Errorf("decode configuration: %w", err)
	}
	return d, nil
}

// digest names the contents of a payload for people: the same wish, written in other files, has the same digest.
func digest(d config.Document) string {
	sum := sha256.Sum256(config.WriteHCL(d))
	return hex.EncodeToString(sum[:6])
}

// loadFiles reads files by their arguments. The error lists every problem; warnings come back for the log.
func loadFiles(args []string) (config.Document, config.Node, source.Problems) {
	if len(args) == 0 {
		return config.Document{}, config.Node{}, nil
	}
	files, ps := config.ReadFiles(args)
	if ps.HasErrors() {
		return config.Document{}, config.Node{}, ps
	}
	d, n, more := config.Load(files)
	ps = append(ps, more...)
	ps.Sort()
	return d, n, ps
}
