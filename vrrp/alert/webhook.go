package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/reeve-lb/reeve/vrrp"
)

const (
	defaultHookTimeout = 5 * time.Second
	answerBound        = 4 << 10
)

// SignatureHeader carries `sha256=` and the HMAC-SHA256 of the body in hexadecimal, by the webhook's secret.
const SignatureHeader = "X-Reeve-Signature"

// Payload is what webhooks get.
type Payload struct {
	ID       string    `json:"id"` // of the transition; the same in every try
	Node     string    `json:"node"`
	Instance string    `json:"instance,omitempty"`
	Group    string    `json:"group,omitempty"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Priority int       `json:"priority"`
	Epoch    uint64    `json:"epoch"`
	Cause    string    `json:"cause"`
	Time     time.Time `json:"time"`
}

// Sign is the value of SignatureHeader for a body.
func Sign(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

// hook posts to one address.
type hook struct {
	c      vrrp.Webhook
	node   string
	client *http.Client
}

func newHook(c vrrp.Webhook, node string) *hook {
	if c.Timeout <= 0 {
		c.Timeout = defaultHookTimeout
	}
	return &hook{c: c, node: node, client: &http.Client{
		Timeout:       c.Timeout,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSHandshakeTimeout: c.Timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (h *hook) tries() int { return 1 + max(h.c.Retries, 0) }

func (h *hook) payload(m message) Payload {
	p := Payload{
		ID: h.node + "-" + strconv.FormatInt(m.Time.UnixNano(), 36) + "-" + strconv.FormatUint(m.seq, 10), Node: h.node,
		From: m.From, To: m.To, Priority: m.Priority, Epoch: m.Epoch, Cause: m.Cause, Time: m.Time.UTC(),
	}
	if m.Group {
		p.Group, p.Priority = m.Name, 0
	} else {
		p.Instance = m.Name
	}
	return p
}

// send posts once. Answers below 300 are good; others below 500 are a refusal, but for those that say "later".
func (h *hook) send(ctx context.Context, m message) error {
	body, err := json.Marshal(h.payload(m))
	if err != nil {
		return refusal{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.c.URL, bytes.NewReader(body))
	if err != nil {
		return refusal{withoutURL(err)}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Reeve")
	if h.c.Secret != "" {
		req.Header.Set(SignatureHeader, Sign(h.c.Secret, body))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, answerBound) // what it says does not matter
	switch code := resp.StatusCode; {
	case code < 300:
		return nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code == http.StatusTooEarly:
		return fmt.Errorf("answered %s", resp.Status)
	default:
		return refusal{fmt.Errorf("answered %s", resp.Status)}
	}
}

// withoutURL leaves out of an error what may hold a password or a token.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("post: %w", u.Err)
	}
	return err
}
