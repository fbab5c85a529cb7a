package lease

import (
	"context"
)

// Client is a node's side: it stands for instances and tells what the cluster decided. All methods are safe for
// concurrent use and none but Run blocks.
type Client struct {
	conf     Config
	verdicts chan Verdict
}

// New makes the two drivers of a node. Neither does anything before its Run.
func New(conf Config) (*Client, *Service, error) {
	return &Client{conf: conf, verdicts: make(chan Verdict)}, &Service{conf: conf}, nil
}

// Run takes part until ctx ends. It closes the verdicts before it returns.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.verdicts)
	<-ctx.Done()
	return ctx.Err()
}

// Stand says, at first and after each change, how good this node's candidacy for the instance is.
func (c *Client) Stand(instance string, cand Candidacy) {}

// Withdraw ends the candidacy: the instance is no longer configured here. Its addresses must be off by then.
func (c *Client) Withdraw(instance string) {}

// Released gives the lease of that epoch back. Call it only after the addresses are off this machine.
func (c *Client) Released(instance string, epoch uint64) {}

// Verdicts delivers what the cluster decided. It is closed when Run ends.
func (c *Client) Verdicts() <-chan Verdict { return c.verdicts }

// Status tells who holds what and who stands for it.
func (c *Client) Status() Status { return Status{} }
