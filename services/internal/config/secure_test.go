package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tieout.dev/services/internal/trust/trusttest"
)

// secure writes a configuration whose parts are all reached by TLS.
func secure(t *testing.T, parts string) string {
	t.Helper()
	path, write := whole(t)
	dir := filepath.Dir(path)
	ca := trusttest.New(t, dir)
	ca.Issue("tieout", trusttest.Client())
	trusttest.New(t, filepath.Join(dir, "other")).Issue("tieout", trusttest.Client())
	write("empty", "")
	write("tieout.yaml", parts+`
control: {token_file: token}
peers: {ingest: "a:1", transform: "a:1", writer: "a:1", reconciler: "a:1", audit: "a:1"}
seal: {key_file: key}
installation: installation.yaml
`)
	return path
}

func TestSecuredPartsAreRead(t *testing.T) {
	path := secure(t, `
kafka: {brokers: "a:1", tls: {enabled: true, ca_file: ca.pem}, sasl: {user: tieout, password_file: password}}
postgres: {url: "postgres://tieout@a:1/tieout?sslmode=verify-full", password_file: password, tls: {enabled: true, ca_file: ca.pem, cert_file: tieout.pem, key_file: tieout.key}}
redis: {address: "a:1", user: tieout, password_file: password, tls: {enabled: true}}
`)
	c, err := Load(path, "ingest", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if k := c.Kafka; !k.TLS.Enabled || k.TLS.CA != filepath.Join(dir, "ca.pem") || k.User != "tieout" || k.Mechanism != "SCRAM-SHA-512" {
		t.Errorf("kafka %+v", k)
	}
	if p := c.Postgres; !p.TLS.Enabled || p.TLS.Key != filepath.Join(dir, "tieout.key") {
		t.Errorf("postgres %+v", p.TLS)
	}
	if r := c.Redis; !r.TLS.Enabled || r.TLS.CA != "" || r.User != "tieout" {
		t.Errorf("redis %+v", r)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []interface{ Read() (string, error) }{c.Kafka.Password, c.Postgres.Password, c.Redis.Password} {
		if p, err := s.Read(); err != nil || p != "another" {
			t.Errorf("a renewed password is read as %q, %v", p, err)
		}
	}
}

// What does not fit together is said by the key that is wrong, all at once.
func TestSecuredPartsThatDoNotFit(t *testing.T) {
	for text, want := range map[string][]string{
		`kafka: {brokers: "a:1", sasl: {user: tieout, password_file: password}}
sqlite: {dir: x}`: {"kafka.tls.enabled (TIEOUT_KAFKA_TLS_ENABLED) is missing; expected true with kafka.sasl.user"},
		`kafka: {brokers: "a:1", tls: {enabled: perhaps, cert_file: none.pem}, sasl: {mechanism: PLAIN, password_file: empty}}
postgres: {url: "postgres://tieout@a:1/tieout?sslmode=require", tls: {enabled: true, key_file: tieout.key}}
redis: {user: tieout}`: {
			`kafka.tls.enabled (TIEOUT_KAFKA_TLS_ENABLED) is "perhaps"; expected true or false`, "kafka.tls.cert_file", `none.pem"; expected a file in PEM`, `kafka.sasl.mechanism (TIEOUT_KAFKA_SASL_MECHANISM) is "PLAIN"; expected SCRAM-SHA-512`,
			"kafka.sasl.password_file", "kafka.sasl.user", "postgres.tls.cert_file (TIEOUT_POSTGRES_TLS_CERT_FILE) is missing", "false with sslmode=require in postgres.url", "redis.user", "redis.password_file",
		},
		`kafka: {brokers: "a:1", tls: {ca_file: ca.pem}}
postgres: {url: "postgres://tieout@a:1/tieout", tls: {enabled: true, cert_file: tieout.pem, key_file: other/tieout.key}}
redis: {address: "a:1", tls: {enabled: true, ca_file: empty}}`: {
			"kafka.tls.ca_file (TIEOUT_KAFKA_TLS_CA_FILE) is", "expected nothing, or kafka.tls.enabled: true", "private key does not match", "redis.tls.ca_file", "holds no certificate in PEM",
		},
		`kafka: {brokers: "a:1"}
sqlite: {dir: x}
postgres: {tls: {enabled: true}}`: {"postgres.tls.enabled", "expected nothing, or postgres.url with it"},
	} {
		_, err := Load(secure(t, text), "", nil)
		problems, ok := IsProblems(err)
		if !ok {
			t.Errorf("%s: taken, %v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(problems.Error(), w) {
				t.Errorf("%s\nnothing is said of %q:\n%s", text, w, problems)
			}
		}
	}
}
