package alert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/reeve-lb/reeve/vrrp"
)

const (
	mailTries          = 6 // over half a minute: a mail about a failover often finds the network not healed yet
	defaultMailPort    = 25
	defaultMailTimeout = 30 * time.Second
)

// mailer sends mails as keepalived does: in the clear, without a password.
type mailer struct {
	c              vrrp.Mail
	routerID, node string
}

func newMailer(c vrrp.Mail, routerID, node, host string) *mailer {
	if c.From == "" {
		name := "root"
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		c.From = name + "@" + host
	}
	if c.HeloName == "" {
		c.HeloName = host
	}
	if c.Port == 0 {
		c.Port = defaultMailPort
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = defaultMailTimeout
	}
	return &mailer{c, routerID, node}
}

func (m *mailer) tries() int { return mailTries }

// subject is keepalived's, since people sort by it.
func (m *mailer) subject(e Event) string {
	what := "Instance"
	if e.Group {
		what = "Group"
	}
	return fmt.Sprintf("[%s] VRRP %s %s - Entering %s state", m.routerID, what, e.Name, e.To)
}

func (m *mailer) body(e Event) string {
	var b strings.Builder
	line := func(what string, value any) { fmt.Fprintf(&b, "%-10s%v\n", what+":", value) }
	line("node", m.node)
	line(e.kind(), e.Name)
	line("state", e.To)
	line("before", e.From)
	if !e.Group {
		line("priority", e.Priority)
	}
	if e.Epoch != 0 {
		line("epoch", e.Epoch)
	}
	if e.Cause != "" {
		line("cause", e.Cause)
	}
	line("time", e.Time.Format(time.RFC3339))
	return b.String()
}

func (m *mailer) message(e Event) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(m.c.From); err != nil {
		return nil, fmt.Errorf("notification_email_from %q: %w", m.c.From, err)
	}
	if err := msg.To(m.c.To...); err != nil {
		return nil, fmt.Errorf("notification_email: %w", err)
	}
	msg.Subject(m.subject(e))
	msg.SetDateWithValue(e.Time)
	msg.SetMessageID()
	msg.SetUserAgent("Reeve")
	msg.SetBodyString(mail.TypeTextPlain, m.body(e))
	return msg, nil
}

// send has one connection for one mail. ConnectTimeout bounds the connect, and the dialogue after it.
func (m *mailer) send(ctx context.Context, msg message) error {
	out, err := m.message(msg.Event)
	if err != nil {
		return refusal{err}
	}
	conns := &dialed{}
	defer conns.close()
	client, err := mail.NewClient(m.c.Server, mail.WithPort(m.c.Port), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO(m.c.HeloName),
		mail.WithTimeout(m.c.ConnectTimeout), mail.WithoutNoop(), mail.WithDialContextFunc(conns.dial))
	if err != nil {
		return refusal{fmt.Errorf("smtp_server %s: %w", m.c.Server, err)}
	}
	stop := context.AfterFunc(ctx, conns.close)
	defer stop()
	if err := client.DialAndSendWithContext(ctx, out); err != nil {
		err = fmt.Errorf("mail by %s: %w", client.ServerAddr(), err)
		var said *mail.SendError
		if errors.As(err, &said) && !said.IsTemp() && said.ErrorCode() >= 500 {
			return refusal{err}
		}
		return err
	}
	return nil
}

// dialed closes connections, whatever became of the dialogue.
type dialed struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (d *dialed) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conn)
	return conn, nil
}

func (d *dialed) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
}
