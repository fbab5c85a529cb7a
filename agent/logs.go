package agent

import (
	"context"
	"io"
	"reflect"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/config"
	"github.com/reeve-lb/reeve/internal/source"
)

// newLogger makes the agent's logger. Sinks of `reeve monitor` hang on it at levels of their own.
func newLogger(s Settings, out io.Writer) hclog.InterceptLogger {
	return hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name:       "reeve",
		Level:      hclog.LevelFromString(s.LogLevel),
		Output:     out,
		JSONFormat: s.LogJSON,
	})
}

// LogWarnings writes what New found odd in the files and settings, a line each: who starts the agent calls it once it has
// told which agent this is.
func (a *Agent) LogWarnings() { a.logProblems(a.warnings) }

// logProblems writes what is wrong with a configuration, a line each.
func (a *Agent) logProblems(ps source.Problems) {
	for _, p := range ps {
		write := a.log.Warn
		if p.Severity == source.Error {
			write = a.log.Error
		}
		pairs := []any{"at", p.Pos.String()}
		if p.Hint != "" {
			pairs = append(pairs, "hint", p.Hint)
		}
		write(p.Text, pairs...)
	}
}

// resettle takes the node's own settings from its files once more. The level of the log changes at once, whatever else
// differs waits for the next start, and that is said.
func (a *Agent) resettle(n config.Node) source.Problems {
	var ps source.Problems
	s := a.flags
	s.lay(n)
	if err := s.fill(); err != nil {
		ps.Warnf(source.Pos{}, "what ran goes on", "the node's own settings: %v", err)
		return ps
	}
	a.log.SetLevel(hclog.LevelFromString(s.LogLevel))
	same := a.set
	same.LogLevel = s.LogLevel
	if !reflect.DeepEqual(s, same) {
		ps.Warnf(source.Pos{}, "restart the agent", "settings of node %s other than log_level differ from those it was started with", a.set.Node)
	}
	return ps
}

// monitorBacklog is how many lines a slow reader may be behind; what is more is left out, and said.
const monitorBacklog = 512

// monitor copies log lines of the level and above to w until ctx ends. A reader that does not keep up loses lines; the
// agent never waits for it.
func monitor(ctx context.Context, log hclog.InterceptLogger, level string, w io.Writer) error {
	lines := make(lineSink, monitorBacklog)
	sink := hclog.NewSinkAdapter(&hclog.LoggerOptions{Name: "reeve", Level: hclog.LevelFromString(level), Output: lines})
	log.RegisterSink(sink)
	defer log.DeregisterSink(sink)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-lines:
			if _, err := w.Write(line); err != nil {
				return err
			}
			if len(lines) == monitorBacklog-1 {
				if _, err := io.WriteString(w, "[WARN]  reeve: this reader is too slow: lines are left out\n"); err != nil {
					return err
				}
			}
		}
	}
}

// lineSink is an io.Writer that never blocks.
type lineSink chan []byte

// Write implements io.Writer.
func (l lineSink) Write(p []byte) (int, error) {
	select {
	case l <- append([]byte(nil), p...):
	default:
	}
	return len(p), nil
}
