package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func tlsState() (*State, *TLSPart) {
	p := &TLSPart{}
	return New(map[Type]Part{TypeTLS: p}), p
}

func put(name, pem string) TLSChange {
	return TLSChange{Put: &Certificate{Name: name, PEM: Secret(pem)}}
}

func keys(texts ...string) (c TLSChange) {
	for _, t := range texts {
		c.TicketKeys = append(c.TicketKeys, Secret(t))
	}
	return c
}

// TestTicketKeysRotate: the newest key comes first, three are kept, a key that is given again is not there twice.
func TestTicketKeysRotate(t *testing.T) {
	s, p := tlsState()
	for i, c := range []struct {
		give []string
		want string
	}{
		{[]string{"a"}, "a"}, {[]string{"b"}, "b a"}, {[]string{"c"}, "c b a"}, {[]string{"d"}, "d c b"},
		{[]string{"d"}, "d c b"}, {[]string{"b"}, "b d c"}, {[]string{"x", "y"}, "x y b"}, {[]string{"1", "2", "3"}, "1 2 3"},
	} {
		at := time.Unix(int64(100+i), 0).UTC()
		if r := mustApply(t, s, uint64(i+1), TLSCommand(at, keys(c.give...))); r.Err != nil {
			t.Fatal(r.Err)
		}
		var have []string
		for _, k := range p.Contents().TicketKeys {
			have = append(have, string(k.Key))
		}
		if got := strings.Join(have, " "); got != c.want {
			t.Errorf("after %v there are %q, want %q", c.give, got, c.want)
		}
		if k := p.Contents().TicketKeys[0]; !k.Set.Equal(at) || p.Contents().Index != uint64(i+1) {
			t.Errorf("the newest key was set at %v, index %d", k.Set, p.Contents().Index)
		}
	}
}

// TestOldTicketKey: the newest key is old by its stamp; a stamp of a wrong clock is no life for ever.
func TestOldTicketKey(t *testing.T) {
	const age = time.Hour
	s, p := tlsState()
	at := time.Unix(1e9, 0)
	if n, old := p.OldTicketKey(at, age); old || n != 0 {
		t.Errorf("without keys: %d bytes, old %v", n, old)
	}
	mustApply(t, s, 1, TLSCommand(at.Add(-100*age), keys("older key")))
	mustApply(t, s, 2, TLSCommand(at, keys("a key")))
	for after, want := range map[time.Duration]bool{0: false, age: false, age + 1: true, -age: false, -age - 1: true, 1 << 62: true} {
		if n, old := p.OldTicketKey(at.Add(after), age); old != want || n != len("a key") {
			t.Errorf("%v after it was set: %d bytes, old %v, want %v", after, n, old, want)
		}
	}
}

// TestRefusedChangesOfTLS: what does not fit changes nothing, and says so.
func TestRefusedChangesOfTLS(t *testing.T) {
	s, p := tlsState()
	now := time.Unix(1, 0)
	mustApply(t, s, 1, TLSCommand(now, put("/a.pem", "A")))
	before := p.Snapshot()
	good := TLSCommand(now, put("/b.pem", "B"))
	for name, c := range map[string]struct {
		cmd  []byte
		want error
	}{
		"not set":   {TLSCommand(now, TLSChange{Remove: "/b.pem"}), ErrNotSet},
		"no name":   {TLSCommand(now, put("", "B")), ErrMalformed},
		"empty":     {TLSCommand(now, put("/b.pem", "")), ErrMalformed},
		"too large": {TLSCommand(now, put("/b.pem", strings.Repeat("x", MaxCertificate+1))), ErrMalformed},
		"no keys":   {TLSCommand(now, TLSChange{}), ErrMalformed},
		"four keys": {TLSCommand(now, keys("a", "b", "c", "d")), ErrMalformed},
		"empty key": {TLSCommand(now, keys("")), ErrMalformed},
		"cut":       {good[:len(good)-1], ErrMalformed},
		"left over": {append(bytes.Clone(good), 0), ErrMalformed},
		"kind":      {Command(TypeTLS, tlsVersion, []byte{9}), ErrMalformed},
		"nothing":   {Command(TypeTLS, tlsVersion, nil), ErrMalformed},
	} {
		if r := mustApply(t, s, 2, c.cmd); !errors.Is(r.Err, c.want) {
			t.Errorf("%s: %v, want %v", name, r.Err, c.want)
		}
		if !bytes.Equal(p.Snapshot(), before) {
			t.Fatalf("%s: changed something", name)
		}
	}
	two := put("/b.pem", "B")
	two.Remove = "/a.pem"
	for name, c := range map[string]TLSChange{
		"nothing": {}, "two at once": two, "no name": put("", "x"), "long name": put(strings.Repeat("n", 5000), "x"),
		"large": put("/b.pem", strings.Repeat("x", MaxCertificate+1)), "long key": keys(strings.Repeat("k", MaxTicketKey+1)), "four": keys("a", "b", "c", "d"),
	} {
		if c.Fits() == nil {
			t.Errorf("%s fits", name)
		}
	}
}

