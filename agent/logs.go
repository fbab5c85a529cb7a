package agent

import (
	"context"
	"io"

	"github.com/hashicorp/go-hclog"
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

func (l lineSink) Write(p []byte) (int, error) {
	select {
	case l <- append([]byte(nil), p...):
	default:
	}
	return len(p), nil
}
