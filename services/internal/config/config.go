// Package config is what a service is told: a YAML file, an environment
// variable for each key, and files for secrets. Every mistake is found at once,
// with its key, its value and what is expected instead.
package config

import (
	"log/slog"
	"time"

	"tieout.dev/services/internal/trust"
)

// Config is everything a service may be told. One file may serve all of them:
// each reads what concerns it.
type Config struct {
	Listen     Listen
	Kafka      Kafka
	Postgres   Postgres
	SQLiteDir  string // of the database file, where there is no PostgreSQL
	Redis      Redis
	Token      string // for the control plane
	Peers      map[string]string
	APIKey     string
	KeyFile    string // seals the credentials
	OTLP       string
	Level      slog.Level
	Grace      time.Duration // for draining
	Every      time.Duration // of reconciling the running month
	TwoPersons bool
	Notify     Notify
	Install    *Installation
}

// Notify says who is told of exceptions, and how; empty tells nobody.
type Notify struct {
	WebhookURL, WebhookSecret           string
	SMTPAddress, SMTPUser, SMTPPassword string
	SMTPPlain                           bool
	From, To, Console, Runbook          string
	Wait, Every                         time.Duration
}

// Listen are the addresses that the service answers at.
type Listen struct {
	GRPC, HTTP, Status string
}

// Kafka is the cluster and how its topics shall be.
type Kafka struct {
	Brokers     []string
	Partitions  int
	Replication int
	TLS         trust.TLS
	// Mechanism, User and Password are the login; without a user nobody logs in.
	Mechanism, User string
	Password        trust.Secret
}

// Postgres is the database; each service has a schema of its own in it.
type Postgres struct {
	URL    string // with the password that its file had at the start
	Schema string
	TLS    trust.TLS
	// Password names the file, which is read anew for each connection.
	Password trust.Secret
}

// Redis is the cache.
type Redis struct {
	Address  string
	TLS      trust.TLS
	User     string // "" is Redis' own default user
	Password trust.Secret
}

// Services are the five, by the names that their keys and schemas carry.
func Services() []string {
	return []string{"ingest", "transform", "writer", "reconciler", "audit"}
}
