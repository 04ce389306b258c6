package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/trust"
)

// key is one thing that can be told.
type key struct {
	name     string
	doc      string
	expected string
	preset   string
	services []string // who reads it; none: all
	required bool     // by those who read it
	set      func(c *Config, value string) bool
}

// Env is the environment variable of a key: kafka.brokers -> TIEOUT_KAFKA_BROKERS.
func Env(name string) string {
	return "TIEOUT_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

func (k *key) readBy(service string) bool {
	if service == "" || len(k.services) == 0 {
		return true
	}
	for _, s := range k.services {
		if s == service {
			return true
		}
	}
	return false
}

// keys are all keys, in the order of the reference page.
func keys() []key {
	out := []key{
		{name: "listen.grpc", doc: "Address of the control plane of this service.", expected: "host:port; an empty host means every interface", preset: "127.0.0.1:7700",
			set: text(func(c *Config) *string { return &c.Listen.GRPC }, isAddress)},
		{name: "listen.http", doc: "Address of the webhooks and of the HTTP API.", expected: "host:port", preset: "127.0.0.1:7701", services: []string{"ingest"},
			set: text(func(c *Config) *string { return &c.Listen.HTTP }, isAddress)},
		{name: "listen.status", doc: "Address of /livez, /readyz and /metrics.", expected: "host:port", preset: "127.0.0.1:7702",
			set: text(func(c *Config) *string { return &c.Listen.Status }, isAddress)},
		{name: "kafka.brokers", doc: "Where the cluster is asked for first.", expected: "host:port, several as a list or with commas between", required: true, set: setBrokers},
		{name: "kafka.partitions", doc: "Partitions of every topic. Topics that exist must have as many.", expected: "a number from 1 to 10000", preset: "12",
			set: number(func(c *Config) *int { return &c.Kafka.Partitions }, 1, 10000)},
		{name: "kafka.replication", doc: "Replicas of topics that are made; at least two of three must be in sync.", expected: "a number from 1 to 9", preset: "3",
			set: number(func(c *Config) *int { return &c.Kafka.Replication }, 1, 9)},
		{name: "kafka.sasl.mechanism", doc: "How the user logs in.", expected: "SCRAM-SHA-512 or SCRAM-SHA-256", preset: "SCRAM-SHA-512",
			set: text(func(c *Config) *string { return &c.Kafka.Mechanism }, isMechanism)},
		{name: "kafka.sasl.user", doc: "Who logs in to the brokers.", expected: "a name", set: text(func(c *Config) *string { return &c.Kafka.User }, nonEmpty)},
		{name: "kafka.sasl.password_file", doc: "File with the user's password. " + renewed, expected: "a file that can be read", set: passwordFile(func(c *Config) *trust.Secret { return &c.Kafka.Password })},
		{name: "postgres.url", doc: "The database. Its password stands in a file of its own.", expected: "postgres://user@host:port/database without a password", set: setPostgres},
		{name: "postgres.password_file", doc: "File with the password of the database's user. " + renewed, expected: "a file that can be read", set: setPassword},
		{name: "postgres.schema", doc: "Schema of this service, made if it is missing.", expected: "letters, digits and _, at most 40", preset: "the service's name",
			set: text(func(c *Config) *string { return &c.Postgres.Schema }, isName)},
		{name: "sqlite.dir", doc: "Folder of the database file, instead of PostgreSQL. One process may use it.", expected: "a folder",
			set: text(func(c *Config) *string { return &c.SQLiteDir }, nonEmpty)},
		{name: "redis.address", doc: "A cache of repeats. Without it, or while it is away, work goes on and costs more time.", expected: "host:port", services: []string{"ingest"},
			set: text(func(c *Config) *string { return &c.Redis.Address }, isAddress)},
		{name: "redis.user", doc: "User of its access list; without one its default user.", expected: "a name", services: []string{"ingest"}, set: text(func(c *Config) *string { return &c.Redis.User }, nonEmpty)},
		{name: "redis.password_file", doc: "File with the user's password. " + renewed, expected: "a file that can be read", services: []string{"ingest"},
			set: passwordFile(func(c *Config) *trust.Secret { return &c.Redis.Password })},
		{name: "control.token_file", doc: "File with the token that callers of the control plane show, the same for all services.", expected: "a file with at least 16 characters", required: true,
			set: secret(func(c *Config) *string { return &c.Token }, 16)},
	}
	for _, p := range secured() {
		out = slices.Insert(out, 1+slices.IndexFunc(out, func(k key) bool { return k.name == p.after }), p.keys()...)
	}
	for _, s := range Services() {
		out = append(out, key{name: "peers." + s, doc: "Where the control plane of " + s + " answers. It may be one address for all.", expected: "host:port", required: true, set: setPeer(s)})
	}
	return append(append(out, notifyKeys()...),
		key{name: "api.key_file", doc: "File with the key that callers of the HTTP API show. Without one nobody may call.", expected: "a file with at least 16 characters", services: []string{"ingest"},
			set: secret(func(c *Config) *string { return &c.APIKey }, 16)},
		key{name: "seal.key_file", doc: "File with the keys that seal the credentials at rest: 32 bytes as base64, one a line, the newest first.", expected: "a file that only its owner can read", required: true,
			services: []string{"writer"}, set: text(func(c *Config) *string { return &c.KeyFile }, isPrivate)},
		key{name: "otlp.endpoint", doc: "Collector of traces (gRPC). None are sent without one.", expected: "http://host:port or https://host:port", set: text(func(c *Config) *string { return &c.OTLP }, isHTTP)},
		key{name: "log.level", doc: "What is logged, as JSON on standard error.", expected: "debug, info, warn or error", preset: "info", set: setLevel},
		key{name: "shutdown.grace", doc: "How long draining may take after SIGTERM.", expected: "a duration such as 30s, from 1s to 10m", preset: "30s",
			set: duration(func(c *Config) *time.Duration { return &c.Grace }, time.Second, 10*time.Minute)},
		key{name: "reconcile.every", doc: "How often the running month is reconciled.", expected: "a duration such as 10m, from 10s to 24h", preset: "10m", services: []string{"reconciler"},
			set: duration(func(c *Config) *time.Duration { return &c.Every }, 10*time.Second, 24*time.Hour)},
		key{name: "approval.second_person", doc: "Whether an action that changes the books, or gives up on a record, takes two people.", expected: "true or false", preset: "true", services: []string{"writer"}, set: setTwoPersons},
		key{name: "installation", doc: "File with the fiscal entities, connections and routes, the same for all services.", expected: "a file as below", required: true, set: nil},
	)
}

func text(at func(*Config) *string, ok func(string) bool) func(*Config, string) bool {
	return func(c *Config, v string) bool { *at(c) = v; return ok(v) }
}

func number(at func(*Config) *int, least, most int) func(*Config, string) bool {
	return func(c *Config, v string) bool {
		n, err := strconv.Atoi(v)
		*at(c) = n
		return err == nil && n >= least && n <= most
	}
}

func duration(at func(*Config) *time.Duration, least, most time.Duration) func(*Config, string) bool {
	return func(c *Config, v string) bool {
		d, err := time.ParseDuration(v)
		*at(c) = d
		return err == nil && d >= least && d <= most
	}
}

// secret reads a value from a file; what is in it is never shown.
func secret(at func(*Config) *string, least int) func(*Config, string) bool {
	return func(c *Config, path string) bool {
		b, err := os.ReadFile(path)
		*at(c) = strings.TrimSpace(string(b))
		return err == nil && len(*at(c)) >= least
	}
}

func setBrokers(c *Config, v string) bool {
	c.Kafka.Brokers = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	for _, b := range c.Kafka.Brokers {
		if !isAddress(b) {
			return false
		}
	}
	return len(c.Kafka.Brokers) > 0
}

func setPostgres(c *Config, v string) bool {
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return false
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return false
	}
	c.Postgres.URL = v
	return true
}

