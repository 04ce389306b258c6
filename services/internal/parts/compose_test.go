package parts

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/config"
)

type composed struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		Environment map[string]string `yaml:"environment"`
		Secrets     []string          `yaml:"secrets"`
		Volumes     []string          `yaml:"volumes"`
	} `yaml:"services"`
	Secrets map[string]any `yaml:"secrets"`
	Volumes map[string]any `yaml:"volumes"`
}

func compose(t *testing.T) composed {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composed
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// The brokers in containers are told what those without are told, but for
// addresses, folders and what spares memory on a developer's machine.
func TestComposedBrokersAreOurs(t *testing.T) {
	c := compose(t)
	own := []string{"node.id", "controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs",
		"num.network.threads", "num.io.threads", "background.threads", "log.cleaner.dedupe.buffer.size", "log.cleaner.io.buffer.size", "log.index.size.max.bytes", "log.segment.bytes"}
	for _, name := range []string{"kafka-1", "kafka-2", "kafka-3"} {
		env := c.Services[name].Environment
		if image := c.Services[name].Image; image != "apache/kafka:"+kafkaVersion {
			t.Errorf("%s runs %s, the parts %s", name, image, kafkaVersion)
		}
		for _, line := range strings.Split(strings.TrimSpace(kafkaSettings), "\n") {
			key, value, _ := strings.Cut(line, "=")
			variable := "KAFKA_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
			differs := false
			for _, o := range own {
				differs = differs || key == o
			}
			if !differs && env[variable] != value {
				t.Errorf("%s: %s is %q, the parts have %s", name, variable, env[variable], line)
			}
			delete(env, variable)
		}
		delete(env, "CLUSTER_ID")
		for variable := range env {
			t.Errorf("%s is told %s, which the parts are not", name, variable)
		}
	}
}

// Every service takes what it is told, with the shipped example of an installation.
func TestComposedServicesAreToldNoMistake(t *testing.T) {
	c := compose(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "..", "deploy", "config"))); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"seal.key", "crm.access_token", "crm.app_secret", "books.access_token", "books.refresh_token", "books.client_id", "books.client_secret", "postgres_password", "control_token", "api_key"} {
		if err := os.WriteFile(filepath.Join(dir, "secrets", f), []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range config.Services() {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		var environment []string
		for variable, value := range s.Environment {
			for _, secret := range []string{"postgres_password", "control_token", "api_key"} {
				if value == "/run/secrets/"+secret && !strings.Contains(strings.Join(s.Secrets, " "), secret) {
					t.Errorf("%s reads the secret %s and is not given it", name, secret)
				}
			}
			value = strings.Replace(value, "/run/secrets/", dir+"/secrets/", 1)
			environment = append(environment, variable+"="+strings.Replace(value, "/etc/tieout/", dir+"/", 1))
		}
		if _, err := config.Load("", name, environment); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range c.Services {
		for _, secret := range s.Secrets {
			if _, there := c.Secrets[secret]; !there {
				t.Errorf("%s is given the secret %s, which is not there", name, secret)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":/")
			if _, there := c.Volumes[source]; !there && !strings.HasPrefix(source, ".") && !strings.HasPrefix(source, "$") {
				t.Errorf("%s mounts %s, which is not there", name, source)
			}
		}
	}
}
