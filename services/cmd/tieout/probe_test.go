package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tieout.dev/services/cmd/tieout/crm"
)

// probed runs a probe and returns what it found.
func (o *outside) probed(args ...string) (out struct {
	OK, Paused bool
	Kinds      []struct {
		Kind, Claimed, Measured, Verdict, Stopped string
		Left                                      []struct{ Ref, Mark, Why string }
	}
}, code int, said string) {
	o.t.Helper()
	said, code = o.try(append([]string{"connections", "probe"}, append(args, "--reason", "a test", "-o", "json")...)...)
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&out); err != nil {
		o.t.Fatalf("probe %v: exit %d: %s", args, code, said)
	}
	return out, code, said
}

// A probe beside the work takes back what it made: the books stand as they did,
// and a reconciliation finds nothing of it.
func TestAProbeLeavesTheBooksAsTheyWere(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 1)
	d.win("Before")
	got, code, said := o.probed("books")
	if code != 0 || !got.OK || len(got.Kinds) != 3 {
		t.Fatalf("exit %d: %s", code, said)
	}
	for _, k := range got.Kinds {
		if k.Verdict != "holds" && k.Verdict != "stronger" || len(k.Left) > 0 {
			t.Errorf("%+v", k)
		}
	}
	o.settle(1)
	d.check("after a probe")
	o.run("reconcile") // exit 5 where anything is not explained
	for name := range o.customers() {
		if strings.Contains(name, "Tieout probe") && !strings.HasSuffix(name, "(deleted)") {
			t.Errorf("customer %q is in use", name)
		}
	}
	deal, err := o.portal.Deal(t.Context(), crm.Deal{Name: "Open", Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "1", Price: "10.00"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, code, said := o.probed("crm", "--record", "deal/"+deal, "--samples", "1"); code != 0 || got.Kinds[0].Measured != "C" || len(got.Kinds[0].Left) > 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	if trail := o.run("audit", "tail", "-o", "json"); !strings.Contains(trail, "connection.probing") || !strings.Contains(trail, "connection.probed") || !strings.Contains(trail, "all taken back") {
		t.Errorf("the trail says %s", trail)
	}
}

// A search that lags more than the connection claims: nothing leaves to it any
// more, with the reason, until a person resumes it.
func TestAClaimThatIsFalsePausesTheBooks(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.settings("quickbooks", `{"search_lag":"3s"}`) // 1s is claimed
	said, code := o.try("connections", "probe", "books", "--kinds", "customer", "--samples", "1", "--reason", "a test")
	if code != 5 || !strings.Contains(said, "search_lag of customer is claimed as 1s") || !strings.Contains(said, "set search_lag of the connection to at least") || !strings.Contains(said, "connections resume books") {
		t.Fatalf("exit %d: %s", code, said)
	}
	if shown := o.run("connections", "show", "books"); !strings.Contains(shown, "paused") || !strings.Contains(shown, "a probe contradicts what is claimed: search_lag") {
		t.Errorf("%s", shown)
	}
	d := newDeals(o, 1)
	d.win("While it is paused")
	o.settings("quickbooks", `{"search_lag":"0s"}`)
	if got, code, said := o.probed("books", "--kinds", "customer", "--samples", "1"); code != 0 || !got.OK {
		t.Errorf("exit %d: %s", code, said)
	}
	if live := o.live(); len(live) > 0 {
		t.Errorf("something left while the books were paused: %v", live)
	}
	o.run("connections", "resume", "books", "--reason", "search_lag is right now")
	o.settle(1)
	d.check("after the resume")
}

// A person who ends a probe hears what was taken back.
func TestAProbeThatIsEndedSaysWhatItLeft(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.settings("quickbooks", `{"search_lag":"900ms"}`)
	cmd := exec.Command(o.bin, "connections", "probe", "books", "--kinds", "invoice", "--samples", "20", "--reason", "a test", "--dir", o.dir)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	for line := ""; !strings.HasPrefix(line, "probing invoice"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	o.await("an invoice of the probe", func() bool { return len(o.live()) > 0 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(lines)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(said), "ended early: it was cancelled") || !strings.Contains(string(said), "all taken back") {
		t.Errorf("%v: %s", err, said)
	}
	o.settings("quickbooks", `{"search_lag":"0s"}`) // else a person is shown what was
	if live := o.live(); len(live) > 0 {
		t.Errorf("%v stand", live)
	}
}