// TestCertificatesAreBounded: in number and in bytes; one that is set again takes its own place.
func TestCertificatesAreBounded(t *testing.T) {
	s, p := tlsState()
	now, big := time.Unix(1, 0), strings.Repeat("x", MaxCertificate)
	n := maxTLSBytes / MaxCertificate
	for i := range n {
		mustApply(t, s, uint64(i+1), TLSCommand(now, put(fmt.Sprint("/", i), big)))
	}
	if r := mustApply(t, s, 1000, TLSCommand(now, put("/more", "x"))); !errors.Is(r.Err, ErrFull) {
		t.Errorf("too many bytes: %v", r.Err)
	}
	if r := mustApply(t, s, 1001, TLSCommand(now, put("/1", big))); r.Err != nil {
		t.Errorf("one in its own place: %v", r.Err)
	}
	for i := range n {
		mustApply(t, s, uint64(2000+i), TLSCommand(now, TLSChange{Remove: fmt.Sprint("/", i)}))
	}
	for i := range MaxCertificates {
		mustApply(t, s, uint64(3000+i), TLSCommand(now, put(fmt.Sprint("/", i), "x")))
	}
	if r := mustApply(t, s, 9000, TLSCommand(now, put("/more", "x"))); !errors.Is(r.Err, ErrFull) || len(p.Contents().Certificates) != MaxCertificates {
		t.Errorf("too many: %v", r.Err)
	}
}

// TestSecretsAreNotPrinted by any verb; JSON between nodes carries them.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := put("/a.pem", "PRIVATE KEY")
	c.TicketKeys = []Secret{Secret("PRIVATE KEY")}
	now := TLS{Certificates: []Certificate{*c.Put}, TicketKeys: []TicketKey{{Key: c.TicketKeys[0]}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{c, *c.Put, c.Put.PEM, c.TicketKeys, now, &now} {
			text := fmt.Sprintf(verb, v)
			for _, key := range []string{"PRIVATE", fmt.Sprintf("%x", "PRIVATE"), fmt.Sprintf("%X", "PRIVATE"), "80 82 73"} {
				if strings.Contains(text, key) {
					t.Errorf("%s of %T prints the key: %s", verb, v, text)
				}
			}
		}
	}
	b, err := json.Marshal(c)
	var back TLSChange
	if err != nil || json.Unmarshal(b, &back) != nil || string(back.Put.PEM) != "PRIVATE KEY" {
		t.Errorf("over the network: %v", err)
	}
}

// TestTLSModel: a map and a list of keys, whatever is done, restored in between or not.
func TestTLSModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := tlsState()
		model, ticket, index := map[string]string{}, []string(nil), uint64(0)
		for i := range rapid.IntRange(0, 30).Draw(t, "steps") {
			at := uint64(i + 1)
			now := time.Unix(int64(rapid.IntRange(0, 1000).Draw(t, "time")), 0)
			name := rapid.SampledFrom([]string{"/a", "/b", "/c", "/d"}).Draw(t, "name")
			var c TLSChange
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				c = put(name, rapid.StringN(1, 20, 40).Draw(t, "pem"))
				model[name], index = string(c.Put.PEM), at
			case 1:
				c = TLSChange{Remove: name}
				if _, there := model[name]; there {
					index = at
				}
				delete(model, name)
			case 2:
				give := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5"}), 1, 3, rapid.ID).Draw(t, "keys")
				c, index = keys(give...), at
				rest := slices.DeleteFunc(ticket, func(k string) bool { return slices.Contains(give, k) })
				ticket = append(slices.Clone(give), rest...)
				ticket = ticket[:min(len(ticket), MaxTicketKeys)]
			case 3: // a restart
				snap := p.Snapshot()
				fresh, q := tlsState()
				if err := q.Restore(snap); err != nil || !bytes.Equal(q.Snapshot(), snap) {
					t.Fatalf("restored: %v", err)
				}
				s, p = fresh, q
				continue
			}
			if _, err := s.Apply(at, TLSCommand(now, c)); err != nil {
				t.Fatal(err)
			}
		}
		now := p.Contents()
		have := map[string]string{}
		for _, c := range now.Certificates {
			have[c.Name] = string(c.PEM)
		}
		var order []string
		for _, k := range now.TicketKeys {
			order = append(order, string(k.Key))
		}
		if fmt.Sprint(have) != fmt.Sprint(model) || !slices.Equal(order, ticket) || now.Index != index {
			t.Fatalf("has %v %v %d, want %v %v %d", have, order, now.Index, model, ticket, index)
		}
	})
}

// FuzzTLS: garbage changes nothing and breaks nothing, as a command and as a snapshot.
func FuzzTLS(f *testing.F) {
	for _, c := range []TLSChange{put("/a.pem", "A"), {Remove: "/a.pem"}, keys("a", "b")} {
		f.Add(TLSCommand(time.Unix(1, 0), c)[2:])
	}
	_, full := tlsState()
	full.Change(1, time.Unix(1, 0), put("/a.pem", "A"))
	full.Change(2, time.Unix(1, 0), keys("a"))
	f.Add(full.Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, p := tlsState()
		before := p.Snapshot()
		if _, err := p.Apply(7, b); err != nil && !bytes.Equal(p.Snapshot(), before) {
			t.Fatal("a refused command changed something")
		}
		if _, q := tlsState(); q.Restore(b) == nil {
			again := &TLSPart{}
			if err := again.Restore(q.Snapshot()); err != nil || !bytes.Equal(again.Snapshot(), q.Snapshot()) {
				t.Fatalf("a snapshot of what was restored is no snapshot: %v", err)
			}
		}
	})
}
