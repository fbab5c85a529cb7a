package drill

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"
)

// journal keeps lines with the time at which each came.
type journal struct {
	mu      sync.Mutex
	partial []byte
	lines   []line
	changed chan struct{}
}

type line struct {
	at   time.Time
	text string
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.partial = append(j.partial, b...)
	for {
		text, rest, whole := bytes.Cut(j.partial, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		j.lines = append(j.lines, line{now, string(text)})
		j.partial = rest
		close(j.changed)
		j.changed = make(chan struct{})
	}
}

// all lists the lines that came after since and contain text.
func (j *journal) all(since time.Time, text string) []line {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []line
	for _, l := range j.lines {
		if l.at.After(since) && strings.Contains(l.text, text) {
			found = append(found, l)
		}
	}
	return found
}

// await waits for the first line after since that contains text.
func (j *journal) await(ctx context.Context, since time.Time, text string) (line, error) {
	for {
		j.mu.Lock()
		changed := j.changed
		j.mu.Unlock()
		if found := j.all(since, text); len(found) > 0 {
			return found[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return line{}, ctx.Err()
		}
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out strings.Builder
	for _, l := range j.lines {
		out.WriteString(l.at.Format("05.000 ") + l.text + "\n")
	}
	return out.String()
}
