package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// try runs the command line and returns its output and exit code.
func (o *outside) try(args ...string) (string, int) {
	o.t.Helper()
	out, err := exec.Command(o.bin, append(args, "--dir", o.dir)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		o.t.Fatalf("tieout %s: %v", strings.Join(args, " "), err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// authorize runs the command and goes where it says as a browser would, with
// more added to the vendor's page's address. It returns what the browser and
// the command say at last.
func (o *outside) authorize(id, more string) (page, said string, code int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.bin, "connections", "authorize", id, "--no-browser", "--timeout", "30s", "-o", "json", "--dir", o.dir)
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	first, _ := lines.ReadString('\n')
	address, there := strings.CutPrefix(strings.TrimSpace(first), "agree at the vendor: ")
	if there {
		page = o.visit(ctx, address+more)
	}
	rest, _ := io.ReadAll(lines)
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || !there {
		o.t.Fatalf("authorize %s: %v: %s%s%s", id, err, first, rest, out.String())
	}
	return page, out.String() + string(rest), cmd.ProcessState.ExitCode()
}

func (o *outside) visit(ctx context.Context, address string) string {
	o.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req) // it follows the redirect
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b)
}

func (o *outside) settings(system, body string) {
	o.t.Helper()
	o.post(o.file.Sandboxes[system].BaseURL+"/_sandbox/settings", body)
}

// works: the connection does what it should.
func (o *outside) works(id, when string) {
	o.t.Helper()
	if said, code := o.try("connections", "test", id); code != 0 {
		o.t.Errorf("%s: connections test %s exits with %d: %s", when, id, code, said)
	}
}

func TestAPersonLetsTieoutIn(t *testing.T) {
	t.Parallel()
	o := start(t)
	for _, id := range []string{"crm", "books"} {
		o.works(id, "at first")
		page, said, code := o.authorize(id, "")
		var got struct {
			Account      string
			Scopes       []string
			GrantExpires string `json:"grant_expires"`
		}
		if err := json.Unmarshal([]byte(said), &got); code != 0 || err != nil || len(got.Scopes) == 0 || !strings.Contains(page, got.Account) {
			t.Fatalf("%s: exit %d: %s, %s", id, code, page, said)
		}
		if (got.GrantExpires == "") != (id == "crm") {
			t.Errorf("the consent of %s ends %q", id, got.GrantExpires)
		}
		if shown := o.run("connections", "show", id); got.GrantExpires != "" && !strings.Contains(shown, got.GrantExpires) {
			t.Errorf("%s is not shown: %s", got.GrantExpires, shown)
		}
		o.works(id, "after a consent")
		if said := o.run("connections", "prepare", id); !strings.Contains(said, "nothing is missing") {
			t.Errorf("%s", said)
		}
	}
	d := newDeals(o, 2)
	d.win("Before")
	o.settle(1)
	o.kill()
	o.up()
	d.win("After")
	o.settle(2)
	d.check("with the new grants, also after a kill")
}

func TestConsentsThatChangeNothing(t *testing.T) {
	t.Parallel()
	o := start(t)
	refused := func(id, more, says string) {
		t.Helper()
		page, said, code := o.authorize(id, more)
		if code != 1 || !strings.Contains(said, says) || !strings.Contains(said, "connections authorize "+id) || !strings.Contains(page, "Nothing was granted") {
			t.Errorf("exit %d: %s, %s", code, page, said)
		}
		o.works(id, says)
	}
	o.post(o.file.Sandboxes["quickbooks"].BaseURL+"/_sandbox/accounts", `{"id":"99","preset":"US"}`)
	refused("books", "&realmId=99", "bound to 4620816365")
	for _, v := range []struct{ id, system string }{{"crm", "hubspot"}, {"books", "quickbooks"}} {
		o.settings(v.system, `{"consent":"deny"}`)
		refused(v.id, "", "access_denied")
	}
}

// A consent that a person took back at the vendor stops what is written, says
// so, and a new one lets it go on: nothing is lost, nothing is sent twice.
func TestAConsentTakenBackAndGivenAgain(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 2)
	d.win("Before")
	o.settle(1)
	o.fault("quickbooks", `{"match":{"path":"/v3/company/**","app":"app"},"effect":"revoke_consent","times":1}`)
	d.win("While nobody may write")
	o.await("an exception of kind credential", func() bool {
		return strings.Contains(o.run("exceptions", "list", "-o", "json"), `"kind": "credential"`)
	})
	said, code := o.try("connections", "test", "books")
	if code != 5 || !strings.Contains(said, "tieout connections authorize books") {
		t.Errorf("exit %d: %s", code, said)
	}
	if _, said, code := o.authorize("books", ""); code != 0 || !strings.Contains(said, `"was_paused": true`) {
		t.Fatalf("exit %d: %s", code, said)
	}
	o.settle(2)
	d.check("after a new consent")
	if said := o.run("exceptions", "list", "-o", "json"); strings.Contains(said, `"kind": "credential"`) {
		t.Errorf("%s", said)
	}
}

// await asks until it is so, for at most a minute.
func (o *outside) await(what string, is func() bool) {
	o.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !is() {
		if time.Now().After(deadline) {
			o.t.Fatalf("%s did not come within a minute: %s", what, o.run("status"))
		}
		<-time.After(100 * time.Millisecond)
	}
}
