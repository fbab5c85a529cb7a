package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/reeve-lb/reeve/internal/lab/measure"
)

// Lines is a View for what is no terminal: one line a step.
type Lines struct{ W io.Writer }

// Say writes the step.
func (l Lines) Say(at time.Duration, text string) {
	fmt.Fprintf(l.W, "%6.1f s  %s\n", at.Seconds(), text)
}

// Frame does nothing.
func (Lines) Frame(Frame) {}

// storyLines is how many steps of the story a picture shows, the last ones.
const storyLines = 10

// Picture is a View for a terminal: it draws the same lines over and over. Safe for concurrent use.
type Picture struct {
	w     io.Writer
	color bool
	width func() int

	mu    sync.Mutex
	story []string
	drawn int // lines on the screen
	last  Frame
}

// NewPicture makes a picture; width is asked before each drawing, for the terminal may change. Without color it uses none.
func NewPicture(w io.Writer, color bool, width func() int) *Picture {
	return &Picture{w: w, color: color, width: width}
}

// Say adds a step to the story.
func (p *Picture) Say(at time.Duration, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.story = append(p.story, fmt.Sprintf("%6.1f s  %s", at.Seconds(), text))
	p.redraw()
}

// Frame draws how things stand.
func (p *Picture) Frame(f Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = f
	p.redraw()
}

// Close leaves the last picture and the cursor below it.
func (p *Picture) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn > 0 {
		fmt.Fprint(p.w, "\x1b[?25h")
	}
	p.drawn = 0
}

func (p *Picture) redraw() {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	} else {
		b.WriteString("\x1b[?25l")
	}
	lines := p.compose()
	width := p.width()
	for _, l := range lines {
		b.WriteString("\r" + clip(l, width) + "\x1b[0m\x1b[K\n")
	}
	for range p.drawn - len(lines) {
		b.WriteString("\x1b[K\n")
	}
	p.drawn = max(p.drawn, len(lines))
	io.WriteString(p.w, b.String()) // a terminal that is gone ends the program by its signal
}

// paint gives a text one of the terminal's colors: 31 red, 32 green, 33 yellow, 1 bold, 2 dim.
func (p *Picture) paint(code int, text string) string {
	if !p.color || text == "" {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text)
}

func (p *Picture) compose() []string {
	f := p.last
	lines := []string{fmt.Sprintf("%s  three machines, one load balancer%34.1f s", p.paint(1, "reeve demo"), f.At.Seconds()), ""}
	for _, n := range f.Nodes {
		lines = append(lines, p.node(n))
	}
	lines = append(lines, "")
	for _, v := range f.VIPs {
		lines = append(lines, p.vip(v)...)
	}
	sessions := fmt.Sprintf("  %d sessions, %d moved", f.Sessions, f.Moved)
	if f.Moved > 0 {
		sessions = p.paint(31, sessions)
	}
	lines = append(lines, sessions+fmt.Sprintf("      configuration version %d", f.Version), "")
	return append(lines, p.story[max(0, len(p.story)-storyLines):]...)
}

func (p *Picture) node(n NodeFrame) string {
	code := 31
	switch n.Status {
	case "up":
		code = 32
	case "starting":
		code = 33
	}
	role := "      "
	if n.Leader {
		role = "leader"
	}
	return fmt.Sprintf("  %-5s %-12s %s  %s  %s", n.Name, n.Address, p.paint(code, fmt.Sprintf("%-8s", n.Status)), role, p.paint(1, strings.Join(n.Holds, " ")))
}

func (p *Picture) vip(v VIPFrame) []string {
	owner := strings.Join(v.Owners, "+")
	switch len(v.Owners) {
	case 0:
		owner = p.paint(33, "nobody")
	case 1:
		owner = p.paint(32, fmt.Sprintf("%-6s", owner))
	default:
		owner = p.paint(31, owner)
	}
	lines := []string{fmt.Sprintf("  %-5s %-12s %s  %s", v.Instance, v.Address, owner, p.strip(v.Strip))}
	if v.Asked > 0 {
		lines = append(lines, p.paint(2, fmt.Sprintf("        %d asked, %d failed, longest time without an answer %.0f ms", v.Asked, v.Failed, ms(v.Gap))))
	}
	return lines
}

// strip is one mark for each tenth of a second: a full bar when the answers came, less when some were missing.
func (p *Picture) strip(slots []measure.Slot) string {
	var b strings.Builder
	for _, s := range slots {
		switch full := int(frameEvery / (10 * time.Millisecond)); {
		case s.OK == 0 && s.Failed == 0:
			b.WriteString(p.paint(2, "·"))
		case s.Failed > 0:
			b.WriteString(p.paint(31, "▁"))
		case s.OK < full-2:
			b.WriteString(p.paint(33, "▄"))
		default:
			b.WriteString(p.paint(32, "█"))
		}
	}
	return b.String()
}

// clip cuts a line at the terminal's width; escape sequences take no room.
func clip(s string, width int) string {
	room := width
	for i := 0; i < len(s); {
		if s[i] == '\x1b' {
			for i < len(s) && s[i] != 'm' {
				i++
			}
			i++
			continue
		}
		if room == 0 {
			return s[:i]
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
		room--
	}
	return s
}

// Text is the report for people.
func (r Report) Text() string {
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-34s %s\n", what, fmt.Sprintf(format, args...))
	}
	who := "the owner of an address"
	if r.LeaderFailed {
		who = "the owner of an address that was the leader too"
	}
	fmt.Fprintf(&b, "What the client saw when %s failed (%s):\n", who, r.Fail)
	row("longest time without an answer", "%.1f ms", r.FailoverGapMS)
	row("questions without a 200", "%d of %d", r.Errors, r.Requests)
	row("sessions on another server", "%d of %d", r.SessionsMoved, r.Sessions)
	if r.SessionsLate > 0 {
		row("of them not agreed on before", "%d of %d", r.LateMoved, r.SessionsLate)
	}
	fmt.Fprintf(&b, "What the nodes did:\n")
	row("a change on all of them after", "%.0f ms", r.ChangeMS)
	row("address on its new owner after", "%.0f ms", r.AddressMoveMS)
	row("owners of an address at once", "%d", r.OwnersSeenMax)
	row("address left on the failed node", "%s", yes(r.VIPLeftOnDead))
	row("same configuration on all at the end", "%s", yes(r.ConfigVersionEverywhere))
	return b.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
