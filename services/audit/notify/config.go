package notify

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
)

// Config says who is told, and how. Empty tells nobody.
type Config struct {
	WebhookURL    string
	WebhookSecret string
	SMTPAddress   string
	SMTPUser      string
	SMTPPassword  string
	SMTPPlain     bool // the server may talk without TLS
	From          string
	// To are "owner=address" or "address" for all others, by comma: the owners
	// are finance, operator, crm admin, tieout.
	To string
	// Console is the address under which people reach the console; "" names none.
	Console string
}

// FromEnv reads the keys notify.webhook.url, notify.smtp.address and so on from
// TIEOUT_NOTIFY_WEBHOOK_URL and so on; secrets are named by files.
func FromEnv(getenv func(string) string, readFile func(string) ([]byte, error)) (Config, error) {
	c := Config{
		WebhookURL: getenv("TIEOUT_NOTIFY_WEBHOOK_URL"), SMTPAddress: getenv("TIEOUT_NOTIFY_SMTP_ADDRESS"), SMTPUser: getenv("TIEOUT_NOTIFY_SMTP_USER"),
		SMTPPlain: getenv("TIEOUT_NOTIFY_SMTP_PLAIN") == "true", From: getenv("TIEOUT_NOTIFY_SMTP_FROM"), To: getenv("TIEOUT_NOTIFY_SMTP_TO"),
		Console: strings.TrimSuffix(getenv("TIEOUT_NOTIFY_CONSOLE"), "/"),
	}
	var errs []error
	for key, to := range map[string]*string{"TIEOUT_NOTIFY_WEBHOOK_SECRET_FILE": &c.WebhookSecret, "TIEOUT_NOTIFY_SMTP_PASSWORD_FILE": &c.SMTPPassword} {
		name := getenv(key)
		if name == "" {
			continue
		}
		b, err := readFile(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		*to = strings.TrimSpace(string(b))
	}
	return c, errors.Join(errs...)
}

// Channels makes the channels, and reports every mistake at once.
func (c Config) Channels(now func() time.Time) ([]Channel, error) {
	var out []Channel
	var errs []error
	if c.WebhookURL != "" {
		if u, err := url.Parse(c.WebhookURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			errs = append(errs, fmt.Errorf("notify.webhook.url is %q: write https://host/path", c.WebhookURL))
		}
		if c.WebhookSecret != "" {
			if _, err := Key(c.WebhookSecret); err != nil {
				errs = append(errs, err)
			}
		}
		out = append(out, Webhook{URL: c.WebhookURL, Secret: c.WebhookSecret, Now: now})
	}
	if c.SMTPAddress != "" {
		e := Email{Address: c.SMTPAddress, From: c.From, User: c.SMTPUser, Password: c.SMTPPassword, Plain: c.SMTPPlain}
		var err error
		if e.To, err = people(c.To); err != nil {
			errs = append(errs, err)
		}
		if _, err := mail.ParseAddress(c.From); err != nil {
			errs = append(errs, fmt.Errorf("notify.smtp.from is %q: write an e-mail address", c.From))
		}
		if _, _, err := e.client(); err != nil {
			errs = append(errs, err)
		}
		out = append(out, e)
	}
	return out, errors.Join(errs...)
}

// people reads "finance=a@x.example,finance=b@x.example,ops@x.example".
func people(text string) (map[string][]string, error) {
	out := map[string][]string{}
	var errs []error
	for _, part := range strings.Split(text, ",") {
		owner, address, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			owner, address = "", owner
		}
		if _, err := mail.ParseAddress(address); err != nil {
			errs = append(errs, fmt.Errorf("notify.smtp.to has %q: write address or owner=address, by comma", part))
			continue
		}
		switch owner {
		case "", "finance", "operator", "crm admin", "tieout":
			out[owner] = append(out[owner], address)
		default:
			errs = append(errs, fmt.Errorf("notify.smtp.to names owner %q: the owners are finance, operator, crm admin, tieout", owner))
		}
	}
	return out, errors.Join(errs...)
}
