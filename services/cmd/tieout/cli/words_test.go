package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Wherever -o json stands, and whatever is wrong, an error is one object that
// says who acts and which record it is about.
func TestEveryErrorIsAnObjectWhereThatIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		ref  string
	}{
		{[]string{"post", "-o", "json"}, ""},
		{[]string{"-ojson", "post"}, ""},
		{[]string{"status", "--loud", "--output=json"}, ""},
		{[]string{"status", "-o=json", "--loud"}, ""},
		{[]string{"exceptions", "discard", "w-1", "-o", "json"}, "w-1"},
		{[]string{"lanes", "show", "deal/5", "-o", "json", "--dir", dir}, "deal/5"},
		{[]string{"open", "deal/5", "--output", "json", "--dir", dir}, "deal/5"},
		{[]string{"events", "tail", "--ref", "deal/5", "-o", "json", "--dir", dir}, "deal/5"},
		{[]string{"mapping", "check", dir + "/none", "-o", "json"}, ""},
	} {
		var out, errOut bytes.Buffer
		code := Main(t.Context(), c.args, &out, &errOut)
		var e struct{ Message, Ref, Who, Next string }
		if err := json.Unmarshal(errOut.Bytes(), &e); err != nil || code == exitOK || e.Message == "" || e.Ref != c.ref {
			t.Errorf("%v: exit %d: %s (%v)", c.args, code, &errOut, err)
		}
		if !slices.Contains([]string{"finance", "crm admin", "operator", "tieout"}, e.Who) {
			t.Errorf("%v: %q acts", c.args, e.Who)
		}
	}
}

// What a person typed wrong is refused before anything is made of it.
func TestADealIsCheckedBeforeItIsMade(t *testing.T) {
	for says, args := range map[string][]string{
		`--amount "abc"`: {"--amount", "abc"}, `quantity "x"`: {"--line", "Widget,x,1"}, `price "y"`: {"--line", "Widget,1,y"}, `discount "z"`: {"--line", "Widget,1,1,z%"},
		`--currency "XXX"`: {"--currency", "XXX"}, "--count 0": {"--count", "0"}, `--line "Widget"`: {"--line", "Widget"},
	} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), append([]string{"sandbox", "crm", "win", "--dir", t.TempDir()}, args...), &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), says) {
			t.Errorf("%v: exit %d: %s", args, code, &errOut)
		}
	}
	if err := (winning{currency: "EUR", amount: "99.50", count: 1, lines: []string{"Widget,3,33.33", "Setup,1,250,10%"}}).check(); err != nil {
		t.Error(err)
	}
}

// Repairing everything bills what nobody billed: it takes a person's word.
func TestRepairingAllTakesAWord(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"reconcile", "repair", "--all", "--dir", t.TempDir()}, &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "before a route's start") {
		t.Errorf("exit %d: %s", code, &errOut)
	}
	for _, more := range []string{"--yes", "--dry-run"} {
		errOut.Reset()
		if code := Main(t.Context(), []string{"reconcile", "repair", "--all", more, "--dir", t.TempDir()}, &out, &errOut); code != exitAbsent {
			t.Errorf("%s: exit %d: %s", more, code, &errOut)
		}
	}
}

func TestMarkingIsTried(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := Main(t.Context(), []string{"restore", "mark", "writer", "--dry-run", "--dir", t.TempDir()}, &out, &errOut); code != exitOK || !strings.Contains(out.String(), "would") {
		t.Errorf("exit %d: %s%s", code, &out, &errOut)
	}
	if code := Main(t.Context(), []string{"restore", "mark", "nobody", "--dry-run"}, &out, &errOut); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}

// A shell is offered the values that there are.
func TestCompletionOffersValues(t *testing.T) {
	for want, args := range map[string][]string{
		"yaml": {"status", "-o", ""}, "validation": {"exceptions", "list", "--kind", ""}, "discarded": {"exceptions", "list", "--state", ""}, "recovery": {"exceptions", "retry", "--kind", ""},
	} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), append([]string{"__complete"}, args...), &out, &errOut); code != exitOK || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit %d: %s%s", args, code, &out, &errOut)
		}
	}
}
