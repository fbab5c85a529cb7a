package lease

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func sampleView() *view {
	return &view{gen: 7, leases: []viewLease{
		{Record: Record{Instance: "VI_1", Holder: "lb1", Life: 9, Epoch: 3, TTL: 250 * time.Millisecond}, yield: true, candidates: []CandidateStatus{
			{"lb1", Candidacy{Priority: 150, Ready: true, Holding: true}}, {"lb2", Candidacy{Priority: 100, NoPreempt: true, PreemptDelay: time.Second}},
		}},
		{Record: Record{Instance: "VI_2", Epoch: 4}, stopped: true},
	}}
}

func sampleOwn() []*own {
	return []*own{
		{standing: standing{instance: "VI_1", Candidacy: Candidacy{Priority: 255, Ready: true, PreemptDelay: 300 * time.Second}, held: 3, lost: 2, released: 1}},
		{standing: standing{instance: "VI_2"}},
	}
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	h := hello{peer: Peer{"id", "lb1"}, address: netip.MustParseAddr("2001:db8::1"), life: 5}
	if got, err := decodeHello(appendHello(nil, h)[4:]); err != nil || got != h {
		t.Errorf("hello %+v, %v", got, err)
	}
	if got, err := decodeView(appendView(nil, sampleView())[4:]); err != nil || !reflect.DeepEqual(got, sampleView()) {
		t.Errorf("view %+v, %v", got, err)
	}
	seq, gen, term, all, err := decodeFull(appendFull(nil, 12, 34, 56, sampleOwn())[4:])
	if err != nil || seq != 12 || gen != 34 || term != 56 || len(all) != 2 || all[0] != sampleOwn()[0].standing || all[1] != sampleOwn()[1].standing {
		t.Errorf("full %d %d %d %+v, %v", seq, gen, term, all, err)
	}
	if seq, gen, term, heard, err := decodeRenew(appendRenew(nil, 1<<33, 2, 1<<40, 9)[4:]); err != nil || seq != 1<<33 || gen != 2 || term != 1<<40 || heard != 9 {
		t.Errorf("renew %d %d %d %d, %v", seq, gen, term, heard, err)
	}
	words := []Word{{"lb1", "VI_1", 7, true}, {"lb2", "VI_2", 8, false}}
	if got, err := decodeWords(appendWords(nil, words)[4:]); err != nil || !reflect.DeepEqual(got, words) {
		t.Errorf("words %+v, %v", got, err)
	}
	for _, want := range []time.Duration{0, 7 * time.Millisecond, -7 * time.Millisecond} {
		if seq, gen, term, late, err := decodeAnswer(appendAnswer(nil, 1<<33, 2, 1<<40, want)[4:]); err != nil || seq != 1<<33 || gen != 2 || term != 1<<40 || late != want {
			t.Errorf("answer %d %d %d %v, %v", seq, gen, term, late, err)
		}
	}
	if _, _, _, _, err := decodeAnswer(appendAnswer(nil, 1, 2, 3, time.Hour)[4:]); err == nil {
		t.Error("an answer that is an hour late was taken")
	}
	if x, y, err := decodePair(appendPair(nil, frameAsk, 1<<40, 3)[4:]); err != nil || x != 1<<40 || y != 3 {
		t.Errorf("pair %d %d, %v", x, y, err)
	}
}

func TestFrameReaderTakesAnyCut(t *testing.T) {
	var stream []byte
	for range 50 {
		stream = appendRenew(stream, 1, 2, 3, 4)
		stream = appendView(stream, sampleView())
	}
	for name, r := range map[string]io.Reader{
		"bytes": iotest.OneByteReader(bytes.NewReader(stream)), "halves": iotest.HalfReader(bytes.NewReader(stream)),
		"whole": bytes.NewReader(stream), "with the last data": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		f := frameReader{limit: maxFrame}
		for i := range 100 {
			kind, body, err := f.next(r)
			if want := []byte{frameRenew, frameView}[i%2]; err != nil || kind != want {
				t.Fatalf("%s: frame %d is of kind %d with %d bytes, %v", name, i, kind, len(body), err)
			}
		}
		if _, _, err := f.next(r); err != io.EOF {
			t.Errorf("%s: the end is %v", name, err)
		}
	}
}

