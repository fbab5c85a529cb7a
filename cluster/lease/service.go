package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/internal/boottime"
)

const (
	helloTimeout    = time.Second
	proposeTimeout  = time.Second
	transferTimeout = 2 * time.Second
	electTimeout    = time.Second
	// electStagger separates the nodes that stand for election on a guard's word.
	electStagger = 40 * time.Millisecond
	// wordAge is how long words are handed to new leaders.
	wordAge = 10 * time.Second
	// maxStreams bounds connections served at once.
	maxStreams = 2*maxMembers + 64
)

// Service is the leader's side and, on every node, the ear for the guards' words. Its methods are safe for concurrent use.
type Service struct {
	conf    Config
	log     hclog.Logger
	client  *Client
	wake    chan struct{} // capacity 1: the deadline became earlier
	dropped atomic.Uint64

	mu       sync.Mutex
	ctx      context.Context // of Run; nil outside
	tasks    sync.WaitGroup  // of Run
	k        *keeper         // nil: this node does not lead
	lastTerm uint64          // of the newest keeper
	rounds   uint64          // asked by all keepers, so that none uses a number twice
	armed    boottime.Time   // when Run looks next
	streams  map[uint64]*stream
	serving  int
	next     uint64 // stream
	words    map[string]heardWord
	elected  uint64 // term in which an election was called for
	frame    []byte // the keeper's view, encoded
	frameGen uint64
}

type heardWord struct {
	Word
	at boottime.Time
}

// stream is a node's connection.
type stream struct {
	*outbox
	id    uint64
	hello hello
}

func newService(conf Config, c *Client) *Service {
	return &Service{
		conf: conf, log: conf.Logger, client: c, wake: make(chan struct{}, 1),
		streams: make(map[uint64]*stream), words: make(map[string]heardWord),
	}
}

// Run leads whenever this node's Raft does, until ctx ends. It may be called once.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	changed := s.conf.Log.Changed(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.turn())
		select {
		case <-ctx.Done():
		case <-changed:
		case <-s.wake:
		case <-timer.C:
		}
	}
	s.mu.Lock()
	s.ctx, s.k = nil, nil
	s.mu.Unlock()
	s.tasks.Wait()
	return ctx.Err()
}

// turn follows Raft's leadership, lets the keeper's time pass and returns how long until the next turn.
func (s *Service) turn() time.Duration {
	l := s.conf.Log.Leadership()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := boottime.Now()
	s.lead(l, now)
	s.armed = now.Add(time.Second)
	if s.k != nil {
		if !now.Before(s.k.deadline()) {
			s.k.said(s.conf.Log.Term())
			s.k.tick(now)
			s.act()
		}
		s.armed = max(s.k.deadline(), now.Add(time.Millisecond))
	}
	return s.armed.Sub(now)
}

// lead begins and ends keepers. s.mu is held.
func (s *Service) lead(l Leadership, now boottime.Time) {
	if s.k != nil && (!l.Leading || l.Term != s.k.term) {
		s.log.Info("no longer keeps the leases", "term", s.k.term)
		s.rounds, s.k = s.k.round.n, nil
	}
	if !l.Leading || s.ctx == nil {
		return
	}
	if s.k != nil {
		if !slices.Equal(s.k.voters, l.Voters) {
			s.k.reconfigured(l.Voters)
		}
		return
	}
	if l.Term <= s.lastTerm {
		return // a former keeper of this term may have proposals under way that a new one would not know of
	}
	s.lastTerm, s.frameGen, s.frame = l.Term, 0, nil
	words := make(map[string]Word, len(s.words))
	for name, w := range s.words {
		words[name] = w.Word
	}
	records := s.conf.Log.Records()
	s.log.Info("keeps the leases", "term", l.Term, "leases", len(records))
	s.k = newKeeper(s.conf.ID, s.conf.TTL, s.conf.Renew, s.conf.Margin, l, s.rounds, records, words, now)
	for id, st := range s.streams {
		s.k.join(id, st.hello, now)
		st.send(func(b []byte) []byte { return endFrame(beginFrame(b, frameResend), len(b)) })
	}
	s.k.said(s.conf.Log.Term())
	s.k.tick(now)
	s.act()
}

