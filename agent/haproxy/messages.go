package haproxy

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// level is how haproxy names the weight of a message.
type level string

const (
	notice  level = "NOTICE"
	warning level = "WARNING"
	alert   level = "ALERT"
)

// messages writes lines as haproxy writes them to standard error: the level in eleven columns, the process, the text. It
// is safe for concurrent use.
type messages struct {
	quiet bool
	hello string // told as notices before the first message
	mu    sync.Mutex
	out   io.Writer
}

func (m *messages) put(l level, text string) {
	if m.quiet {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hello != "" {
		m.line(notice, m.hello)
		m.hello = ""
	}
	m.line(l, text)
}

func (m *messages) line(l level, text string) {
	fmt.Fprintf(m.out, "%-11s(%d) : %s\n", "["+string(l)+"]", os.Getpid(), oneLine(text))
}

// oneLine keeps whoever a message quotes from writing messages of his own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// Accept implements hclog.SinkAdapter: what the data plane says becomes messages.
func (m *messages) Accept(_ string, l hclog.Level, msg string, args ...any) {
	var b strings.Builder
	b.WriteString(msg)
	for i := 0; i+1 < len(args); i += 2 {
		fmt.Fprintf(&b, " %v=%v", args[i], args[i+1])
	}
	switch {
	case l >= hclog.Error:
		m.put(alert, b.String())
	case l == hclog.Warn:
		m.put(warning, b.String())
	default:
		m.put(notice, b.String())
	}
}

// logger is what the data plane logs to.
func (m *messages) logger(debug bool) hclog.Logger {
	level := hclog.Info
	if debug {
		level = hclog.Debug
	}
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "haproxy", Level: level, Output: io.Discard})
	log.RegisterSink(m)
	return log
}
