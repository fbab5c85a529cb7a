package raftnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt maps its file and trusts it: opening a damaged one ends the process from a goroutine of its own. checkBolt reads
// the file first, without mapping it, and follows all that can be reached from the root, so that damage is an error.
// The layout is that of go.etcd.io/bbolt's format 2, in the machine's byte order.
const (
	boltMagic      = 0xED0CDAED
	boltFormat     = 2
	boltHeader     = 16 // page: id 8, flags 2, count 2, overflow 4
	boltElement    = 16 // of both kinds
	boltBucket     = 16 // root 8, sequence 8
	boltNoFreelist = ^uint64(0)
	boltMaxDepth   = 64

	boltBranchPage   = 0x01
	boltLeafPage     = 0x02
	boltFreelistPage = 0x10
	boltBucketLeaf   = 0x01
)

type boltMeta struct {
	pageSize             uint32
	root, freelist, high uint64
	txid                 uint64
}

type boltCheck struct {
	r    io.ReaderAt
	meta boltMeta
	seen map[uint64]bool
}

// checkBolt returns nil if the file can be opened and read by bbolt.
func checkBolt(r io.ReaderAt, size int64) error {
	meta, err := boltMetaOf(r)
	if err != nil {
		return err
	}
	// At least the pages in use have to be there; the file itself may be larger.
	if need := int64(meta.high) * int64(meta.pageSize); meta.high > 1<<40 || need > size {
		return fmt.Errorf("cut short: %d bytes of %d", size, need)
	}
	c := &boltCheck{r: r, meta: meta, seen: map[uint64]bool{}}
	if meta.freelist != boltNoFreelist {
		if _, _, flags, err := c.page(meta.freelist); err != nil {
			return err
		} else if flags != boltFreelistPage {
			return fmt.Errorf("page %d is no list of free pages", meta.freelist)
		}
	}
	return c.tree(meta.root, 0, keys{})
}

// boltMetaOf picks the newest of the two meta pages that are whole. The second lies one page further; the page size stands in
// either, so all that bbolt would make are tried.
func boltMetaOf(r io.ReaderAt) (boltMeta, error) {
	var best boltMeta
	found := false
	for _, at := range []int64{0, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16} {
		var b [boltHeader + 64]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			break // a file that short has no second one
		}
		m, ok := parseBoltMeta(b[boltHeader:])
		if ok && (at == 0 || at == int64(m.pageSize)) && (!found || m.txid > best.txid) {
			best, found = m, true
		}
	}
	if !found {
		return boltMeta{}, errors.New("no valid head of the file")
	}
	return best, nil
}

func parseBoltMeta(b []byte) (boltMeta, bool) {
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	if u32(b) != boltMagic || u32(b[4:]) != boltFormat {
		return boltMeta{}, false
	}
	h := fnv.New64a()
	h.Write(b[:56])
	if h.Sum64() != u64(b[56:]) {
		return boltMeta{}, false
	}
	m := boltMeta{pageSize: u32(b[8:]), root: u64(b[16:]), freelist: u64(b[32:]), high: u64(b[40:]), txid: u64(b[48:])}
	return m, m.pageSize >= 512 && m.pageSize <= 1<<16
}