// act does what the keeper wants. s.mu is held.
func (s *Service) act() {
	k := s.k
	for i := range k.acts {
		a := &k.acts[i]
		switch a.kind {
		case actPropose:
			s.propose(k, a.moves)
			continue
		case actTransfer:
			s.transfer(a.to)
			continue
		case actContact:
			s.conf.Log.Contact(a.to, k.term)
			continue
		}
		st := s.streams[a.stream]
		if st == nil {
			continue
		}
		switch a.kind {
		case actAsk:
			st.send(func(b []byte) []byte { return appendPair(b, frameAsk, a.x, a.y) })
		case actAnswer:
			st.send(func(b []byte) []byte { return appendAnswer(b, a.x, a.y, k.term, a.late) })
		case actResend:
			st.send(func(b []byte) []byte { return endFrame(beginFrame(b, frameResend), len(b)) })
		case actView:
			if s.frameGen != k.gen {
				s.frame, s.frameGen = appendView(s.frame[:0], k.view), k.gen
			}
			st.send(func(b []byte) []byte { return append(b, s.frame...) })
		}
	}
	clear(k.acts)
	k.acts = k.acts[:0]
	if k.deadline() < s.armed {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// propose commits moves. The keeper has one proposal under way at most, so this is one goroutine.
func (s *Service) propose(k *keeper, moves []Move) {
	ctx := s.ctx
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
		defer cancel()
		records, err := s.conf.Log.Propose(ctx, AppendCommand(nil, moves))
		if err == nil && len(records) != len(moves) {
			err = fmt.Errorf("%d records for %d moves: %w", len(records), len(moves), ErrProtocol)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.log.Warn("lease entry not committed yet", "error", err)
		}
		for _, r := range records {
			s.log.Info("lease moved", "instance", r.Instance, "holder", r.Holder, "epoch", r.Epoch)
		}
		if s.k == k {
			k.proposed(records, err, boottime.Now())
			s.act()
		}
	})
}

func (s *Service) transfer(to string) {
	ctx := s.ctx
	s.log.Info("moves the leadership to a node that holds no lease", "node", to)
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, transferTimeout)
		defer cancel()
		if err := s.conf.Log.TransferLeadership(ctx, to); err != nil {
			s.log.Warn("leadership not moved", "node", to, "error", err)
		}
	})
}

// Serve owns a connection that a peer's Client or guard opened, until it ends. from is who the certificate says it is.
func (s *Service) Serve(ctx context.Context, from Peer, conn net.Conn) error {
	defer conn.Close()
	s.mu.Lock()
	s.serving++
	full := s.serving > maxStreams
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.serving--
		s.mu.Unlock()
	}()
	if full {
		s.dropped.Add(1)
		return fmt.Errorf("lease stream of %s: %w", from.Name, ErrTooMany)
	}
	stop := context.AfterFunc(ctx, func() { abort(conn) })
	defer stop()
	err := s.serve(ctx, from, conn)
	if errors.Is(err, ErrProtocol) {
		s.dropped.Add(1)
	}
	return err
}

func (s *Service) serve(ctx context.Context, from Peer, conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	var r frameReader
	kind, body, err := r.next(conn)
	if err != nil {
		return fmt.Errorf("lease stream of %s: %w", from.Name, err)
	}
	switch kind {
	case frameWords:
		return s.guard(from, conn, body)
	case frameHello:
		h, err := decodeHello(body)
		if err != nil {
			return fmt.Errorf("lease stream of %s: %w", from.Name, err)
		}
		if h.peer != from {
			return fmt.Errorf("lease stream of %s says it is %s: %w", from.Name, h.peer.Name, ErrProtocol)
		}
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err() // the abort may have come before the deadline was lifted
		}
		r.limit = maxFrame
		return s.node(&r, h, conn)
	}
	return fmt.Errorf("lease stream of %s begins with kind %d: %w", from.Name, kind, ErrProtocol)
}

// guard hears a guard out.
func (s *Service) guard(from Peer, conn net.Conn, body []byte) error {
	words, err := decodeWords(body)
	if err != nil {
		return fmt.Errorf("guard of %s: %w", from.Name, err)
	}
	for i := range words {
		words[i].Node = from.Name // a guard speaks for its own node
	}
	s.hear(words)
	if err := conn.SetWriteDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(endFrame(beginFrame(nil, frameHeard), 0)); err != nil {
		return fmt.Errorf("guard of %s: %w", from.Name, err)
	}
	return nil
}

// node serves a node's stream.
func (s *Service) node(r *frameReader, h hello, conn net.Conn) error {
	st := &stream{hello: h, outbox: newOutbox(conn)}
	s.mu.Lock()
	s.next++
	st.id = s.next
	s.streams[st.id] = st
	if s.k != nil {
		s.k.join(st.id, h, boottime.Now())
		s.act()
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { st.run(ended) })
	err := s.read(st, r)
	close(ended)
	_ = conn.Close() // a writer that is blocked gives up
	writer.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st.id)
	if s.k != nil {
		s.k.leave(st.id, boottime.Now())
		s.act()
	}
	return fmt.Errorf("lease stream of %s: %w", h.peer.Name, err)
}

