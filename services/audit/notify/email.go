package notify

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/wneessen/go-mail"
)

// Email sends messages by SMTP.
type Email struct {
	// Address of the server, host:port.
	Address  string
	From     string
	User     string
	Password string
	// To are the people by owner of an exception; those of "" get what has no
	// people of its own.
	To map[string][]string
	// Plain talks without TLS to a server that offers none; otherwise a server
	// without TLS is refused.
	Plain bool
}

// Name of the channel.
func (e Email) Name() string { return "e-mail" }

// Send hands a message to the server.
func (e Email) Send(ctx context.Context, m Message) error {
	to := e.To[m.Owner]
	if len(to) == 0 {
		to = e.To[""]
	}
	if len(to) == 0 {
		return nil // nobody wants to know
	}
	host, client, err := e.client()
	if err != nil {
		return err
	}
	letter := mail.NewMsg()
	if err := letter.From(e.From); err != nil {
		return fmt.Errorf("notification e-mail: from %q: %w", e.From, err)
	}
	if err := letter.To(to...); err != nil {
		return fmt.Errorf("notification e-mail: to %q: %w", to, err)
	}
	letter.SetMessageIDWithValue(m.ID + "@" + host)
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.Subject(m.Subject())
	letter.SetBodyString(mail.TypeTextPlain, m.Text())
	if err := client.DialAndSendWithContext(ctx, letter); err != nil {
		return fmt.Errorf("notification e-mail by %s: %w", e.Address, err)
	}
	return nil
}

func (e Email) client() (host string, c *mail.Client, err error) {
	host, text, err := net.SplitHostPort(e.Address)
	if err != nil {
		return "", nil, fmt.Errorf("notification e-mail: address %q: write host:port", e.Address)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", nil, fmt.Errorf("notification e-mail: port %q is not a number", text)
	}
	policy := mail.TLSMandatory
	if e.Plain {
		policy = mail.TLSOpportunistic
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(policy), mail.WithTimeout(sendWithin)}
	if e.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.User), mail.WithPassword(e.Password))
	}
	c, err = mail.NewClient(host, options...)
	return host, c, err
}
