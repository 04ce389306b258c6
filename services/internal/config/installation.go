package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/internal/registry"
)

// Installation is what an installation is made of, and the secrets of its
// connections.
type Installation struct {
	Registry registry.Registry
	// Secrets by connection and name.
	Secrets map[string]map[string]string
}

// fileInstallation is the file's shape.
type fileInstallation struct {
	Entities    []fileEntity     `yaml:"entities"`
	Connections []fileConnection `yaml:"connections"`
	Routes      []fileRoute      `yaml:"routes"`
}

// fileEntity has the fields of registry.Entity, in their order.
type fileEntity struct {
	ID         string            `yaml:"id"`
	Tenant     string            `yaml:"tenant"`
	Currency   string            `yaml:"currency"`
	Zone       string            `yaml:"zone"`
	Country    string            `yaml:"country"`
	NetDays    int               `yaml:"net_days"`
	Currencies []string          `yaml:"currencies,omitempty"`
	Bindings   map[string]string `yaml:"bindings,omitempty"`
}

// fileRoute has the fields of registry.Route, in their order.
type fileRoute struct {
	ID         string    `yaml:"id"`
	Connection string    `yaml:"connection"`
	Type       string    `yaml:"type"`
	Target     string    `yaml:"target"`
	Entity     string    `yaml:"entity"`
	Mapping    string    `yaml:"mapping"`
	WriteBack  bool      `yaml:"write_back,omitempty"`
	CutOff     time.Time `yaml:"cut_off,omitempty"`
	UpdateOnly bool      `yaml:"update_only,omitempty"`
	Unmatched  string    `yaml:"unmatched,omitempty"`
}

type fileConnection struct {
	ID        string            `yaml:"id"`
	Tenant    string            `yaml:"tenant"`
	System    string            `yaml:"system"`
	Account   string            `yaml:"account"`
	BaseURL   string            `yaml:"base_url"`
	App       string            `yaml:"app"`
	PublicURL string            `yaml:"public_url"`
	PollEvery time.Duration     `yaml:"poll_every"`
	Settings  map[string]string `yaml:"settings"`
	// Secrets are files: {access_token: FILE, …}.
	Secrets map[string]string `yaml:"secret_files"`
}

// readInstallation reads the file; only the writer, and whoever opens a
// connection, needs the secrets, but all of them check that they are there.
func readInstallation(path, service string, problems *Problems) *Installation {
	b, err := os.ReadFile(path)
	if err != nil {
		*problems = append(*problems, Problem{Key: "installation", Value: path, Expected: "a file that can be read"})
		return nil
	}
	var f fileInstallation
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		var typed *yaml.TypeError
		if !errors.As(err, &typed) {
			*problems = append(*problems, Problem{File: path, Key: "the file", Value: err.Error(), Expected: "YAML"})
			return nil
		}
		for _, e := range typed.Errors {
			*problems = append(*problems, Problem{File: path, Key: "installation", Value: e, Expected: "keys and values as docs/configuration.md shows"})
		}
		return nil
	}
	in := &Installation{Secrets: map[string]map[string]string{}}
	for _, e := range f.Entities {
		in.Registry.Entities = append(in.Registry.Entities, registry.Entity(e))
	}
	for _, c := range f.Connections {
		in.connection(path, service, c, problems)
	}
	for _, r := range f.Routes {
		in.Registry.Routes = append(in.Registry.Routes, registry.Route(r))
	}
	in.check(path, problems)
	return in
}

func (in *Installation) connection(path, service string, c fileConnection, problems *Problems) {
	in.Registry.Connections = append(in.Registry.Connections, registry.Connection{ID: c.ID, Tenant: c.Tenant, System: c.System, Account: c.Account, BaseURL: c.BaseURL,
		App: c.App, PublicURL: c.PublicURL, Settings: c.Settings, PollEvery: c.PollEvery})
	in.Secrets[c.ID] = map[string]string{}
	if service == "transform" || service == "audit" { // they open no connection
		return
	}
	names := make([]string, 0, len(c.Secrets))
	for name := range c.Secrets {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		file := c.Secrets[name]
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		b, err := os.ReadFile(file)
		if err != nil || len(bytes.TrimSpace(b)) == 0 {
			*problems = append(*problems, Problem{File: path, Key: fmt.Sprintf("connections[%s].secret_files.%s", c.ID, name), Value: file, Expected: "a file with the secret in it"})
		}
		in.Secrets[c.ID][name] = strings.TrimSpace(string(b))
	}
}

// check says what is missing or contradicts itself.
func (in *Installation) check(path string, problems *Problems) {
	missing := func(key, expected string) {
		*problems = append(*problems, Problem{File: path, Key: key, Expected: expected})
	}
	if len(in.Registry.Entities) == 0 {
		missing("entities", "at least one fiscal entity")
	}
	if len(in.Registry.Connections) == 0 {
		missing("connections", "at least one connection")
	}
	for i, c := range in.Registry.Connections {
		for name, v := range map[string]string{"id": c.ID, "system": c.System, "account": c.Account} {
			if v == "" {
				missing(fmt.Sprintf("connections[%d].%s", i, name), "a value")
			}
		}
		if c.Account != "" && !strings.HasPrefix(c.Account, c.System+"/") {
			*problems = append(*problems, Problem{File: path, Key: fmt.Sprintf("connections[%s].account", c.ID), Value: c.Account, Expected: c.System + "/ and the vendor's own id of the account"})
		}
	}
	if err := in.Registry.Check(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			*problems = append(*problems, Problem{File: path, Key: "installation", Value: line, Expected: "an installation that agrees with itself"})
		}
	}
}

// InstallationYAML writes an installation as readInstallation reads it; files
// names the files with the secrets of a connection.
func InstallationYAML(r *registry.Registry, files func(connection string) (map[string]string, error)) ([]byte, error) {
	var f fileInstallation
	for _, e := range r.Entities {
		f.Entities = append(f.Entities, fileEntity(e))
	}
	for _, c := range r.Connections {
		secrets, err := files(c.ID)
		if err != nil {
			return nil, err
		}
		f.Connections = append(f.Connections, fileConnection{ID: c.ID, Tenant: c.Tenant, System: c.System, Account: c.Account, BaseURL: c.BaseURL, App: c.App,
			PublicURL: c.PublicURL, PollEvery: c.PollEvery, Settings: c.Settings, Secrets: secrets})
	}
	for _, x := range r.Routes {
		f.Routes = append(f.Routes, fileRoute(x))
	}
	return yaml.Marshal(f)
}
