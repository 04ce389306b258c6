package config

import (
	"net/url"
	"strconv"

	"tieout.dev/services/internal/trust"
)

// renewed is what holds of each file that is shown to a part.
const renewed = "It is read anew for each connection."

// part is one that can be reached by TLS.
type part struct {
	name, what string
	after      string // the key that its own stand behind
	services   []string
	tls        func(*Config) *trust.TLS
}

func secured() []part {
	return []part{
		{"kafka", "the brokers", "kafka.replication", nil, func(c *Config) *trust.TLS { return &c.Kafka.TLS }},
		{"postgres", "the database", "postgres.password_file", nil, func(c *Config) *trust.TLS { return &c.Postgres.TLS }},
		{"redis", "the cache", "redis.address", []string{"ingest"}, func(c *Config) *trust.TLS { return &c.Redis.TLS }},
	}
}

func (p part) keys() []key {
	enabled := "Whether " + p.what + " are reached by TLS. Their certificates must be valid for the names they are reached by."
	if p.name != "kafka" {
		enabled = "Whether " + p.what + " is reached by TLS. Its certificate must be valid for the name it is reached by."
	}
	if p.name == "postgres" {
		enabled += " As sslmode=verify-full in the address."
	}
	file := func(name, doc string, at func(*trust.TLS) *string) key {
		return key{name: p.name + ".tls." + name, doc: doc + " " + renewed, expected: "a file in PEM", services: p.services,
			set: text(func(c *Config) *string { return at(p.tls(c)) }, trust.Readable)}
	}
	return []key{
		{name: p.name + ".tls.enabled", doc: enabled, expected: "true or false", preset: "false", services: p.services, set: func(c *Config, v string) bool {
			b, err := strconv.ParseBool(v)
			p.tls(c).Enabled = b
			return err == nil
		}},
		file("ca_file", "File with the authorities whose certificates are taken; without one those of this machine.", func(t *trust.TLS) *string { return &t.CA }),
		file("cert_file", "File with our own certificate, for "+p.what+" to know us by.", func(t *trust.TLS) *string { return &t.Cert }),
		file("key_file", "File with its key.", func(t *trust.TLS) *string { return &t.Key }),
	}
}

// checkSecured looks at what the keys of each part say together.
func (c *Config) checkSecured(told map[string]value, service string, problems *Problems) {
	bad := func(name, expected string) {
		v := told[name]
		*problems = append(*problems, Problem{v.file, v.line, name + " (" + Env(name) + ")", v.text, expected})
	}
	for _, p := range secured() {
		k := p.keys()[0]
		if !k.readBy(service) {
			continue
		}
		t := *p.tls(c)
		for _, file := range []string{".tls.ca_file", ".tls.cert_file", ".tls.key_file"} {
			if told[p.name+file].text != "" && !t.Enabled {
				bad(p.name+file, "nothing, or "+p.name+".tls.enabled: true")
			}
		}
		switch {
		case t.Cert == "" && t.Key != "":
			bad(p.name+".tls.cert_file", "the certificate of "+p.name+".tls.key_file")
		case t.Cert != "" && t.Key == "":
			bad(p.name+".tls.key_file", "the key of "+p.name+".tls.cert_file")
		case t.Enabled && trust.Readable(t.CA) == (t.CA != "") && trust.Readable(t.Cert) == (t.Cert != "") && trust.Readable(t.Key) == (t.Key != ""):
			if err := t.Check(); err != nil {
				bad(p.name+".tls.ca_file", "PEM files that fit each other: "+err.Error())
			}
		}
	}
	c.checkPasswords(told, service, bad)
}

// checkPasswords: a password needs a user, and both a part that they are for.
func (c *Config) checkPasswords(told map[string]value, service string, bad func(name, expected string)) {
	has := func(name string) bool { return told[name].text != "" }
	switch {
	case has("kafka.sasl.user") && !has("kafka.sasl.password_file"):
		bad("kafka.sasl.password_file", "a file with the password of kafka.sasl.user")
	case !has("kafka.sasl.user") && has("kafka.sasl.password_file"):
		bad("kafka.sasl.user", "the user whose password is in kafka.sasl.password_file")
	case has("kafka.sasl.user") && !c.Kafka.TLS.Enabled:
		bad("kafka.tls.enabled", "true with kafka.sasl.user: otherwise records and logins can be read and changed on the way")
	}
	if redis := (&key{services: []string{"ingest"}}); redis.readBy(service) {
		for _, name := range []string{"redis.user", "redis.password_file", "redis.tls.enabled"} {
			if has(name) && !has("redis.address") && told[name].text != "false" {
				bad(name, "nothing, or redis.address with it")
			}
		}
		if has("redis.user") && !has("redis.password_file") {
			bad("redis.password_file", "a file with the password of redis.user")
		}
	}
	c.checkAddress(told, bad)
}

// checkAddress: what the database's address says of TLS is not contradicted.
func (c *Config) checkAddress(told map[string]value, bad func(name, expected string)) {
	u, err := url.Parse(told["postgres.url"].text)
	if err != nil || !c.Postgres.TLS.Enabled {
		return
	}
	q := u.Query()
	if mode := q.Get("sslmode"); told["postgres.url"].text == "" {
		bad("postgres.tls.enabled", "nothing, or postgres.url with it")
	} else if mode != "" && mode != "verify-full" {
		bad("postgres.tls.enabled", "false with sslmode="+mode+" in postgres.url, or an address without sslmode")
	}
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey", "sslpassword"} {
		if q.Has(name) {
			bad("postgres.tls.enabled", "false with "+name+" in postgres.url, or postgres.tls.ca_file, cert_file and key_file in its place")
		}
	}
}

// passwordFile keeps the name of a file, which must have something in it.
func passwordFile(at func(*Config) *trust.Secret) func(*Config, string) bool {
	return func(c *Config, path string) bool {
		*at(c) = trust.Secret(path)
		password, err := at(c).Read()
		return err == nil && password != ""
	}
}

func isMechanism(v string) bool { return v == "SCRAM-SHA-512" || v == "SCRAM-SHA-256" }
