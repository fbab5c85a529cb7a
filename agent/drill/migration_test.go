package drill

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reeve-lb/reeve/internal/lab"
)

// page gives the blocks of commands ("sh") and of units ("ini") of a section of the migration page, in their order.
func page(t *testing.T, section string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../website/guide/keepalived.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("the page has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("(?ms)^( *)```(?:sh|ini)\n(.*?)^ *```$").FindAllStringSubmatch(rest, -1) {
		blocks = append(blocks, strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")[1:])
	}
	return blocks
}

// systemctl is as much of systemd as one unit takes: Debian's, with a drop-in that comes after it. Of the ExecStart lines
// the last one counts, as an empty one forgets those before.
const systemctl = `#!/bin/sh
dropin=/run/systemd/system/keepalived.service.d/override.conf
service() {
	cat /lib/systemd/system/keepalived.service $dropin 2>/dev/null | sed -n "s/^$1=//p" | sed '/^$/d' | tail -n 1
}
MAINPID=$(cat /run/main.pid 2>/dev/null)
case "$1 $2" in
"start keepalived")
	set -a; . /run/default
	setsid $(eval echo "$(service ExecStart)") >>/run/journal 2>&1 </dev/null &
	echo $! >/run/main.pid ;;
"stop keepalived")
	kill -TERM $MAINPID
	while readlink /proc/$MAINPID/exe >/dev/null; do sleep 0.01; done ;;
"restart keepalived") $0 stop keepalived; exec $0 start keepalived ;;
"reload keepalived") eval "$(service ExecReload)" ;;
"edit keepalived") mkdir -p ${dropin%/*}; cat >$dropin ;;
"revert keepalived") rm $dropin ;;
*) echo "systemctl $*: not in this test" >&2; exit 1 ;;
esac
`

// inMachine is inBox with what an administrator touches beside: /etc/keepalived and /usr/local/bin.
const inMachine = `mount --make-rprivate / && mount --bind "$BOX_BIN" /usr/local/bin && mount --bind "$BOX_ETC" /etc/keepalived &&
mount --bind "$BOX_RUN" /run && mount --bind "$BOX_TMP" /tmp && exec "$@" 2>&1`

// machine is a host with Debian's keepalived as a service, and somebody who types commands.
type machine struct {
	*daemon
	bin, etc string
}

func (s *segment) machine(host, conf string) *machine {
	s.t.Helper()
	dir := s.t.TempDir()
	m := &machine{s.box(host, keepalived), filepath.Join(dir, "bin"), filepath.Join(dir, "etc")}
	s.Must(os.Mkdir(m.bin, 0o755), os.Mkdir(m.etc, 0o755), os.Link(lab.Program(), filepath.Join(m.bin, "reeve")),
		os.WriteFile(filepath.Join(m.bin, "systemctl"), []byte(systemctl), 0o755),
		os.WriteFile(filepath.Join(m.bin, "journalctl"), []byte("#!/bin/sh\ntail -n 20 /run/journal\n"), 0o755),
		os.WriteFile(filepath.Join(m.etc, "keepalived.conf"), []byte(conf), 0o644))
	m.write("default", "DAEMON_ARGS='--log-console --log-detail'\n", 0o644)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			journal, _ := os.ReadFile(filepath.Join(m.run, "journal"))
			s.t.Logf("%s's journal:\n%s", host, journal)
		}
	})
	m.types("systemctl start keepalived")
	return m
}

// types runs commands in a shell of the machine and gives what they print. With input they read it.
func (m *machine) types(text string, input ...string) string {
	m.s.t.Helper()
	p := m.host.Command("unshare", "-m", "sh", "-c", inMachine, "sh", "sh", "-e", "-c", text)
	p.Env = []string{"BOX_RUN=" + m.run, "BOX_TMP=" + m.tmp, "BOX_BIN=" + m.bin, "BOX_ETC=" + m.etc, "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	p.Stdin = strings.NewReader(strings.Join(input, ""))
	m.s.Must(p.Run(m.s.ctx))
	return p.Output()
}

// program tells what the service runs.
func (m *machine) program() string {
	m.s.t.Helper()
	return strings.TrimSpace(m.types("basename $(readlink /proc/$(cat /run/main.pid)/exe)"))
}

// settled waits until what the page lets the reader see is there: the journal's line, and no virtual address.
func (m *machine) settled(look string) {
	m.s.t.Helper()
	m.s.until(m.host.Name()+" to be backup", func() bool {
		out := m.types(look)
		return strings.Contains(out, "Entering BACKUP STATE") && !strings.Contains(out, vip+"/")
	})
}

// asking is a client that asks a UDP echo at the address every 10 ms. It counts questions in a row that got no answer, so
// that a client which was held up itself counts nothing.
type asking struct {
	end context.CancelFunc
	all sync.WaitGroup

	mu             sync.Mutex
	silent, record int
}

const pace = 10 * time.Millisecond

// ask starts the client on a host.
func (s *segment) ask(host string) *asking {
	s.t.Helper()
	const port = 7
	s.Must(s.host("a").Echo(port), s.host("b").Echo(port))
	conn, err := s.host(host).Dial(s.ctx, "udp4", netip.AddrPortFrom(vipAddr, port).String())
	s.Must(err)
	ctx, end := context.WithCancel(s.ctx)
	a := &asking{end: end}
	a.all.Go(func() {
		defer conn.Close()
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			a.mu.Lock()
			a.silent++
			a.record = max(a.record, a.silent)
			a.mu.Unlock()
			_, _ = conn.Write([]byte("who are you?")) // refused: nobody has the address
		}
	})
	a.all.Go(func() {
		b := make([]byte, 64)
		for ctx.Err() == nil {
			if _, err := conn.Read(b); err == nil {
				a.mu.Lock()
				a.silent = 0
				a.mu.Unlock()
			}
		}
	})
	s.t.Cleanup(a.stop)
	return a
}

