package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/reeve-lb/reeve/api"
)

// maxBody bounds what a client may send: configurations are the largest.
const maxBody = 8 << 20

// Handler serves the interface. token guards every path when it is not empty.
func Handler(s Service, token string, log hclog.Logger) http.Handler {
	h := &handler{s: s, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/agent/self", read(func(*http.Request) (any, error) { return s.Self(), nil }))
	mux.HandleFunc("GET /v1/agent/members", read(func(*http.Request) (any, error) { return s.Members(), nil }))
	mux.HandleFunc("GET /v1/agent/info", read(func(*http.Request) (any, error) { return s.Info(), nil }))
	mux.HandleFunc("GET /v1/agent/monitor", h.monitor)
	mux.HandleFunc("GET /v1/agent/metrics", h.metrics)
	mux.HandleFunc("PUT /v1/agent/join", write(func(r *http.Request, b api.JoinRequest) (any, error) {
		n, err := s.Join(r.Context(), b.Addresses)
		return api.JoinResponse{Joined: n}, err
	}))
	mux.HandleFunc("PUT /v1/agent/leave", read(func(*http.Request) (any, error) { return struct{}{}, s.Leave() }))
	mux.HandleFunc("PUT /v1/agent/reload", read(func(*http.Request) (any, error) { return s.Reload() }))
	mux.HandleFunc("GET /v1/config", read(func(*http.Request) (any, error) { return s.Config() }))
	mux.HandleFunc("GET /v1/config/history", read(func(*http.Request) (any, error) { return s.History() }))
	mux.HandleFunc("PUT /v1/config/plan", write(func(r *http.Request, b api.ConfigRequest) (any, error) {
		return s.Plan(r.Context(), b)
	}))
	mux.HandleFunc("PUT /v1/config/apply", write(func(r *http.Request, b api.ConfigRequest) (any, error) {
		return s.Apply(r.Context(), b)
	}))
	mux.HandleFunc("GET /v1/vips", read(func(*http.Request) (any, error) { return s.VIPs(), nil }))
	mux.HandleFunc("GET /v1/vips/{name}", read(func(r *http.Request) (any, error) {
		return s.Why(r.Context(), r.PathValue("name"))
	}))
	mux.HandleFunc("PUT /v1/vips/release", read(func(r *http.Request) (any, error) { return struct{}{}, s.Release(r.Context(), "") }))
	mux.HandleFunc("PUT /v1/vips/{name}/release", read(func(r *http.Request) (any, error) {
		return struct{}{}, s.Release(r.Context(), r.PathValue("name"))
	}))
	mux.HandleFunc("GET /v1/tables", read(func(*http.Request) (any, error) { return s.Tables(), nil }))
	mux.HandleFunc("GET /v1/tables/{name}", read(func(r *http.Request) (any, error) { return s.Table(r.PathValue("name")) }))
	mux.HandleFunc("GET /v1/certificates", read(func(*http.Request) (any, error) { return s.Certificates(), nil }))
	mux.HandleFunc("PUT /v1/certificates/{name...}", write(func(r *http.Request, b api.CertificateRequest) (any, error) {
		return s.SetCertificate(r.Context(), r.PathValue("name"), []byte(b.PEM))
	}))
	mux.HandleFunc("DELETE /v1/certificates/{name...}", read(func(r *http.Request) (any, error) { return s.RemoveCertificate(r.Context(), r.PathValue("name")) }))
	mux.HandleFunc("PUT /v1/tls/ticket-keys", write(func(r *http.Request, b api.TicketKeysRequest) (any, error) {
		return s.SetTicketKeys(r.Context(), b)
	}))
	mux.HandleFunc("GET /v1/stats", read(func(*http.Request) (any, error) { return s.Stats(), nil }))
	mux.HandleFunc("GET /v1/operator/raft/configuration", read(func(r *http.Request) (any, error) {
		return s.RaftPeers(r.Context())
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("nothing is at %s %s", r.Method, r.URL.Path)})
	})
	return guard(token, mux)
}

type handler struct {
	s   Service
	log hclog.Logger
}

// guard refuses requests without the token, in constant time, and requests that a browser sends for another site.
func guard(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &api.Error{Code: api.CodeForbidden, Message: "a page of another site sent this request: only its own origin may change this agent"})
	}))
	return foreign.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" {
			given := r.Header.Get("X-Reeve-Token")
			if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && given == "" {
				given = bearer
			}
			got := sha256.Sum256([]byte(given))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				fail(w, &api.Error{Code: api.CodeForbidden, Message: "this agent asks for a token (-token or REEVE_TOKEN)"})
				return
			}
		}
		next.ServeHTTP(w, r)
	}))
}

// read serves a call without a body.
func read(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		reply(w, v, err)
	}
}

// write serves a call with a JSON body; unknown fields are an error, so that a misspelt one does not pass in silence.
func write[T any](f func(*http.Request, T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
			fail(w, &api.Error{Code: api.CodeInvalid, Message: "request body: " + err.Error()})
			return
		}
		v, err := f(r, body)
		reply(w, v, err)
	}
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client went away: nobody is left to tell
}

// statusOf is the one table from codes to HTTP.
func statusOf(code string) int {
	switch code {
	case api.CodeInvalid:
		return http.StatusBadRequest
	case api.CodeConflict, api.CodeAlone:
		return http.StatusConflict
	case api.CodeRefused:
		return http.StatusUnprocessableEntity
	case api.CodeNoLeader:
		return http.StatusServiceUnavailable
	case api.CodeNotFound:
		return http.StatusNotFound
	case api.CodeForbidden:
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}

func fail(w http.ResponseWriter, err error) {
	var e *api.Error
	if !errors.As(err, &e) {
		code := api.CodeInternal
		if errors.Is(err, context.DeadlineExceeded) {
			code = api.CodeNoLeader
		}
		e = &api.Error{Code: code, Message: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(e.Code))
	_ = json.NewEncoder(w).Encode(e) // the client went away: nobody is left to tell
}

// metrics takes ?format=prometheus, the only format.
func (h *handler) metrics(w http.ResponseWriter, r *http.Request) {
	if f := r.URL.Query().Get("format"); f != "" && f != "prometheus" {
		fail(w, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("format %q: want prometheus", f)})
		return
	}
	h.s.Metrics().ServeHTTP(w, r)
}

func (h *handler) monitor(w http.ResponseWriter, r *http.Request) {
	level := r.URL.Query().Get("level")
	if level == "" {
		level = "info"
	}
	if hclog.LevelFromString(level) == hclog.NoLevel {
		fail(w, &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("log level %q: want trace, debug, info, warn or error", level)})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{}) // a stream has no end of its own; the client's leaving ends it
	_ = rc.Flush()                       // a client that is gone already ends the stream below
	if err := h.s.Monitor(r.Context(), level, flushing{w, rc}); err != nil && r.Context().Err() == nil {
		h.log.Debug("monitor ended", "error", err)
	}
}

// flushing sends each line at once.
type flushing struct {
	io.Writer
	rc *http.ResponseController
}

// Write implements io.Writer.
func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}
