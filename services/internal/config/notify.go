package config

import (
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// notifyKeys are those of audit, which tells people of exceptions.
func notifyKeys() []key {
	mine := []string{"audit"}
	return []key{
		{name: "notify.webhook.url", doc: "Where a message about exceptions is posted, as JSON; all that are alike are one message.", expected: "https://host/path", services: mine,
			set: text(func(c *Config) *string { return &c.Notify.WebhookURL }, isHTTP)},
		{name: "notify.webhook.secret_file", doc: "File with the secret that signs it (Standard Webhooks).", expected: "a file with base64 of at least 24 bytes", services: mine,
			set: secret(func(c *Config) *string { return &c.Notify.WebhookSecret }, 32)},
		{name: "notify.smtp.address", doc: "Mail server that sends the same by e-mail.", expected: "host:port", services: mine,
			set: text(func(c *Config) *string { return &c.Notify.SMTPAddress }, isAddress)},
		{name: "notify.smtp.user", doc: "Who logs in there.", expected: "a name", services: mine, set: text(func(c *Config) *string { return &c.Notify.SMTPUser }, nonEmpty)},
		{name: "notify.smtp.password_file", doc: "File with the password.", expected: "a file that can be read", services: mine,
			set: secret(func(c *Config) *string { return &c.Notify.SMTPPassword }, 1)},
		{name: "notify.smtp.plain", doc: "Whether a server without TLS is taken.", expected: "true or false", preset: "false", services: mine, set: setPlain},
		{name: "notify.smtp.from", doc: "Who the letters are from.", expected: "an e-mail address", services: mine, set: text(func(c *Config) *string { return &c.Notify.From }, isMail)},
		{name: "notify.smtp.to", doc: "Who gets them: by the owner of the exception (finance, operator, crm admin, tieout), or all others.", expected: "address or owner=address, by comma", services: mine,
			set: text(func(c *Config) *string { return &c.Notify.To }, isPeople)},
		{name: "notify.console", doc: "Address under which people reach the console, for links.", expected: "https://host", services: mine, set: text(func(c *Config) *string { return &c.Notify.Console }, isHTTP)},
		{name: "notify.runbook", doc: "Where the runbook's pages are, for links.", expected: "an address or a folder that ends in /", preset: "docs/runbook/", services: mine,
			set: text(func(c *Config) *string { return &c.Notify.Runbook }, nonEmpty)},
		{name: "notify.wait", doc: "How long the first of a kind waits for others like it.", expected: "a duration such as 30s, from 1s to 1h", preset: "30s", services: mine,
			set: duration(func(c *Config) *time.Duration { return &c.Notify.Wait }, time.Second, time.Hour)},
		{name: "notify.every", doc: "The least time between two messages about the same.", expected: "a duration such as 15m, from 1s to 24h", preset: "15m", services: mine,
			set: duration(func(c *Config) *time.Duration { return &c.Notify.Every }, time.Second, 24*time.Hour)},
	}
}

func setPlain(c *Config, v string) bool {
	b, err := strconv.ParseBool(v)
	c.Notify.SMTPPlain = b
	return err == nil
}

func isMail(v string) bool {
	_, err := mail.ParseAddress(v)
	return err == nil
}

func isPeople(v string) bool {
	for _, part := range strings.Split(v, ",") {
		_, address, named := strings.Cut(strings.TrimSpace(part), "=")
		if !named {
			address = strings.TrimSpace(part)
		}
		if !isMail(address) {
			return false
		}
	}
	return true
}
