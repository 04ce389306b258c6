package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// contexts are named installations, in config.yaml of the person's
// configuration folder:
//
//	current: prod
//	contexts:
//	  prod: {server: "tieout.acme.example:7700", token_file: ~/.tieout/prod.token}
type contexts struct {
	Current  string                   `yaml:"current"`
	Contexts map[string]namedInstance `yaml:"contexts"`
}

type namedInstance struct {
	Server    string `yaml:"server"`
	Token     string `yaml:"token"`
	TokenFile string `yaml:"token_file"`
}

func contextsFile() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "tieout", "config.yaml"), nil
}

// named returns the address and token of a context. Without a name it is the
// current one, and it may be that there is none.
func named(name string) (server, token string, err error) {
	file, err := contextsFile()
	if err != nil {
		return "", "", err
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return "", "", nil
	}
	if err != nil {
		return "", "", usage("context %q: %v", name, err)
	}
	var c contexts
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return "", "", usage("%s: %v", file, err)
	}
	if name == "" {
		if name = c.Current; name == "" {
			return "", "", nil
		}
	}
	x, ok := c.Contexts[name]
	if !ok || x.Server == "" {
		return "", "", usage("%s has no context %q with a server; it has %s", file, name, strings.Join(slices.Sorted(maps.Keys(c.Contexts)), ", "))
	}
	if x.TokenFile != "" {
		if x.Token, err = tokenOf(x.TokenFile); err != nil {
			return "", "", usage("context %s: %v", name, err)
		}
	}
	return x.Server, x.Token, nil
}

func tokenOf(file string) (string, error) {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		file = filepath.Join(home, rest)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
