package track

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/reeve-lb/reeve/vrrp"
)

// FileState is the number in a track_file.
type FileState struct {
	Known bool // it was read, or found missing
	Value int  // 0 when there is no number to be read, as keepalived takes it
	Note  string
}

const (
	// lookAgain is how often files are looked at whatever inotify says: links into other folders, network file systems,
	// folders that come later.
	lookAgain = time.Second
	fileBound = 64 // bytes that are read for a number
	// watchFor: a file is read when its writer is through with it. Reading at each modification would see it empty
	// between truncation and write.
	watchFor = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
)

// file is one that is watched.
type file struct {
	c     vrrp.File
	stamp stamp
	empty stamp  // when it was seen with nothing in it
	bad   string // the complaint that was logged last
}

// stamp changes with the file.
type stamp struct {
	exists     bool
	ino        uint64
	size       int64
	mtim, ctim unix.Timespec
}

func stampOf(path string) stamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return stamp{}
	}
	return stamp{true, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// fileWatcher is owned by the goroutine of runFiles.
type fileWatcher struct {
	t       *Tracker
	inotify int // -1: none to be had, once a second has to do
	files   map[string]*file
	folders map[string]int // watch descriptors
}

func (t *Tracker) runFiles(ctx context.Context) {
	b, err := newBell()
	if err != nil {
		t.o.Logger.Error("track_file does not work", "error", err)
		return
	}
	defer unix.Close(b.fd)
	w := &fileWatcher{t: t, files: map[string]*file{}, folders: map[string]int{}}
	if w.inotify, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err != nil {
		w.inotify = -1
		t.o.Logger.Warn("files are looked at once a second: no inotify", "error", err)
	} else {
		defer unix.Close(w.inotify)
	}
	apply := make(chan struct{}, 1)
	gone := b.follow(ctx, t.files, apply)
	defer func() { <-gone }()
	buf := make([]byte, 16<<10)
	look := time.Now()
	for ctx.Err() == nil {
		select {
		case <-apply:
			w.apply()
		default:
		}
		timeout := -1
		if len(w.files) > 0 {
			if !time.Now().Before(look) { // also while inotify goes on talking of other files
				w.lookAtAll()
				look = time.Now().Add(lookAgain)
			}
			timeout = max(int(time.Until(look)/time.Millisecond)+1, 0)
		}
		fds := []unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}, {Fd: int32(w.inotify), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, timeout); err != nil && !errors.Is(err, unix.EINTR) {
			t.o.Logger.Error("track_file no longer works", "error", err)
			return
		}
		if fds[0].Revents != 0 {
			b.hush()
		}
		if fds[1].Revents != 0 {
			w.events(buf)
		}
	}
}

// apply makes the files what is wanted. A file that is new is made first if it says so.
func (w *fileWatcher) apply() {
	w.t.mu.Lock()
	wanted := w.t.wantedFiles
	w.t.mu.Unlock()
	keep := map[string]bool{}
	for _, c := range wanted {
		keep[c.Name] = true
		if f := w.files[c.Name]; f != nil && f.c.Path == c.Path {
			f.c = c
			continue
		}
		f := &file{c: c}
		w.files[c.Name] = f
		w.watch(filepath.Dir(c.Path))
		w.init(f)
		f.stamp = stampOf(c.Path)
		w.read(f)
	}
	for name := range w.files {
		if !keep[name] {
			delete(w.files, name)
			w.t.mu.Lock()
			delete(w.t.fileState, name)
			w.t.mu.Unlock()
		}
	}
}

// watch asks to hear of a folder. That it is not there yet, or that there are too many watches, once a second makes good.
func (w *fileWatcher) watch(dir string) {
	if w.inotify < 0 {
		return
	}
	if wd, err := unix.InotifyAddWatch(w.inotify, dir, watchFor); err == nil {
		w.folders[dir] = wd
	}
}