func (a *asking) stop() { a.end(); a.all.Wait() }

// longest is the longest time without an answer.
func (a *asking) longest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(a.record-1) * pace
}

// TestMigration: the migration page's commands, as they stand there, take a running pair of keepalived to Reeve one
// machine at a time, and back, and a client that asks all the time hardly notices.
func TestMigration(t *testing.T) {
	abreast(t)
	blocks := page(t, "One machine at a time")
	if len(blocks) != 4 || blocks[0] != "systemctl edit keepalived\n" {
		t.Fatalf("the page's steps are others than this test follows: %q", blocks)
	}
	edit, unit, change, outbid := blocks[0], blocks[1], blocks[2], blocks[3]
	restart, look, ok := strings.Cut(change, "\n")
	if !ok || restart != "systemctl restart keepalived" {
		t.Fatalf("the change is %q", change)
	}
	s := newSegment(t, "a", "b", "c")
	lb1 := s.machine("a", conf(settings{priority: 150, words: "garp_master_delay 1"}))
	s.owned("a")
	lb2 := s.machine("b", conf(settings{priority: 100, words: "garp_master_delay 1"}))
	lb2.told(lb2.began, "any INSTANCE VI_1 BACKUP 100")
	client, began := s.ask("c"), time.Now()

	// Steps 1 and 2, on lb2.
	lb2.types(edit, unit)
	at := time.Now()
	lb2.types(restart)
	lb2.told(at, "any INSTANCE VI_1 BACKUP 100")
	lb2.settled(look)
	// Step 3.
	lb2.types(outbid)
	s.owned("b")
	moved := time.Now()
	lb2.told(began, "any INSTANCE VI_1 MASTER 160")
	lb1.told(began, "any INSTANCE VI_1 BACKUP 150")
	// Step 4, on lb1.
	lb1.types(edit, unit)
	at = time.Now()
	lb1.types(restart)
	lb1.told(at, "any INSTANCE VI_1 STOP 150") // keepalived's last word
	lb1.told(at, "any INSTANCE VI_1 BACKUP 150")
	lb1.settled(look)
	// Step 5.
	lb2.types("sed -i 's/priority 160/priority 100/' /etc/keepalived/keepalived.conf && systemctl reload keepalived")
	s.owned("a")
	lb1.told(moved, "any INSTANCE VI_1 MASTER 150")
	lb2.told(moved, "any INSTANCE VI_1 BACKUP 100")
	for _, m := range []*machine{lb1, lb2} {
		if got := m.program(); got != "reeve" {
			t.Errorf("%s runs %s", m.host.Name(), got)
		}
	}
	// And the way back, on the machine that is backup.
	at = time.Now()
	lb2.types("systemctl revert keepalived && systemctl restart keepalived")
	lb2.told(at, "any INSTANCE VI_1 BACKUP 100")
	if got := lb2.program(); got != "keepalived" {
		t.Errorf("back to %s", got)
	}
	s.owned("a")
	s.quietly(client, began, skew(150)) // what a failover of keepalived's costs at best
	t.Logf("the client waited %v at most, two machines had the address for %v in all", client.longest(), s.both(began))
}

// TestMigrationByStopping is the page's exception: with nopreempt nobody can be outbid, so the master is stopped. That
// costs what stopping keepalived costs: the backup's skew.
func TestMigrationByStopping(t *testing.T) {
	abreast(t)
	blocks := page(t, "One machine at a time")
	s := newSegment(t, "a", "b", "c")
	words := "state BACKUP\n  nopreempt"
	lb1 := s.machine("a", conf(settings{priority: 150, words: words}))
	s.owned("a")
	lb2 := s.machine("b", conf(settings{priority: 100, words: words}))
	lb2.told(lb2.began, "any INSTANCE VI_1 BACKUP 100")
	client, began := s.ask("c"), time.Now()
	lb2.types(blocks[0], blocks[1])
	at := time.Now()
	lb2.types("systemctl restart keepalived")
	lb2.told(at, "any INSTANCE VI_1 BACKUP 100")
	lb1.types("systemctl stop keepalived")
	s.owned("b")
	lb1.types(blocks[0], blocks[1])
	lb1.types("systemctl start keepalived")
	lb1.told(began, "any INSTANCE VI_1 BACKUP 150")
	// Three of lb2's adverts more, and lb1 leaves it the address.
	s.wire.await(time.Now(), "adverts of b", 3, by("b"))
	s.owned("b")
	s.quietly(client, began, skew(100)+tolerance())
	t.Logf("the client waited %v at most", client.longest())
}

// quietly ends the client and fails if it waited for longer than most, or if two machines had the address for a second.
func (s *segment) quietly(client *asking, began time.Time, most time.Duration) {
	s.t.Helper()
	client.stop()
	if got := client.longest(); got > most {
		s.t.Errorf("the client had no answer for %v, want at most %v", got, most)
	}
	if got := s.both(began); got > time.Second {
		s.t.Errorf("two machines had the address for %v: %s", got, s.timeline(vipAddr))
	}
	if owners := s.watch.Owners(vipAddr); !slices.Equal(owners, []string{"a"}) && !slices.Equal(owners, []string{"b"}) {
		s.t.Errorf("the address is on %v", owners)
	}
}
