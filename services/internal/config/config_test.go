package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// whole writes a configuration without a mistake and returns its path.
func whole(t *testing.T) (string, func(name, text string)) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "0123456789abcdef\n")
	write("key", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	write("password", "p@ss/word\n")
	write("crm.token", "secret-of-the-crm")
	write("installation.yaml", `
entities: [{id: acme-ie, tenant: acme, currency: EUR, zone: Europe/Dublin, country: IE, net_days: 30}]
connections:
  - {id: crm, tenant: acme, system: hubspot, account: hubspot/1, poll_every: 1m, secret_files: {access_token: crm.token}}
  - {id: books, tenant: acme, system: quickbooks, account: quickbooks/2}
routes:
  - {id: deals, connection: crm, type: deal, target: quickbooks/2, entity: acme-ie, mapping: m, cut_off: 2026-01-01T00:00:00Z}
`)
	write("tieout.yaml", `
kafka: {brokers: ["127.0.0.1:9092", "127.0.0.1:9093"], partitions: 6}
postgres: {url: "postgres://tieout@127.0.0.1:5432/tieout", password_file: password}
control: {token_file: token}
peers: {ingest: "a:1", transform: "a:1", writer: "a:1", reconciler: "a:1", audit: "a:1"}
seal: {key_file: key}
installation: installation.yaml
`)
	return filepath.Join(dir, "tieout.yaml"), write
}

func TestAWholeConfigurationIsRead(t *testing.T) {
	path, _ := whole(t)
	for _, service := range append(Services(), "") {
		c, err := Load(path, service, []string{"TIEOUT_KAFKA_PARTITIONS=3", "TIEOUT_SHUTDOWN_GRACE=5s", "HOME=/root"})
		if err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		if c.Kafka.Partitions != 3 || len(c.Kafka.Brokers) != 2 || c.Grace != 5*time.Second || c.Kafka.Replication != 3 {
			t.Errorf("%s: %+v", service, c)
		}
		if c.Postgres.URL != "postgres://tieout:p%40ss%2Fword@127.0.0.1:5432/tieout" {
			t.Errorf("the database is %s", c.Postgres.URL)
		}
		r := c.Install.Registry
		if len(r.Routes) != 1 || r.Routes[0].CutOff.IsZero() || r.Connections[0].PollEvery != time.Minute {
			t.Errorf("installation %+v", r)
		}
		if want := service != "transform" && service != "audit"; (c.Install.Secrets["crm"]["access_token"] == "secret-of-the-crm") != want {
			t.Errorf("%s knows %v", service, c.Install.Secrets)
		}
	}
}

