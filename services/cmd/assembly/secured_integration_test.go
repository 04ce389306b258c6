//go:build integration

package assembly

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/parts/partstest"
	"tieout.dev/services/internal/parts/securetest"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/trust"
	"tieout.dev/services/internal/trust/trusttest"
)

// site is secured parts, and a folder with the files that a service is told of.
type site struct {
	t     *testing.T
	parts *parts.Parts
	ca    *trusttest.Authority
	dir   string
}

func securedSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: partstest.Dir(t)}
	secure, ca := securetest.New(t, filepath.Join(s.dir, "ca"))
	s.ca = ca
	var err error
	s.parts, err = parts.Start(t.Context(), parts.Config{Dir: filepath.Join(s.dir, "parts"), Secure: secure, Out: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.parts.Stop(); err != nil {
			t.Error(err)
		}
	})
	trusttest.New(t, filepath.Join(s.dir, "other"))
	s.write("token", "0123456789abcdef")
	s.write("key", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	s.write("password", secure.Password)
	s.write("db.password", s.parts.Postgres.Password)
	s.write("installation.yaml", `entities: [{id: acme-ie, tenant: acme, currency: EUR, zone: Europe/Dublin}]
connections: [{id: crm, tenant: acme, system: hubspot, account: hubspot/1, base_url: "http://127.0.0.1:1"}]
`)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// copy puts one file in the place of another.
func (s *site) copy(from, to string) {
	s.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(to, string(b))
}

// environment is what a service is told, with what a test changes.
func (s *site) environment(changed map[string]string) (environment []string, status string) {
	status = free(s.t)
	told := map[string]string{
		"LISTEN_GRPC": "127.0.0.1:0", "LISTEN_HTTP": "127.0.0.1:0", "LISTEN_STATUS": status,
		"KAFKA_BROKERS": strings.Join(s.parts.Kafka.Brokers, ","), "KAFKA_PARTITIONS": "2",
		"KAFKA_TLS_ENABLED": "true", "KAFKA_TLS_CA_FILE": s.ca.CA(), "KAFKA_SASL_USER": "tieout", "KAFKA_SASL_PASSWORD_FILE": s.path("password"),
		"POSTGRES_URL": "postgres://tieout@" + s.parts.Postgres.Address + "/postgres", "POSTGRES_PASSWORD_FILE": s.path("db.password"),
		"POSTGRES_TLS_ENABLED": "true", "POSTGRES_TLS_CA_FILE": s.ca.CA(), "POSTGRES_TLS_CERT_FILE": s.path("ca/tieout.pem"), "POSTGRES_TLS_KEY_FILE": s.path("ca/tieout.key"),
		"REDIS_ADDRESS": s.parts.Redis.Address, "REDIS_TLS_ENABLED": "true", "REDIS_TLS_CA_FILE": s.ca.CA(), "REDIS_USER": "tieout", "REDIS_PASSWORD_FILE": s.path("password"),
		"CONTROL_TOKEN_FILE": s.path("token"), "SEAL_KEY_FILE": s.path("key"), "INSTALLATION": s.path("installation.yaml"), "SHUTDOWN_GRACE": "10s",
	}
	for _, peer := range []string{"INGEST", "TRANSFORM", "WRITER", "RECONCILER", "AUDIT"} {
		told["PEERS_"+peer] = "127.0.0.1:1"
	}
	maps.Copy(told, changed)
	for name, v := range told {
		environment = append(environment, "TIEOUT_"+name+"="+v)
	}
	return environment, status
}

// service runs until the test or its caller ends it, and never by itself.
func (s *site) service(name string, build Builder, changed map[string]string) (status string, out *output, stop func()) {
	environment, status := s.environment(changed)
	ctx, cancel := context.WithCancel(s.t.Context())
	out, code := &output{}, make(chan int, 1)
	go func() { code <- mainWith(ctx, name, build, nil, environment, out) }()
	return status, out, func() {
		s.t.Helper()
		select {
		case c := <-code:
			s.t.Errorf("%s ended by itself with code %d; the log is\n%s", name, c, out)
			cancel()
			return
		default:
		}
		cancel()
		if c := <-code; c != exitDrained {
			s.t.Errorf("%s: exit code %d; the log is\n%s", name, c, out)
		}
	}
}

// says waits until readiness and log say why a part is not there.
func says(t *testing.T, status string, out *output, part, want string) {
	t.Helper()
	until(t, fmt.Sprintf("the word %q about the %s", want, part), out, func() bool {
		r, ok := ask(t, status)
		return ok && (strings.Contains(r.Waiting[part], want) && !r.Ready || strings.Contains(r.Degraded[part], want)) && strings.Contains(out.String(), `"level":"WARN"`)
	})
	if !strings.Contains(strings.ReplaceAll(out.String(), `\"`, `"`), want) {
		t.Errorf("the log does not say %q:\n%s", want, out)
	}
}

func works(t *testing.T, status string, out *output) {
	t.Helper()
	until(t, "readiness without a word about the parts", out, func() bool {
		r, ok := ask(t, status)
		return ok && r.Ready && r.Degraded["broker"] == "" && r.Degraded["cache"] == ""
	})
}

// refusal is a mistake that a person makes, what is said of it, and how it is
// mended while the service runs; one without a mend needs a restart.
type refusal struct {
	name, part, want string
	changed          map[string]string
	before, mend     func()
}

func (s *site) refusals() []refusal {
	k, other := s.parts.Kafka, filepath.Join(s.dir, "other", "ca.pem")
	mutual := strings.Join(k.Mutual, ",")
	wrong := func(file string) func() { return func() { s.write(file, "not the password") } }
	right := func(file, from string) func() { return func() { s.copy(from, file) } }
	return []refusal{
		{"Kafka, wrong authority", "broker", "operator: put that authority's certificate into kafka.tls.ca_file", map[string]string{"KAFKA_TLS_CA_FILE": s.path("k.ca")},
			right("k.ca", other), right("k.ca", s.ca.CA())},
		{"Kafka, its certificate ended", "broker", "whoever runs the part: renew it", map[string]string{"KAFKA_BROKERS": strings.Join(k.Ended, ","), "KAFKA_SASL_USER": "", "KAFKA_SASL_PASSWORD_FILE": ""}, nil, nil},
		{"Kafka, wrong password", "broker", `it refuses the user "tieout" or the password`, map[string]string{"KAFKA_SASL_PASSWORD_FILE": s.path("k.password")},
			wrong("k.password"), right("k.password", s.path("password"))},
		{"Kafka, plain to TLS", "broker", "operator: set kafka.tls.enabled to true", map[string]string{"KAFKA_TLS_ENABLED": "false", "KAFKA_TLS_CA_FILE": "", "KAFKA_SASL_USER": "", "KAFKA_SASL_PASSWORD_FILE": ""}, nil, nil},
		{"Kafka, no certificate of ours", "broker", "operator: set kafka.tls.cert_file", map[string]string{"KAFKA_BROKERS": mutual, "KAFKA_SASL_USER": "", "KAFKA_SASL_PASSWORD_FILE": ""}, nil, nil},
		{"Kafka, our certificate ended", "broker", "operator: renew it; the new file is used at once",
			map[string]string{"KAFKA_BROKERS": mutual, "KAFKA_SASL_USER": "", "KAFKA_SASL_PASSWORD_FILE": "", "KAFKA_TLS_CERT_FILE": s.path("ca/k.pem"), "KAFKA_TLS_KEY_FILE": s.path("ca/k.key")},
			func() { s.ca.Issue("k", trusttest.Client(), trusttest.Ended()) }, func() { s.ca.Issue("k", trusttest.Client()) }},
		{"Kafka, another number of partitions", "broker", "operator: set kafka.partitions to what the topic has", map[string]string{"KAFKA_PARTITIONS": "3"}, nil, nil},
		{"Kafka, another retention", "broker", "has retention.ms 86400000, this program wants -1; operator: alter the topic's configuration", nil,
			func() { s.retention("86400000") }, func() { s.retention("-1") }},
		{"PostgreSQL, wrong authority", "database", "operator: put that authority's certificate into postgres.tls.ca_file", map[string]string{"POSTGRES_TLS_CA_FILE": s.path("p.ca")},
			right("p.ca", other), right("p.ca", s.ca.CA())},
		{"PostgreSQL, its certificate ended", "database", "whoever runs the part: renew it", nil,
			func() { s.show(s.ca.Issue("db", trusttest.Ended())) }, func() { s.show(s.ca.Issue("db")) }},
		{"PostgreSQL, wrong password", "database", `it refuses the user "tieout" or the password`, map[string]string{"POSTGRES_PASSWORD_FILE": s.path("p.password")},
			wrong("p.password"), right("p.password", s.path("db.password"))},
		{"PostgreSQL, plain to TLS", "database", "operator: set postgres.tls.enabled to true", map[string]string{"POSTGRES_TLS_ENABLED": "false", "POSTGRES_TLS_CA_FILE": "", "POSTGRES_TLS_CERT_FILE": "", "POSTGRES_TLS_KEY_FILE": ""}, nil, nil},
		{"PostgreSQL, no certificate of ours", "database", "operator: set postgres.tls.cert_file", map[string]string{"POSTGRES_TLS_CERT_FILE": "", "POSTGRES_TLS_KEY_FILE": ""}, nil, nil},
		{"PostgreSQL only reads", "database", "it takes no writes", nil, func() { s.only("on") }, func() { s.only("off") }},
		{"Redis, wrong authority", "cache", "operator: put that authority's certificate into redis.tls.ca_file", map[string]string{"REDIS_TLS_CA_FILE": s.path("r.ca")},
			right("r.ca", other), right("r.ca", s.ca.CA())},
		{"Redis, wrong password", "cache", `it refuses the user "tieout" or the password`, map[string]string{"REDIS_PASSWORD_FILE": s.path("r.password")},
			wrong("r.password"), right("r.password", s.path("password"))},
		{"Redis, plain to TLS", "cache", "operator: set redis.tls.enabled to true", map[string]string{"REDIS_TLS_ENABLED": "false", "REDIS_TLS_CA_FILE": ""}, nil, nil},
	}
}

// show gives the running database another certificate.
func (s *site) show(cert, key string) {
	s.t.Helper()
	if err := s.parts.Postgres.Show(cert, key); err != nil {
		s.t.Fatal(err)
	}
	if err := s.parts.Postgres.Reload(); err != nil {
		s.t.Fatal(err)
	}
}

// only makes the running database refuse writes, or take them again.
func (s *site) only(reads string) {
	s.t.Helper()
	if err := s.parts.Postgres.Set("default_transaction_read_only", reads); err != nil {
		s.t.Fatal(err)
	}
}

// retention changes that of the public audit topic, as somebody with the brokers'
// own tools does.
func (s *site) retention(ms string) {
	s.t.Helper()
	own := trust.TLS{Enabled: true, CA: s.ca.CA(), Cert: s.path("ca/tieout.pem"), Key: s.path("ca/tieout.key")}
	config, err := own.Config("127.0.0.1")
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &kafka.Transport{TLS: config}
	defer transport.CloseIdleConnections()
	admin := &kafka.Client{Addr: kafka.TCP(s.parts.Kafka.Mutual...), Transport: transport, Timeout: 10 * time.Second}
	res, err := admin.IncrementalAlterConfigs(s.t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: run.AuditTopic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: ms, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err != nil || res.Resources[0].Error != nil {
		s.t.Fatal(err, res)
	}
}

// whileItRuns: a database that takes no writes for a while, under a service that
// runs.
func (s *site) whileItRuns(t *testing.T) {
	s.t = t
	status, out, stop := s.service("audit", Audit, nil)
	works(t, status, out)
	s.only("on")
	says(t, status, out, "database", "it takes no writes")
	s.only("off")
	works(t, status, out)
	if !strings.Contains(out.String(), "a part is there again") {
		t.Errorf("the log does not say that it is over:\n%s", out)
	}
	stop()
}

// All five work on secured parts; each mistake is a state that says who acts, in
// readiness and in the log, ends no process, and is over when it is mended.
func TestSecuredParts(t *testing.T) {
	s := securedSite(t)
	drill.Injected(t, int64(len(s.refusals())), 101)
	builders := map[string]Builder{"ingest": Ingest, "transform": Transform, "writer": Writer, "reconciler": Reconciler, "audit": Audit}
	for _, name := range slices.Sorted(maps.Keys(builders)) {
		status, out, stop := s.service(name, builders[name], nil)
		works(t, status, out)
		stop()
	}
	mutual := map[string]string{"KAFKA_BROKERS": strings.Join(s.parts.Kafka.Mutual, ","), "KAFKA_SASL_USER": "", "KAFKA_SASL_PASSWORD_FILE": "",
		"KAFKA_TLS_CERT_FILE": s.path("ca/tieout.pem"), "KAFKA_TLS_KEY_FILE": s.path("ca/tieout.key")}
	status, out, stop := s.service("audit", Audit, mutual)
	works(t, status, out)
	stop()
	t.Run("PostgreSQL only reads for a while", s.whileItRuns)
	for _, r := range s.refusals() {
		t.Run(r.name, func(t *testing.T) {
			s.t = t
			if r.before != nil {
				r.before()
			}
			from := time.Now()
			status, out, stop := s.service("ingest", Ingest, r.changed)
			says(t, status, out, r.part, r.want)
			said := time.Since(from)
			if r.mend != nil {
				from = time.Now()
				r.mend()
				works(t, status, out)
				t.Logf("said after %s, mended after %s", said.Round(10*time.Millisecond), time.Since(from).Round(10*time.Millisecond))
			}
			stop()
			if strings.Contains(out.String(), "not the password") {
				t.Error("a password is in the log")
			}
		})
	}
}