// page reads a page with its overflow.
func (c *boltCheck) page(id uint64) (b []byte, count int, flags uint16, err error) {
	if id < 2 || id >= c.meta.high {
		return nil, 0, 0, fmt.Errorf("page %d is out of the file", id)
	}
	at := int64(id) * int64(c.meta.pageSize)
	var head [boltHeader]byte
	if _, err := c.r.ReadAt(head[:], at); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	n := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if got := binary.NativeEndian.Uint64(head[:]); got != id || id+n > c.meta.high {
		return nil, 0, 0, fmt.Errorf("page %d is overwritten", id)
	}
	for i := id; i < id+n; i++ { // its overflow too is nobody else's
		if c.seen[i] {
			return nil, 0, 0, fmt.Errorf("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	b = make([]byte, n*uint64(c.meta.pageSize))
	if _, err := c.r.ReadAt(b, at); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	return b, int(binary.NativeEndian.Uint16(head[10:])), binary.NativeEndian.Uint16(head[8:]), nil
}

// keys is what a page's keys have to be: not below from (nil: any), below to (nil: any).
type keys struct{ from, to []byte }

func (k keys) has(key []byte) bool {
	return (k.from == nil || bytes.Compare(key, k.from) >= 0) && (k.to == nil || bytes.Compare(key, k.to) < 0)
}

func (c *boltCheck) tree(id uint64, depth int, within keys) error {
	if depth > boltMaxDepth {
		return errors.New("pages lie too deep")
	}
	b, count, flags, err := c.page(id)
	if err != nil {
		return err
	}
	switch flags {
	case boltBranchPage:
		return c.branch(id, b, count, depth, within)
	case boltLeafPage:
		return c.leaf(id, b, count, depth, within)
	}
	return fmt.Errorf("page %d is of an unknown kind %#x", id, flags)
}

// part is what an element at offset at speaks of: from its own beginning, pos further, n bytes.
func part(b []byte, at int, pos, n uint32) ([]byte, bool) {
	from := uint64(at) + uint64(pos)
	if from+uint64(n) > uint64(len(b)) {
		return nil, false
	}
	return b[from : from+uint64(n)], true
}

func (c *boltCheck) branch(id uint64, b []byte, count, depth int, within keys) error {
	u32 := binary.NativeEndian.Uint32
	if boltHeader+count*boltElement > len(b) || count == 0 {
		return fmt.Errorf("page %d is overwritten", id)
	}
	all := make([][]byte, count+1)
	all[count] = within.to
	for i := range count {
		at := boltHeader + i*boltElement
		key, ok := part(b, at, u32(b[at:]), u32(b[at+4:]))
		if !ok || !within.has(key) || (i > 0 && bytes.Compare(all[i-1], key) >= 0) {
			return fmt.Errorf("page %d is overwritten", id)
		}
		all[i] = key
	}
	for i := range count {
		at := boltHeader + i*boltElement
		if err := c.tree(binary.NativeEndian.Uint64(b[at+8:]), depth+1, keys{all[i], all[i+1]}); err != nil {
			return err
		}
	}
	return nil
}

func (c *boltCheck) leaf(id uint64, b []byte, count, depth int, within keys) error {
	u32 := binary.NativeEndian.Uint32
	if boltHeader+count*boltElement > len(b) {
		return fmt.Errorf("page %d is overwritten", id)
	}
	var last []byte
	for i := range count {
		at := boltHeader + i*boltElement
		flags, pos, klen, vlen := u32(b[at:]), u32(b[at+4:]), u32(b[at+8:]), u32(b[at+12:])
		key, ok := part(b, at, pos, klen)
		if !ok || !within.has(key) || (i > 0 && bytes.Compare(last, key) >= 0) {
			return fmt.Errorf("page %d is overwritten", id)
		}
		last = key
		value, ok := part(b, at, pos, klen+vlen)
		if !ok || uint64(klen)+uint64(vlen) > uint64(len(b)) {
			return fmt.Errorf("page %d is overwritten", id)
		}
		if flags&boltBucketLeaf == 0 {
			continue
		}
		if err := c.bucket(id, value[klen:], depth); err != nil {
			return err
		}
	}
	return nil
}

// bucket follows a bucket: its root page, or for a small one the page that lies in the value itself.
func (c *boltCheck) bucket(id uint64, v []byte, depth int) error {
	if len(v) < boltBucket {
		return fmt.Errorf("page %d is overwritten", id)
	}
	if root := binary.NativeEndian.Uint64(v); root != 0 {
		return c.tree(root, depth+1, keys{})
	}
	in := v[boltBucket:]
	if len(in) < boltHeader || binary.NativeEndian.Uint16(in[8:]) != boltLeafPage || depth > boltMaxDepth {
		return fmt.Errorf("page %d is overwritten", id)
	}
	return c.leaf(id, in, int(binary.NativeEndian.Uint16(in[10:])), depth+1, keys{})
}
