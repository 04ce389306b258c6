package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestNamedContexts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if server, _, err := named(""); err != nil || server != "" {
		t.Errorf("no file: %q, %v", server, err)
	}
	token := filepath.Join(dir, "token")
	file := filepath.Join(dir, "tieout", "config.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(token, "secret\n")
	write(file, "current: prod\ncontexts:\n  prod: {server: 'a:1', token_file: '"+token+"'}\n  test: {server: 'b:2', token: t}\n")
	for name, want := range map[string]string{"": "a:1 secret", "prod": "a:1 secret", "test": "b:2 t"} {
		if server, tok, err := named(name); err != nil || server+" "+tok != want {
			t.Errorf("context %q: %s %s, %v; want %s", name, server, tok, err, want)
		}
	}
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"status", "--context", "gone"}, &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "prod, test") {
		t.Errorf("an unknown context: exit %d: %s", code, errOut.String())
	}
	write(file, "contexts:\n  prod: {sever: 'a:1'}\n")
	if _, _, err := named("prod"); err == nil || !strings.Contains(err.Error(), "sever") {
		t.Errorf("a misspelt key: %v", err)
	}
}

// A watched list goes on until it is stopped.
func TestListsCanBeWatched(t *testing.T) {
	n := 0
	each((&app{}).root(), func(cmd *cobra.Command) {
		if cmd.Name() == "list" || cmd.Name() == "status" {
			n++
			if cmd.Flags().Lookup("watch") == nil {
				t.Errorf("%s cannot be watched", cmd.CommandPath())
			}
		}
	})
	if n < 5 {
		t.Errorf("%d lists", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	rounds := 0
	cmd := (&app{out: &bytes.Buffer{}}).watched(&cobra.Command{Use: "list", RunE: func(*cobra.Command, []string) error {
		rounds++
		stop()
		return nil
	}})
	cmd.SetArgs([]string{"-w"})
	if err := cmd.ExecuteContext(ctx); err != nil || rounds != 1 {
		t.Errorf("%d rounds, %v", rounds, err)
	}
}