// setPassword comes after setPostgres, in the order of the keys.
func setPassword(c *Config, path string) bool {
	b, err := os.ReadFile(path)
	u, perr := url.Parse(c.Postgres.URL)
	if err != nil || perr != nil || c.Postgres.URL == "" {
		return err == nil
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(b), "\r\n"))
	c.Postgres.URL, c.Postgres.Password = u.String(), trust.Secret(path)
	return true
}

func setPeer(service string) func(*Config, string) bool {
	return func(c *Config, v string) bool { c.Peers[service] = v; return isAddress(v) }
}

func setLevel(c *Config, v string) bool {
	return c.Level.UnmarshalText([]byte(v)) == nil && (c.Level == slog.LevelDebug || c.Level == slog.LevelInfo || c.Level == slog.LevelWarn || c.Level == slog.LevelError)
}

func setTwoPersons(c *Config, v string) bool {
	b, err := strconv.ParseBool(v)
	c.TwoPersons = b
	return err == nil
}

func isAddress(v string) bool {
	_, port, err := net.SplitHostPort(v)
	n, nerr := strconv.Atoi(port)
	return err == nil && nerr == nil && n >= 0 && n <= 65535 && !strings.ContainsAny(v, "/ ")
}

func isHTTP(v string) bool {
	u, err := url.Parse(v)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func nonEmpty(v string) bool { return v != "" }

func isName(v string) bool {
	for _, r := range v {
		if r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return v != "" && len(v) <= 40
}

func isPrivate(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 == 0
}

func (k *key) String() string { return fmt.Sprintf("%s (%s)", k.name, Env(k.name)) }
