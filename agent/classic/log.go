package classic

import (
	"context"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Names of loggers. What is logged below vrrpLog has the identity of keepalived's child.
const (
	rootLog = "keepalived"
	vrrpLog = "vrrp"
)

// logBacklog is how many lines may wait for a log that does not take them; what is more is left out, and said.
const logBacklog = 2048

// flushBudget is how long the end waits for the log.
const flushBudget = time.Second

// line is one line on its way to the logs.
type line struct {
	at    time.Time
	level hclog.Level
	child bool // of the VRRP part
	text  string
}

// logs writes lines to syslog, the console and a file. A log that does not take its lines (a syslog daemon that was
// stopped, a pipe that nobody reads) never holds up who logs.
type logs struct {
	detail  bool
	queue   chan line
	dropped atomic.Uint64
	done    chan struct{}
	sinks   []func(line)
	closers []io.Closer
}

// logTargets says where lines go.
type logTargets struct {
	console  io.Writer // nil: none
	file     string    // "": none
	syslog   bool
	facility int
	suffix   string // of the identities: of the instance or the namespace
	detail   bool
}

func newLogs(t logTargets) (*logs, error) {
	l := &logs{detail: t.detail, queue: make(chan line, logBacklog), done: make(chan struct{})}
	if t.syslog {
		parent := &syslogSink{ident: "Keepalived" + t.suffix, facility: t.facility}
		child := &syslogSink{ident: "Keepalived_vrrp" + t.suffix, facility: t.facility}
		l.sinks = append(l.sinks, func(n line) {
			if n.child {
				child.write(n)
			} else {
				parent.write(n)
			}
		})
		l.closers = append(l.closers, parent, child)
	}
	if t.console != nil {
		l.sinks = append(l.sinks, plain(t.console))
	}
	if t.file != "" {
		f, err := os.OpenFile(t.file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		l.sinks = append(l.sinks, plain(f))
		l.closers = append(l.closers, f)
	}
	return l, nil
}

// plain writes lines as keepalived does to a console.
func plain(w io.Writer) func(line) {
	return func(n line) {
		fmt.Fprintf(w, "%s: %s\n", n.at.Format("Mon Jan _2 15:04:05 2006"), n.text) // who reads no console misses its lines
	}
}

// run writes until ctx ends and the queue is empty, or flushBudget after that.
func (l *logs) run(ctx context.Context) {
	defer close(l.done)
	for {
		select {
		case n := <-l.queue:
			l.write(n)
			continue
		default:
		}
		select {
		case n := <-l.queue:
			l.write(n)
		case <-ctx.Done():
			if len(l.queue) == 0 {
				return
			}
		}
	}
}

func (l *logs) write(n line) {
	if lost := l.dropped.Swap(0); lost > 0 {
		l.each(line{at: time.Now(), level: hclog.Warn, text: fmt.Sprintf("the log did not keep up: %d lines were left out", lost)})
	}
	l.each(n)
}

func (l *logs) each(n line) {
	for _, sink := range l.sinks {
		sink(n)
	}
}

// close ends run, waits for what is still to be written as long as it is worth it, and closes the logs. A write that hangs
// is left behind: the process ends next.
func (l *logs) close(end context.CancelFunc) {
	end()
	select {
	case <-l.done:
		for _, c := range l.closers {
			_ = c.Close()
		}
	case <-time.After(flushBudget):
	}
}

// Accept implements hclog.SinkAdapter.
func (l *logs) Accept(name string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Info && !l.detail {
		return
	}
	child := strings.HasPrefix(strings.TrimPrefix(name, rootLog+"."), vrrpLog)
	now := time.Now()
	for _, text := range render(msg, args, l.detail) {
		select {
		case l.queue <- line{at: now, level: level, child: child, text: text}:
		default:
			l.dropped.Add(1)
		}
	}
}

// render makes a message and its pairs one line. People match keepalived's words to the end of the line where an instance
// changes its state: those stand alone, and why it did so follows in a line of its own when details are asked for.
func render(msg string, args []any, detail bool) []string {
	var b strings.Builder
	for i := 0; i+1 < len(args); i += 2 {
		fmt.Fprintf(&b, " %v=%s", args[i], value(args[i+1]))
	}
	if len(args)%2 == 1 {
		fmt.Fprintf(&b, " %s", value(args[len(args)-1]))
	}
	pairs := b.String()
	switch {
	case pairs == "":
		return []string{oneLine(msg)}
	case strings.HasPrefix(msg, "(") && strings.Contains(msg, ") Entering ") && strings.HasSuffix(msg, " STATE"):
		name, _, _ := strings.Cut(msg, ")")
		if strings.HasPrefix(pairs, " from=INIT ") && strings.HasSuffix(msg, " BACKUP STATE") {
			msg += " (init)"
		}
		if !detail {
			return []string{oneLine(msg)}
		}
		return []string{oneLine(msg), oneLine(name + ") moved:" + pairs)}
	}
	return []string{oneLine(msg + pairs)}
}

func value(v any) string {
	switch v := v.(type) {
	case string:
		if strings.ContainsAny(v, " \t\n\"") {
			return fmt.Sprintf("%q", v)
		}
		return v
	case hclog.Format:
		if len(v) > 0 {
			if f, ok := v[0].(string); ok {
				return fmt.Sprintf(f, v[1:]...)
			}
		}
	}
	return value(fmt.Sprint(v))
}

// oneLine keeps whoever a line quotes from writing lines of his own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// newLogger makes the logger that everything of the daemon hangs on.
func newLogger(l *logs) hclog.Logger {
	level := hclog.Info
	if l.detail {
		level = hclog.Debug
	}
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: rootLog, Level: level, Output: io.Discard})
	log.RegisterSink(l)
	return log
}

// redialPause is how long a syslog that was not there is left alone.
const redialPause = time.Second

// syslogSink is one identity at the syslog daemon. Its owner is the logs' goroutine.
type syslogSink struct {
	ident    string
	facility int
	w        *syslog.Writer
	tried    time.Time
}

func (s *syslogSink) write(n line) {
	if s.w == nil {
		if time.Since(s.tried) < redialPause {
			return
		}
		s.tried = time.Now()
		w, err := syslog.New(syslog.Priority(s.facility<<3)|syslog.LOG_INFO, s.ident)
		if err != nil {
			return // nobody listens; keepalived is as silent
		}
		s.w = w
	}
	write := s.w.Info
	switch {
	case n.level >= hclog.Error:
		write = s.w.Err
	case n.level == hclog.Warn:
		write = s.w.Warning
	case n.level < hclog.Info:
		write = s.w.Debug
	}
	_ = write(n.text) // it dials again by itself
}

// Close implements io.Closer.
func (s *syslogSink) Close() error {
	if s.w == nil {
		return nil
	}
	return s.w.Close()
}
