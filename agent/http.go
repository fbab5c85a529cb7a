package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/reeve-lb/reeve/agent/httpapi"
)

// listen opens the socket of /v1, so that a taken port ends the agent before anything runs.
func (a *Agent) listen() (net.Listener, error) {
	if path, ok := strings.CutPrefix(a.set.HTTPAddr, "unix://"); ok {
		// A socket of a former life is in the way; one that somebody answers on is not ours to remove.
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("http: another program listens on %s", path)
		}
		_ = os.Remove(path) // usually nothing is there; if it stays, to listen fails and says why
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, fmt.Errorf("http: %w", err)
		}
		return l, nil
	}
	var conf net.ListenConfig
	conf.SetMultipathTCP(false)
	l, err := conf.Listen(context.Background(), "tcp", a.set.HTTPAddr)
	if err != nil {
		return nil, fmt.Errorf("http interface (-http-addr): %w", err)
	}
	return l, nil
}

// serve answers /v1 until ctx ends; streams are cut then.
func (a *Agent) serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler:           httpapi.Handler(a, a.set.Token, a.log.Named("http")),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          a.log.Named("http").StandardLogger(nil),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// The call that asked for the end may still be waiting for its answer.
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		s.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