// Every mistake is said at once, each with its key, what it is and what was
// expected, and no secret is shown.
func TestAllMistakesAtOnce(t *testing.T) {
	path, write := whole(t)
	write("tieout.yaml", `
kafka: {brokers: "nowhere", partitons: 6, replication: many}
postgres: {url: "postgres://tieout:hush@127.0.0.1/tieout"}
control: {token_file: short}
peers: {ingest: "a:1", transform: "a:1", writer: "http://a:1", reconciler: "a:99999"}
seal: {key_file: open}
log: {level: loud}
shutdown: {grace: 1h}
installation: installation.yaml
`)
	write("short", "x")
	write("open", "k")
	if err := os.Chmod(filepath.Join(filepath.Dir(path), "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	write("installation.yaml", `
entities: [{id: acme-ie, zone: Mars/Base}]
connections: [{id: crm, system: hubspot, account: quickbooks/1, secret_files: {access_token: none}}]
routes: [{id: r, connection: nobody, type: deal, target: t, entity: e, mapping: m, unmatched: maybe}]
`)
	_, err := Load(path, "", []string{"TIEOUT_KAFKA_PARTITION=1", "TIEOUT_OTLP_ENDPOINT=collector:4317"})
	problems, ok := IsProblems(err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	text := problems.Error()
	for _, want := range []string{
		`kafka.brokers (TIEOUT_KAFKA_BROKERS) is "nowhere"; expected host:port`, `kafka.partitons is "6"`, "kafka.replication", "postgres.url", "control.token_file", "peers.writer", "peers.reconciler",
		"peers.audit (TIEOUT_PEERS_AUDIT) is missing", "seal.key_file", `log.level (TIEOUT_LOG_LEVEL) is "loud"; expected debug, info, warn or error`, "shutdown.grace",
		`TIEOUT_KAFKA_PARTITION is "1"; expected a variable of a key`, "otlp.endpoint", "zone", "secret_files.access_token", "connections[crm].account", "unmatched", "tieout.yaml:2:",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing is said of %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "hush") {
		t.Errorf("a password is shown:\n%s", text)
	}
}

func TestMissingAndBrokenFiles(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none"), "", nil); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("error %v", err)
	}
	path, write := whole(t)
	for _, text := range []string{"kafka: [", "- just\n- a list", "\x00", "kafka: {brokers: {a: b}}"} {
		write("tieout.yaml", text)
		if _, err := Load(path, "", nil); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	write("tieout.yaml", "sqlite: {dir: x}\ninstallation: installation.yaml\n")
	write("installation.yaml", "routes: [{id: r, wants: too much}]")
	if _, err := Load(path, "", nil); err == nil || !strings.Contains(err.Error(), "wants") {
		t.Errorf("an unknown key of the installation: %v", err)
	}
}

// A key that there is none of is named with its place and with what was probably
// meant, also where nothing stands behind it.
func TestUnknownKeysWithoutAValue(t *testing.T) {
	path, write := whole(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"databse: {}":                `tieout.yaml:1: databse is "{}"; expected a key that is listed in docs/configuration.md`,
		"databse:":                   `tieout.yaml:1: databse is "null"; expected a key`,
		"databse: []":                `tieout.yaml:1: databse is "[]"; expected a key`,
		`databse: ""`:                `tieout.yaml:1: databse is "\"\""; expected a key`,
		"redis: {addres: {}}":        `tieout.yaml:1: redis.addres is "{}"; expected a key that is listed in docs/configuration.md, perhaps redis.address`,
		"postgers: {}":               `perhaps postgres`,
		"shutdwon: {grace: 5s}":      `perhaps shutdown.grace`,
		"log:\n  levle: {}":          `tieout.yaml:2: log.levle is "{}"; expected a key that is listed in docs/configuration.md, perhaps log.level`,
		"log: {level: {}}":           `tieout.yaml:1: log.level (TIEOUT_LOG_LEVEL) is "{}"; expected debug`,
		"log: {}":                    "",
		"log:":                       "",
		"log: {level: null}":         "",
		"reconcile: {every: {a: 1}}": `tieout.yaml:1: reconcile.every.a is "1"; expected a key that is listed in docs/configuration.md, perhaps reconcile.every`,
	} {
		write("tieout.yaml", text+string(good))
		_, err := Load(path, "", nil)
		problems, _ := IsProblems(err)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (len(problems) != 1 || !strings.Contains(problems.Error(), want)):
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	write("tieout.yaml", string(good))
	_, err = Load(path, "", []string{"TIEOUT_KAFKA_BROKERZ=a:1"})
	if err == nil || !strings.Contains(err.Error(), "perhaps TIEOUT_KAFKA_BROKERS") {
		t.Errorf("a variable that there is none of: %v", err)
	}
}

// What is written for an installation is read as the same again.
func TestInstallationsAreWrittenAsTheyAreRead(t *testing.T) {
	path, write := whole(t)
	c, err := Load(path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := InstallationYAML(&c.Install.Registry, func(string) (map[string]string, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	write("installation.yaml", string(b))
	again, err := Load(path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Install.Registry.Routes[0], c.Install.Registry.Routes[0]; got != want {
		t.Errorf("route %+v, was %+v", got, want)
	}
}

// The reference page is what the program says.
func TestReferenceIsCurrent(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "configuration.md"))
	if err != nil || string(b) != Reference() {
		t.Errorf("docs/configuration.md is old (%v): run make generate", err)
	}
}

// Any text as a file is refused or taken, and never a crash.
func FuzzLoad(f *testing.F) {
	f.Add("kafka: {brokers: a:1}")
	f.Add("kafka: &x {kafka: *x}")
	f.Add("? [complex]\n: key")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Load(path, "", nil)
	})
}