func TestFrameReaderRefusesALieAboutLength(t *testing.T) {
	f := frameReader{}
	if _, _, err := f.next(bytes.NewReader([]byte{0xff, 0xff, 0xff, frameHello})); !errors.Is(err, ErrProtocol) {
		t.Errorf("16 MB announced before hello: %v", err)
	}
	f = frameReader{limit: maxFrame}
	if _, _, err := f.next(bytes.NewReader([]byte{0x3f, 0xff, 0xff, frameView, 1})); err != io.ErrUnexpectedEOF {
		t.Errorf("cut short: %v", err)
	}
	if len(f.buf) > 4096 {
		t.Errorf("%d bytes were set aside for 1 that came", len(f.buf))
	}
}

func TestStateMovesOnlyFromTheEpochItKnows(t *testing.T) {
	var s State
	apply := func(m ...Move) []Record {
		t.Helper()
		r, err := s.Apply(AppendCommand(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ttl := 250 * time.Millisecond
	for i, row := range []struct {
		move   Move
		holder string
		epoch  uint64
	}{
		{Move{"VI_1", 0, "lb1", 1, ttl}, "lb1", 1},
		{Move{"VI_1", 0, "lb2", 2, ttl}, "lb1", 1}, // a late twin of the first
		{Move{"VI_1", 1, "lb2", 2, ttl}, "lb2", 2},
		{Move{"VI_1", 1, "lb3", 3, ttl}, "lb2", 2}, // overtaken
		{Move{"VI_1", 2, "", 0, 0}, "", 3},
		{Move{"VI_1", 2, "lb1", 1, ttl}, "", 3},
		{Move{"VI_1", 3, "lb1", 1, ttl}, "lb1", 4},
		{Move{"VI_2", 0, "", 0, 0}, "", 0}, // nobody lets go of what nobody had
		{Move{"VI_2", 9, "lb1", 0, 0}, "", 0},
	} {
		if r := apply(row.move)[0]; r.Holder != row.holder || r.Epoch != row.epoch || r.Instance != row.move.Instance {
			t.Errorf("row %d: %+v gave %+v", i, row.move, r)
		}
	}
	if len(s.Records()) != 1 {
		t.Errorf("records %+v", s.Records())
	}
	before := s.AppendSnapshot(nil)
	for name, cmd := range map[string][]byte{"empty": nil, "future": {9, 0}, "short": {1, 2, 3}, "left over": append(AppendCommand(nil, nil), 1), "lie": {1, 0xff, 0xff, 3}} {
		if _, err := s.Apply(cmd); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var again State
	if err := again.Restore(before); err != nil || !bytes.Equal(again.AppendSnapshot(nil), before) {
		t.Errorf("snapshot does not come back: %v", err)
	}
	if err := again.Restore(append(before, 0)); err == nil || len(again.Records()) != 1 {
		t.Error("a damaged snapshot was taken or emptied the state")
	}
}

func TestStateKeepsItsBound(t *testing.T) {
	var s State
	for i := range maxRecords + 10 {
		_, err := s.Apply(AppendCommand(nil, []Move{{Instance: strings.Repeat("x", 1+i%200) + string(rune('a'+i/200)), To: "lb1"}}))
		must(t, err)
	}
	if n := len(s.Records()); n != maxRecords {
		t.Errorf("%d records", n)
	}
}

func TestMailboxKeepsWhatMatters(t *testing.T) {
	for _, row := range []struct{ name, in, out string }{
		{"extensions become one", "G1 E1 E1 E1", "G1"},
		{"an extension alone", "E1 E1", "E1"},
		{"lost takes the rest away", "G1 E1 Y1 L1", "L1"},
		{"granted anew", "G1 L1 G2 E2", "L1 G2"},
		{"again and again", "G1 L1 G2 L2 G3 L3 G4", "L3 G4"},
		{"yield stays", "E1 Y1 E1", "E1 Y1"},
		{"the newest elsewhere", "S1 S2 S3", "S3"},
		{"quorum comes and goes", "N Q N", "N"},
	} {
		m := newMailbox()
		for _, w := range strings.Fields(row.in) {
			m.put([]Verdict{verdict(w)})
		}
		var out []string
		for v, ok := m.take(); ok; v, ok = m.take() {
			out = append(out, string("?GEYLSNQ"[v.Kind])+strings.Repeat(string(rune('0'+v.Epoch)), min(1, int(v.Epoch))))
		}
		if got := strings.Join(out, " "); got != row.out {
			t.Errorf("%s: %s became %s, wanted %s", row.name, row.in, got, row.out)
		}
	}
}

func verdict(w string) Verdict {
	v := Verdict{Kind: VerdictKind(strings.IndexByte("?GEYLSNQ", w[0]))}
	if len(w) > 1 {
		v.Epoch, v.Instance = uint64(w[1]-'0'), "VI_1"
	}
	return v
}

func FuzzFrames(f *testing.F) {
	f.Add(appendHello(nil, hello{peer: Peer{"id", "lb1"}, life: 5}))
	f.Add(appendView(nil, sampleView()))
	f.Add(appendFull(nil, 12, 34, 56, sampleOwn()))
	f.Add(appendRenew(nil, 12, 34, 56, 11))
	f.Add(appendWords(nil, []Word{{"lb1", "VI_1", 7, true}}))
	f.Add(appendAnswer(nil, 5, 6, 7, -8))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r, from := frameReader{limit: maxFrame}, bytes.NewReader(stream)
		for {
			kind, body, err := r.next(from)
			if err != nil {
				return
			}
			switch kind {
			case frameHello:
				if h, err := decodeHello(body); err == nil {
					if again, err := decodeHello(appendHello(nil, h)[4:]); err != nil || again != h {
						t.Fatalf("hello %+v became %+v, %v", h, again, err)
					}
				}
			case frameView:
				if v, err := decodeView(body); err == nil {
					if again, err := decodeView(appendView(nil, v)[4:]); err != nil || !reflect.DeepEqual(again, v) {
						t.Fatalf("view %+v became %+v, %v", v, again, err)
					}
				}
			case frameFull:
				_, _, _, _, _ = decodeFull(body)
			case frameRenew:
				_, _, _, _, _ = decodeRenew(body)
			case frameAnswer:
				_, _, _, _, _ = decodeAnswer(body)
			case frameWords:
				if w, err := decodeWords(body); err == nil {
					if again, err := decodeWords(appendWords(nil, w)[4:]); err != nil || !reflect.DeepEqual(again, w) {
						t.Fatalf("words %+v became %+v, %v", w, again, err)
					}
				}
			default:
				_, _, _ = decodePair(body)
			}
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add(AppendCommand(nil, []Move{{"VI_1", 0, "lb1", 1, time.Second}, {"VI_2", 0, "lb2", 1, time.Second}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, twin State
		r1, err1 := s.Apply(b)
		r2, err2 := twin.Apply(b)
		if (err1 == nil) != (err2 == nil) || !reflect.DeepEqual(r1, r2) || !bytes.Equal(s.AppendSnapshot(nil), twin.AppendSnapshot(nil)) {
			t.Fatal("the same entry did two things")
		}
		var back State
		if err := back.Restore(s.AppendSnapshot(nil)); err != nil || !bytes.Equal(back.AppendSnapshot(nil), s.AppendSnapshot(nil)) {
			t.Fatalf("snapshot: %v", err)
		}
		_ = back.Restore(b)
	})
}
