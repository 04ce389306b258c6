package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// words splits an example as a shell does, as far as examples go.
func words(s string) []string {
	var out []string
	var word strings.Builder
	quoted, any := false, false
	for _, r := range s {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if any {
				out = append(out, word.String())
			}
			word.Reset()
			any = false
		default:
			word.WriteRune(r)
			any = true
		}
	}
	if any {
		out = append(out, word.String())
	}
	return out
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		each(c, do)
	}
}

// Every example in help names a command that is there, with flags that it has.
func TestEveryExampleParses(t *testing.T) {
	n := 0
	each((&app{}).root(), func(cmd *cobra.Command) {
		if cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			args := words(strings.TrimSpace(line))
			if len(args) == 0 {
				continue
			}
			n++
			var out, errOut bytes.Buffer
			if code := Main(t.Context(), append(args[1:], "--help"), &out, &errOut); code != exitOK || args[0] != "tieout" {
				t.Errorf("%q: exit %d: %s", line, code, errOut.String())
			}
			if !strings.Contains(out.String(), cmd.CommandPath()) {
				t.Errorf("%q is not an example of %s", line, cmd.CommandPath())
			}
		}
	})
	if n < 10 {
		t.Errorf("%d examples", n)
	}
}

func TestExitCodesAndWords(t *testing.T) {
	nowhere := []string{"--dir", t.TempDir()}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing runs":    {append([]string{"status"}, nowhere...), exitAbsent, "make run"},
		"unknown command": {[]string{"post"}, exitUsage, "unknown command"},
		"unknown part":    {[]string{"exceptions", "retyr", "w-1"}, exitUsage, `tieout exceptions has no command "retyr"`},
		"unknown deeper":  {[]string{"sandbox", "crm", "wni"}, exitUsage, `tieout sandbox crm has no command "wni"`},
		"unknown shell":   {[]string{"completion", "fsh"}, exitUsage, "fsh"},
		"unknown kind":    {[]string{"exceptions", "list", "--kind", "odd"}, exitUsage, "validation"},
		"kind of all":     {[]string{"exceptions", "retry", "--all", "--kind", "odd", "--reason", "x"}, exitUsage, "validation"},
		"unknown state":   {[]string{"exceptions", "list", "--state", "shut"}, exitUsage, "released"},
		"unknown flag":    {[]string{"status", "--loud"}, exitUsage, "--loud"},
		"unknown output":  {[]string{"version", "-o", "xml"}, exitUsage, "xml"},
		"fewer deals":     {[]string{"dev", "--once", "--deals", "-1"}, exitUsage, "--deals -1"},
		"no id":           {[]string{"journey"}, exitUsage, "arg"},
		"no reason":       {[]string{"exceptions", "discard", "w-1"}, exitUsage, "--reason"},
		"nobody answers":  {[]string{"status", "--server", "127.0.0.1:1", "--token", "x"}, exitAbsent, "control plane"},
	} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), c.args, &out, &errOut); code != c.code || !strings.Contains(errOut.String(), c.says) {
			t.Errorf("%s: exit %d, want %d: %s", name, code, c.code, errOut.String())
		}
	}
}

// What a service answers is said in its words, whatever it was wrapped in.
func TestAnswersAreSaidInWords(t *testing.T) {
	err := errors.Join(fmt.Errorf("ask: %w", status.Error(codes.NotFound, "there is no run x")))
	if f := asFailure(err); f.code != exitNotFound || f.message != "there is no run x" {
		t.Errorf("exit %d: %s", f.code, f.message)
	}
}

// With -o json an error is one object on stderr, and stdout stays clean.
func TestErrorsAsJSON(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"status", "-o", "json", "--dir", t.TempDir()}, &out, &errOut); code != exitAbsent {
		t.Fatalf("exit %d", code)
	}
	var e map[string]string
	if err := json.Unmarshal(errOut.Bytes(), &e); err != nil || e["code"] != "3" || e["message"] == "" || e["who"] == "" || e["next"] == "" || out.Len() != 0 {
		t.Fatalf("stdout %q, stderr %q (%v)", out.String(), errOut.String(), err)
	}
}

func TestListenAddresses(t *testing.T) {
	got, err := addresses("control=127.0.0.1:7700, hubspot=127.0.0.1:7701")
	if err != nil || got["control"] != "127.0.0.1:7700" || got["hubspot"] != "127.0.0.1:7701" {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"control", "kafka=127.0.0.1:1", "control="} {
		if _, err := addresses(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestVersionInEveryShape(t *testing.T) {
	for _, o := range []string{"table", "json", "yaml"} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), []string{"version", "-o", o}, &out, &errOut); code != exitOK || !strings.Contains(out.String(), "go1.") {
			t.Errorf("-o %s: exit %d, %q %q", o, code, out.String(), errOut.String())
		}
	}
}

// A configuration with mistakes is refused with all of them, one without is right.
func TestConfigCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tieout.yaml")
	if err := os.WriteFile(path, []byte("kafka: {brokers: nowhere, partitons: 3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"config", "check", path, "-o", "json"}, &out, &errOut); code != exitUsage {
		t.Errorf("exit code %d: %s", code, &errOut)
	}
	for _, want := range []string{`"key": "kafka.partitons"`, `"line": 1`, `"expected"`, "TIEOUT_KAFKA_BROKERS"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %s: %s", want, &out)
		}
	}
	for want, args := range map[int][]string{exitNotFound: {path + ".none"}, exitUsage: {path, "--service", "nobody"}} {
		if code := Main(t.Context(), append([]string{"config", "check"}, args...), &out, &errOut); code != want {
			t.Errorf("%v: exit code %d, want %d", args, code, want)
		}
	}
}