func (s *Service) read(st *stream, r *frameReader) error {
	for {
		kind, body, err := r.next(st.conn)
		if err != nil {
			return err
		}
		if err := s.take(st, kind, body); err != nil {
			return err
		}
	}
}

// take takes one frame from a node.
func (s *Service) take(st *stream, kind byte, body []byte) error {
	switch kind {
	case frameRenew:
		seq, gen, term, heard, err := decodeRenew(body)
		if err != nil {
			return err
		}
		s.keep(func(k *keeper, now boottime.Time) { k.renewed(st.id, seq, gen, term, heard, now) })
	case frameConfirm:
		round, term, err := decodePair(body)
		if err != nil {
			return err
		}
		s.keep(func(k *keeper, now boottime.Time) { k.confirm(st.id, round, term, now) })
	case frameFull:
		seq, gen, term, all, err := decodeFull(body)
		if err != nil {
			return err
		}
		s.keep(func(k *keeper, now boottime.Time) { k.full(st.id, seq, gen, term, all, now) })
	case frameWords:
		words, err := decodeWords(body)
		if err != nil {
			return err
		}
		s.hear(words)
	default:
		return fmt.Errorf("frame of kind %d from a node: %w", kind, ErrProtocol)
	}
	return nil
}

// keep lets the keeper, if this node leads, take what just came. Its own term is read after that came.
func (s *Service) keep(take func(k *keeper, now boottime.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.k == nil {
		return
	}
	s.k.said(s.conf.Log.Term())
	take(s.k, boottime.Now())
	s.act()
}

// hear takes guards' words: the leader uses them, others hand them on or, if it is the leader that died, stand for election.
func (s *Service) hear(words []Word) {
	l, term := s.conf.Log.Leadership(), s.conf.Log.Term()
	s.mu.Lock()
	now := boottime.Now()
	var news []Word
	dead := false
	for _, w := range words {
		dead = dead || w.AgentDied && w.Node == l.Leader.Name
		if w.Instance == "" {
			continue // an agent that held nothing died
		}
		if old, known := s.words[w.Instance]; known && (old.Epoch > w.Epoch || old.Epoch == w.Epoch && (old.AgentDied || !w.AgentDied)) ||
			!known && len(s.words) >= maxRecords {
			continue
		}
		s.words[w.Instance] = heardWord{w, now}
		news = append(news, w)
		if s.k != nil {
			s.k.heard(w, now)
			s.act()
		}
	}
	leads := s.k != nil
	if dead && !leads && l.Leader.ID != s.conf.ID {
		s.elect(l, term)
	}
	s.mu.Unlock()
	for _, w := range news {
		s.log.Info("released by a guard", "node", w.Node, "instance", w.Instance, "epoch", w.Epoch, "agent_died", w.AgentDied)
	}
	if len(news) > 0 && !leads && !dead {
		s.client.forward(news)
	}
}

// elect calls for an election: the leader is dead. The voters take turns, in the order of their IDs, so that the first is
// alone unless it is dead too. s.mu is held.
func (s *Service) elect(l Leadership, term uint64) {
	if s.ctx == nil || s.elected == term || !slices.Contains(l.Voters, s.conf.ID) {
		return
	}
	s.elected = term
	turn := 0
	for _, id := range l.Voters {
		if id != l.Leader.ID && id < s.conf.ID {
			turn++
		}
	}
	ctx := s.ctx
	s.tasks.Go(func() {
		pause(ctx, nil, time.Duration(turn)*electStagger)
		if ctx.Err() != nil || s.conf.Log.Term() != term {
			return // someone stands already
		}
		ctx, cancel := context.WithTimeout(ctx, electTimeout)
		defer cancel()
		s.log.Info("the leader is dead by its guard's word: stands for election", "leader", l.Leader.Name, "term", term)
		if err := s.conf.Log.TriggerElection(ctx); err != nil {
			s.log.Warn("election not begun", "error", err)
		}
	})
}

// recent returns words that a new leader may not know.
func (s *Service) recent() []Word {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Word
	for _, w := range s.words {
		if boottime.Now().Sub(w.at) < wordAge {
			out = append(out, w.Word)
		}
	}
	return out
}