// init writes init_file's value: if there is no file, or whatever is in it.
func (w *fileWatcher) init(f *file) {
	if f.c.Init == nil {
		return
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if f.c.Overwrite {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	out, err := os.OpenFile(f.c.Path, flags|unix.O_NONBLOCK, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err == nil {
		_, err = fmt.Fprintln(out, *f.c.Init)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		w.t.o.Logger.Warn("init_file of a track_file failed", "track_file", f.c.Name, "error", err)
	}
}

// events reads what inotify has to say. When it lost something every file is looked at.
func (w *fileWatcher) events(buf []byte) {
	n, err := unix.Read(w.inotify, buf)
	if err != nil || n <= 0 {
		return
	}
	for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
		wd, mask := int(int32(binary.NativeEndian.Uint32(b))), binary.NativeEndian.Uint32(b[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if size > len(b) {
			return
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:size]), "\x00")
		b = b[size:]
		if mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
			w.forget(wd)
			w.lookAtAll()
			continue
		}
		for _, f := range w.files {
			if filepath.Base(f.c.Path) == name && w.folders[filepath.Dir(f.c.Path)] == wd {
				w.changed(f, mask)
			}
		}
	}
}

// changed reads a file again, unless it was only just made and is still to be written.
func (w *fileWatcher) changed(f *file, mask uint32) {
	f.stamp = stampOf(f.c.Path)
	if mask&unix.IN_CREATE != 0 && f.stamp.exists && f.stamp.size == 0 {
		return
	}
	w.read(f)
}

func (w *fileWatcher) forget(wd int) {
	for dir, have := range w.folders {
		if have == wd {
			_, _ = unix.InotifyRmWatch(w.inotify, uint32(wd))
			delete(w.folders, dir)
		}
	}
}

// lookAtAll reads every file that is another than when it was read, and asks again for folders that were not there.
func (w *fileWatcher) lookAtAll() {
	for _, f := range w.files {
		if _, ok := w.folders[filepath.Dir(f.c.Path)]; !ok {
			w.watch(filepath.Dir(f.c.Path))
		}
		now := stampOf(f.c.Path)
		if now == f.stamp {
			continue
		}
		if now.exists && now.size == 0 && now != f.empty {
			f.empty = now // somebody is about to write it; a second later it counts
			continue
		}
		f.stamp = now
		w.read(f)
	}
}

// read takes the number in a file. What is none counts as 0, and is said once.
func (w *fileWatcher) read(f *file) {
	now := FileState{Known: true}
	n, err := readNumber(f.c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		now.Note = "no file, counts as 0"
	case err != nil:
		now.Note = "counts as 0: " + err.Error()
	default:
		now.Value, now.Note = n, "value "+strconv.Itoa(n)
	}
	if err != nil && now.Note != f.bad {
		w.t.o.Logger.Warn("track_file has no number in it, it counts as 0", "track_file", f.c.Name, "error", err)
	}
	f.bad = ""
	if err != nil {
		f.bad = now.Note
	}
	w.t.mu.Lock()
	old := w.t.fileState[f.c.Name]
	w.t.fileState[f.c.Name] = now
	w.t.mu.Unlock()
	if old != now {
		if old.Value != now.Value {
			w.t.o.Logger.Info("track_file changed", "track_file", f.c.Name, "from", old.Value, "to", now.Value)
		}
		w.t.o.Changed()
	}
}

// readNumber reads a whole number from the beginning of a regular file. It does not block on anything else.
func readNumber(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return 0, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	buf := make([]byte, fileBound)
	n, err := f.Read(buf)
	if n == 0 {
		return 0, fmt.Errorf("%s is empty (%w)", path, err)
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), "\n")
	v, err := strconv.ParseInt(strings.TrimSpace(word), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) && v < 0:
		v = math.MinInt32
	case errors.Is(err, strconv.ErrRange):
		v = math.MaxInt32
	case err != nil:
		return 0, fmt.Errorf("%s: no number: %q", path, word)
	}
	return int(min(max(v, math.MinInt32), math.MaxInt32)), nil
}
