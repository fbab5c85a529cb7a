package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// DefaultAddress is where an agent listens for its clients when nobody says otherwise.
const DefaultAddress = "127.0.0.1:7500"

// Options of a Client. Empty fields fall back to the environment (REEVE_HTTP_ADDR, REEVE_TOKEN), then to the default.
type Options struct {
	Address string // host:port, http://host:port, https://host:port or unix:///path
	Token   string
	Timeout time.Duration // of one call that does not stream; default 60 s
	// Dial connects; nil: the machine's own network. For callers that live in another network namespace than the agent.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client speaks to one agent. Safe for concurrent use.
type Client struct {
	base    string
	token   string
	timeout time.Duration
	http    *http.Client
	shown   string // the address as errors name it
}

// New makes a client; it does not connect yet.
func New(o Options) (*Client, error) {
	if o.Address == "" {
		o.Address = os.Getenv("REEVE_HTTP_ADDR")
	}
	if o.Address == "" {
		o.Address = DefaultAddress
	}
	if o.Token == "" {
		o.Token = os.Getenv("REEVE_TOKEN")
	}
	if o.Timeout == 0 {
		o.Timeout = 60 * time.Second
	}
	c := &Client{token: o.Token, timeout: o.Timeout, shown: o.Address}
	tr := &http.Transport{DialContext: o.Dial, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second}
	c.http = &http.Client{Transport: tr}
	if path, ok := strings.CutPrefix(o.Address, "unix://"); ok {
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
		c.base = "http://agent"
		return c, nil
	}
	if !strings.Contains(o.Address, "://") {
		o.Address = "http://" + o.Address
	}
	u, err := url.Parse(o.Address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("agent address %q: want host:port, http(s)://host:port or unix:///path", c.shown)
	}
	c.base = u.Scheme + "://" + u.Host
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Self tells about the agent.
func (c *Client) Self(ctx context.Context) (Self, error) { return get[Self](ctx, c, "/v1/agent/self") }

// Members lists who is in.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	return get[[]Member](ctx, c, "/v1/agent/members")
}

// Info is nested sections of figures for people.
func (c *Client) Info(ctx context.Context) (map[string]map[string]string, error) {
	return get[map[string]map[string]string](ctx, c, "/v1/agent/info")
}

// Join asks the agent to find others at the addresses.
func (c *Client) Join(ctx context.Context, addresses []string) (int, error) {
	r, err := put[JoinResponse](ctx, c, "/v1/agent/join", JoinRequest{Addresses: addresses})
	return r.Joined, err
}

// Leave takes the agent out of the cluster and ends it.
func (c *Client) Leave(ctx context.Context) error {
	_, err := put[struct{}](ctx, c, "/v1/agent/leave", nil)
	return err
}

// Reload is HUP over HTTP.
func (c *Client) Reload(ctx context.Context) (ReloadResponse, error) {
	return put[ReloadResponse](ctx, c, "/v1/agent/reload", nil)
}

// Plan says what Apply would do.
func (c *Client) Plan(ctx context.Context, r ConfigRequest) (PlanResponse, error) {
	return put[PlanResponse](ctx, c, "/v1/config/plan", r)
}

// Apply makes the files the configuration of every node, or changes nothing.
func (c *Client) Apply(ctx context.Context, r ConfigRequest) (ApplyResponse, error) {
	return put[ApplyResponse](ctx, c, "/v1/config/apply", r)
}

// Config is the version in force.
func (c *Client) Config(ctx context.Context) (Config, error) {
	return get[Config](ctx, c, "/v1/config")
}

// History lists the versions kept, newest first.
func (c *Client) History(ctx context.Context) ([]ConfigVersion, error) {
	return get[[]ConfigVersion](ctx, c, "/v1/config/history")
}

// VIPs lists the instances.
func (c *Client) VIPs(ctx context.Context) ([]VIP, error) { return get[[]VIP](ctx, c, "/v1/vips") }

// Why is the evidence about one instance.
func (c *Client) Why(ctx context.Context, instance string) (Why, error) {
	return get[Why](ctx, c, "/v1/vips/"+url.PathEscape(instance))
}

// Release hands an instance over; "" is all that the agent holds.
func (c *Client) Release(ctx context.Context, instance string) error {
	path := "/v1/vips/release"
	if instance != "" {
		path = "/v1/vips/" + url.PathEscape(instance) + "/release"
	}
	_, err := put[struct{}](ctx, c, path, nil)
	return err
}

// Tables lists the sticky tables.
func (c *Client) Tables(ctx context.Context) ([]Table, error) {
	return get[[]Table](ctx, c, "/v1/tables")
}

// Table lists one table's entries.
func (c *Client) Table(ctx context.Context, name string) ([]TableEntry, error) {
	return get[[]TableEntry](ctx, c, "/v1/tables/"+url.PathEscape(name))
}

// Certificates lists what the node's binds serve.
func (c *Client) Certificates(ctx context.Context) ([]Certificate, error) {
	return get[[]Certificate](ctx, c, "/v1/certificates")
}

// SetCertificate lets PEM (certificate, chain and key) stand in place of a file, by its path or the last part of it, on
// every node, or changes nothing.
func (c *Client) SetCertificate(ctx context.Context, name, pem string) (CertificateChange, error) {
	return put[CertificateChange](ctx, c, "/v1/certificates/"+url.PathEscape(name), CertificateRequest{PEM: pem})
}

// RemoveCertificate lets the file count again, on every node.
func (c *Client) RemoveCertificate(ctx context.Context, name string) (CertificateChange, error) {
	return call[CertificateChange](ctx, c, http.MethodDelete, "/v1/certificates/"+url.PathEscape(name), nil)
}

// SetTicketKeys puts keys of session tickets, newest first, before those that every node has.
func (c *Client) SetTicketKeys(ctx context.Context, keys []string) (CertificateChange, error) {
	return put[CertificateChange](ctx, c, "/v1/tls/ticket-keys", TicketKeysRequest{Keys: keys})
}

// RaftPeers is Raft's configuration.
func (c *Client) RaftPeers(ctx context.Context) ([]RaftPeer, error) {
	return get[[]RaftPeer](ctx, c, "/v1/operator/raft/configuration")
}

// Stats is the data plane's counters as the agent prints them.
func (c *Client) Stats(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/v1/stats")
}

// Monitor streams the agent's log at a level until ctx ends. The caller closes the reader.
func (c *Client) Monitor(ctx context.Context, level string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/agent/monitor?level="+url.QueryEscape(level), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return call[T](ctx, c, http.MethodGet, path, nil)
}

func put[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, http.MethodPut, path, body)
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("answer of the agent at %s: %w", c.shown, err)
	}
	return out, nil
}

// do sends one request and turns every answer that is no success into an *Error.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("X-Reeve-Token", c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("no agent answers at %s: %w (is it running? -http-addr or REEVE_HTTP_ADDR names another)", c.shown, op.Err)
		}
		return nil, fmt.Errorf("agent at %s: %w", c.shown, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &Error{Status: resp.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		e.Code, e.Message = CodeInternal, fmt.Sprintf("agent at %s: %s: %s", c.shown, resp.Status, strings.TrimSpace(string(text)))
	}
	return nil, e
}
