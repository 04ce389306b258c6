package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/config"
	"tieout.dev/services/writer"
)

// partitions of every topic here.
const partitions = 6

// secret is made once per state folder, so that scripts may keep it.
func secret(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	token := rand.Text()
	return token, os.WriteFile(path, []byte(token), 0o600)
}

// fixed opens each sandbox at an address that it keeps.
func (l *Lab) fixed(ctx context.Context) func(name string) (net.Listener, error) {
	return func(name string) (net.Listener, error) { return l.listen(ctx, name) }
}

// configure writes one configuration for all services, the installation and the
// files with secrets, and returns its path.
func (l *Lab) configure(ctx context.Context) (string, error) {
	dir := filepath.Join(l.options.Dir, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if _, err := writer.MakeSeal(filepath.Join(l.options.Dir, "key")); err != nil {
		return "", err
	}
	database, err := l.databaseURL(ctx)
	if err != nil {
		return "", err
	}
	cache, err := l.through(ctx, "redis", l.Parts.Redis.Address)
	if err != nil {
		return "", err
	}
	peers := map[string]string{}
	for _, name := range config.Services() {
		peers[name] = l.file.Control.Address // the router knows the replicas
	}
	told := map[string]any{
		"kafka":        map[string]any{"brokers": l.Parts.Kafka.Brokers, "partitions": partitions, "replication": 3},
		"postgres":     map[string]any{"url": database, "password_file": "postgres.password"},
		"redis":        map[string]any{"address": cache},
		"control":      map[string]any{"token_file": "../control.token"},
		"peers":        peers,
		"api":          map[string]any{"key_file": "../api.key"},
		"seal":         map[string]any{"key_file": "../key"},
		"approval":     map[string]any{"second_person": false},
		"installation": "installation.yaml",
	}
	if l.Parts.Jaeger != nil {
		told["otlp"] = map[string]any{"endpoint": l.Parts.Jaeger.OTLP}
	}
	if err := l.secure(dir, told); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tieout.yaml")
	return path, errors.Join(
		os.WriteFile(filepath.Join(dir, "postgres.password"), []byte(l.Parts.Postgres.Password), 0o600),
		l.writeInstallation(dir),
		writeYAML(path, told),
	)
}

func (l *Lab) through(ctx context.Context, part, address string) (string, error) {
	if l.options.Through == nil {
		return address, nil
	}
	return l.options.Through(ctx, part, address)
}

// databaseURL is how the services reach PostgreSQL, without the password.
func (l *Lab) databaseURL(ctx context.Context) (string, error) {
	at, err := l.through(ctx, "postgres", l.Parts.Postgres.Address)
	return strings.Replace(l.Parts.Postgres.URL(), l.Parts.Postgres.Address, at, 1), err
}

func writeYAML(path string, v any) error {
	b, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

func (l *Lab) writeInstallation(dir string) error {
	secrets := l.world.Secrets()
	files := func(connection string) (map[string]string, error) {
		out := map[string]string{}
		for name, v := range secrets[connection] {
			if v == "" {
				continue
			}
			out[name] = fmt.Sprintf("%s.%s", connection, name)
			if err := os.WriteFile(filepath.Join(dir, out[name]), []byte(v), 0o600); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	b, err := config.InstallationYAML(l.world.Registry(), files)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "installation.yaml"), b, 0o600)
}

// secure tells the services how to reach parts that speak TLS.
func (l *Lab) secure(dir string, told map[string]any) error {
	s := l.options.Secure
	if s == nil {
		return nil
	}
	part := func(name string) map[string]any { return told[name].(map[string]any) }
	tls := func() map[string]any { return map[string]any{"enabled": true, "ca_file": s.CA} }
	part("kafka")["tls"] = tls()
	part("kafka")["sasl"] = map[string]any{"user": s.User, "password_file": "shared.password"}
	part("redis")["tls"], part("redis")["user"], part("redis")["password_file"] = tls(), s.User, "shared.password"
	own := tls()
	own["cert_file"], own["key_file"] = s.ClientCert, s.ClientKey
	part("postgres")["tls"] = own
	address, _, _ := strings.Cut(part("postgres")["url"].(string), "?") // which says the same for programs that read it as it is
	part("postgres")["url"] = address
	return os.WriteFile(filepath.Join(dir, "shared.password"), []byte(s.Password), 0o600)
}
