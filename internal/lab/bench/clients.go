package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// holdWord makes this program a client that has idle connections: `bench hold-for-bench ADDR CONNS clear|tls`. Each has had
// an answer. It prints held and keeps them until TERM.
const holdWord = "hold-for-bench"

// held is what it prints when all connections stand.
const held = "all connections are idle"

// tlsClient are the settings of the clients that are no tools: TLS 1.3 with the key exchange that OpenSSL 3.0 has, too.
func tlsClient(cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: host, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: cache}
}

func hold(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%s: want ADDR CONNS clear|tls", holdWord)
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGTERM)
	d := net.Dialer{Timeout: 5 * time.Second}
	d.SetMultipathTCP(false)
	conns := make([]net.Conn, 0, n)
	for i := range n {
		c, err := d.Dial("tcp", args[0])
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if args[2] == "tls" {
			c = tls.Client(c, tlsClient(nil))
		}
		if err := ask(c, "keep-alive"); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		conns = append(conns, c)
	}
	fmt.Println(held)
	<-over
	for _, c := range conns {
		c.Close()
	}
	return nil
}

// ask sends one request and reads the answer.
func ask(c net.Conn, connection string) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n", target, host, connection); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", r.StatusCode)
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// handsWord makes this program a client that shakes hands: `bench hands-for-bench ADDR MILLISECONDS full|resumed`. Nothing
// is asked: it connects, shakes hands and closes.
const handsWord = "hands-for-bench"

// handsResult is what it prints.
type handsResult struct {
	Handshakes int64   `json:"handshakes"`
	Seconds    float64 `json:"seconds"`
}

// shakers is how many are under way at a time.
const shakers = 8

func shakeHands(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("%s: want ADDR MILLISECONDS full|resumed", handsWord)
	}
	ms, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	resumed := args[2] == "resumed"
	var cache tls.ClientSessionCache
	if resumed {
		cache = tls.NewLRUClientSessionCache(shakers)
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return err
		}
		t := tls.Client(c, tlsClient(cache))
		if err := ask(t, "close"); err != nil { // the ticket comes after the handshake
			return err
		}
		_, _ = io.Copy(io.Discard, t) // to the end, whatever it is like
		t.Close()
	}
	config := tlsClient(cache)
	var n atomic.Int64
	var workers sync.WaitGroup
	failed := make(chan error, shakers)
	began := time.Now()
	end := began.Add(time.Duration(ms) * time.Millisecond)
	for range shakers {
		workers.Go(func() {
			for time.Now().Before(end) {
				if err := shake(args[0], config, resumed); err != nil {
					failed <- err
					return
				}
				n.Add(1)
			}
		})
	}
	workers.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(handsResult{n.Load(), time.Since(began).Seconds()})
}

// shake shakes hands once and ends in order: a reset would be other work for the proxy.
func shake(addr string, config *tls.Config, resumed bool) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	t := tls.Client(c, config)
	if err := t.Handshake(); err != nil {
		return err
	}
	if got := t.ConnectionState().DidResume; got != resumed {
		return fmt.Errorf("resumed: %v, want %v", got, resumed)
	}
	if err := t.CloseWrite(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, t); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return nil
}
