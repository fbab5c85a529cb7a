package gossip

import (
	"log"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/cluster/mux"
)

// writer takes memberlist's and Serf's lines. Anybody can send us packets that make them write, so a kind of line about
// an address comes through once in a while.
type writer struct {
	log hclog.Logger
	l   *mux.Limiter
}

func newStdLogger(l hclog.Logger) *log.Logger {
	return log.New(&writer{l, mux.NewLimiter(10*time.Second, 256)}, "", 0)
}

// Write implements io.Writer for one line.
func (w *writer) Write(p []byte) (int, error) {
	level, text := split(strings.TrimSpace(string(p)))
	// To go without leaving is what a stop is.
	if level == hclog.Debug || level == hclog.Info || strings.Contains(text, "Shutdown without a Leave") {
		w.log.Debug("gossip", "text", text) // what matters of it we tell by events
		return len(p), nil
	}
	msg, addr := meaning(text)
	ok, held := w.l.Allow(msg+addr, time.Now())
	if !ok {
		return len(p), nil
	}
	args := []any{"text", text}
	if addr != "" {
		args = append([]any{"address", addr}, args...)
	}
	if held > 0 {
		args = append(args, "suppressed", held)
	}
	w.log.Warn(msg, args...)
	return len(p), nil
}

func split(line string) (hclog.Level, string) {
	for prefix, level := range map[string]hclog.Level{
		"[DEBUG] ": hclog.Debug, "[INFO] ": hclog.Info, "[WARN] ": hclog.Warn, "[ERR] ": hclog.Error, "[ERROR] ": hclog.Error,
	} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return level, rest
		}
	}
	return hclog.Info, line
}

// meaning gives a line a constant message, and the address it is about without its port: a stranger may use all of them.
func meaning(text string) (msg, addr string) {
	if i := strings.LastIndex(text, "from="); i >= 0 {
		addr, _, _ = strings.Cut(text[i+len("from="):], " ")
		if i := strings.LastIndexByte(addr, ':'); i > 0 {
			addr = strings.Trim(addr[:i], "[]")
		}
	}
	switch {
	case strings.Contains(text, "ecrypt") || strings.Contains(text, "installed keys") || strings.Contains(text, "is encrypted"):
		return "refused gossip of another cluster key", addr
	case strings.Contains(text, "onflicting address"):
		return "two nodes use one name", addr
	case addr != "":
		return "refused gossip", addr
	}
	return "gossip is troubled", addr
}
