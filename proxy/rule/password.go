package rule

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/go-crypt/x/yescrypt"
)

// Hashes of passwords as crypt(3) makes them. They are slow on purpose: rules never compute one. What is not remembered
// becomes a Question, which the data plane has answered off its loops.

// Bounds of what one hash may cost, about a second and 64 MB, and the longest password that crypt(3) takes, in bytes.
const (
	maxRounds   = 1_000_000 // of SHA-512 and SHA-256
	maxCost     = 14        // of bcrypt: 2^14 rounds
	maxMemory   = 64 << 20  // of yescrypt
	maxPassword = 511
)

var (
	errNoHash = errors.New("is no hash of crypt(3) by SHA-512, SHA-256, bcrypt, yescrypt or MD5")
	errSlow   = errors.New("is a hash that takes too long: at most 1000000 rounds, bcrypt's cost 14, yescrypt's 64 MB")
)

// hashForm is one way of crypt(3).
type hashForm struct {
	key    int // length of what is compared
	decode func(text string) (algorithm.Digest, error)
}

var hashForms = map[string]hashForm{
	"1":  {22, md5crypt.Decode},
	"5":  {43, shacrypt.Decode},
	"6":  {86, shacrypt.Decode},
	"2a": {31, bcrypt.Decode},
	"2b": {31, bcrypt.Decode},
	"2y": {31, bcrypt.Decode},
	"y":  {32, scrypt.Decode},
}

// CheckPassword tells what is wrong with the hash of a password.
func CheckPassword(text string) error {
	_, err := parseHash(text)
	return err
}

func parseHash(text string) (algorithm.Digest, error) {
	parts := strings.Split(text, "$") // the first is empty
	if len(parts) < 4 || parts[0] != "" {
		return nil, errNoHash
	}
	form, ok := hashForms[parts[1]]
	if !ok {
		return nil, errNoHash
	}
	if tooSlow(parts[1], parts[2]) {
		return nil, errSlow
	}
	d, err := form.decode(text)
	if err != nil || len(d.Key()) != form.key {
		return nil, errNoHash
	}
	return d, nil
}

// tooSlow reports whether a way with that setting is beyond the bounds.
func tooSlow(way, setting string) bool {
	switch way {
	case "5", "6":
		text, said := strings.CutPrefix(setting, "rounds=")
		rounds, err := strconv.ParseUint(text, 10, 64)
		return said && err == nil && rounds > maxRounds
	case "2a", "2b", "2y":
		cost, err := strconv.Atoi(setting)
		return err == nil && cost > maxCost
	case "y":
		_, log, blocks, err := yescrypt.DecodeSetting([]byte(setting))
		return err == nil && (log > 20 || 128*blocks<<log > maxMemory)
	}
	return false
}

// Question is whether a password is the one that a hash was made of.
type Question struct {
	ID       PasswordID
	hash     algorithm.Digest
	password []byte
}

// PasswordID is a digest of a hash and a password, keyed by Ctx.Secret: nobody finds the password by it.
type PasswordID [sha256.Size]byte

// Answer computes the hash, which takes up to about a second; once, for it forgets the password.
func (q *Question) Answer() bool {
	right := q.hash.MatchBytes(q.password)
	clear(q.password)
	return right
}

// Learn remembers what came of a question.
func (c *Ctx) Learn(id PasswordID, right bool) {
	if right {
		c.known.right = c.known.right.with(id, maxRight)
	} else {
		c.known.wrong = c.known.wrong.with(id, maxWrong)
	}
}

// maxRight and maxWrong bound how many passwords a Ctx remembers.
const (
	maxRight = 4096
	maxWrong = 1024
)

// verdicts are what is remembered of passwords. Those that were right have room of their own: who knows none can't push
// them out.
type verdicts struct {
	mac          hash.Hash
	id           PasswordID // that was looked for last
	right, wrong idSet
}

type idSet map[PasswordID]struct{}

// with is the set with one more; a full one loses another.
func (s idSet) with(id PasswordID, most int) idSet {
	if s == nil {
		s = idSet{}
	}
	for other := range s {
		if len(s) < most {
			break
		}
		delete(s, other)
	}
	s[id] = struct{}{}
	return s
}

var idSeparator = []byte{0} // which no hash has

func (k *verdicts) verdict(secret *[32]byte, text, password []byte) truth {
	if k.mac == nil {
		k.mac = hmac.New(sha256.New, secret[:])
	}
	k.mac.Reset()
	k.mac.Write(text)
	k.mac.Write(idSeparator)
	k.mac.Write(password)
	k.mac.Sum(k.id[:0])
	if _, is := k.right[k.id]; is {
		return yes
	}
	if _, is := k.wrong[k.id]; is {
		return no
	}
	return miss
}
