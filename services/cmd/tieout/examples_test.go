package main

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// notHere are examples that cannot be run against one 'tieout dev', and why.
var notHere = map[string]string{
	"dev":                   "it is what they all run against; the story and the tests of a life start it",
	"connections authorize": "a person agrees in a browser; TestAuthorize… goes there as one does",
	"audit tail --watch":    "it goes on until somebody stops it",
	"config check":          "it reads a configuration of services; TestConfigCheck has one",
	"topics apply --config": "it reads a configuration of services, and 'topics apply --plan' is run",
}

// ends are exit codes of examples that do not end with 0 here: one code or others.
var ends = map[string][]int{
	"doctor":                    {5},    // exceptions are open
	"exceptions confirm-absent": {1},    // no document is in doubt here
	"exceptions link":           {1},    // the customer in the books is another company's here
	"exceptions reissue":        {1},    // none was deleted when it is asked for
	"reconcile repair 5f1c0a":   {1},    // a void by hand takes a person's decision
	"runs pause":                {0, 1}, // a run of few records may have ended
	"runs resume":               {0, 1},
	"runs cancel":               {0, 1},
}

// late are examples that need what others leave behind, in this order.
var late = []string{"reconcile repair 5f1c0a", "reconcile accept", "exceptions discard", "restore mark"}

func keyed[V any](of map[string]V, example string) (V, bool) {
	for key, v := range of {
		if strings.HasPrefix(example, key) {
			return v, true
		}
	}
	var none V
	return none, false
}

// examples are those of every command's help, as a person sees them.
func (o *outside) examples(command ...string) (out []string) {
	o.t.Helper()
	b, err := exec.Command(o.bin, append(command, "--help")...).Output()
	if err != nil {
		o.t.Fatal(err)
	}
	section := ""
	for _, line := range strings.Split(string(b), "\n") {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !strings.HasPrefix(line, "  "):
			section = line
		case section == "Examples:":
			out = append(out, strings.TrimPrefix(strings.TrimSpace(line), "tieout "))
		case section == "Available Commands:" && word != "help" && word != "completion":
			out = append(out, o.examples(append(slices.Clone(command), word)...)...)
		}
	}
	return out
}

// openBreak finds the id of one in a report.
const openBreak = `"id": "([^"]+)",(?:[^{}]|\{[^{}]*\})*?"state": "open"`

// stage is what the examples are run on.
type stage struct {
	o         *outside
	deal      string
	companies [2]string
	customer  string // in the books
}

// firstOf asks a command for JSON, and returns the first text that a pattern finds.
func (s *stage) firstOf(pattern string, command ...string) string {
	s.o.t.Helper()
	find := regexp.MustCompile(pattern)
	for end := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		said, _ := s.o.try(append(command, "-o", "json")...)
		if m := find.FindStringSubmatch(said); m != nil {
			return m[1]
		}
		if time.Now().After(end) {
			s.o.t.Fatalf("%v has no %s: %s", command, pattern, said)
		}
	}
}

// real is an example with ids of what is there.
func (s *stage) real(example string) []string {
	for stands, of := range map[string]func() string{
		"w-0123456789abcdef": func() string { return s.firstOf(`"id": "(w-[0-9a-f]+)",\s+"kind": "match"`, "exceptions", "list") },
		"b-0123456789ab":     func() string { return s.firstOf(`"run": "(b-[^"]+)"`, "runs", "list") },
		"events get 5f1c0a":  func() string { return "events get " + s.firstOf(`"event_id":"([^"]+)"`, "events", "tail") },
		"repair 5f1c0a":      func() string { return "repair " + s.firstOf(openBreak, "reconcile") },
		"accept 5f1c0a":      func() string { return "accept " + s.firstOf(openBreak, "reconcile") },
		"deal/123":           func() string { return s.deal },
		"company/5":          func() string { return "company/" + s.companies[0] },
		"company/1001":       func() string { return "company/" + s.companies[0] },
		"company/1002":       func() string { return "company/" + s.companies[1] },
		"customer/58":        func() string { return "customer/" + s.customer },
		"invoice/12":         func() string { return s.firstOf(`quickbooks/[0-9]+/(invoice/[0-9]+)"`, "journey", "1001") },
		"pay 1001":           func() string { return "pay 1002" },
		"void 1001":          func() string { return "void 1003" },
		"delete 1001":        func() string { return "delete 1004" },
		"50.00":              func() string { return "1.00" },
	} {
		if strings.Contains(example, stands) {
			example = strings.ReplaceAll(example, stands, of())
		}
	}
	var args []string
	for i, part := range strings.Split(example, `"`) {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}

// Every example in help does what it says, on one installation.
func TestEveryExampleOfHelpRuns(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 1)
	for _, name := range []string{"one", "two", "three", "four"} {
		d.win(name)
	}
	o.settle(4)
	s := &stage{o: o}
	for range 4 {
		s.deal = "deal/" + d.twin()
	}
	s.deal = s.firstOf(`"subject": "hubspot/[0-9]+/(deal/[0-9]+)"`, "journey", "1001")
	s.companies[0] = s.firstOf(`"customer": "hubspot/[0-9]+/company/([0-9]+)"`, "journey", "1001")
	var err error
	if s.companies[1], err = o.portal.Company(context.Background(), map[string]string{"name": "Merged"}); err != nil {
		t.Fatal(err)
	}
	o.run("wait", "--settled", "--timeout", "60s")
	var customers []struct{ ID string }
	if o.query("Customer", "startposition 1 maxresults 1", &customers); len(customers) != 1 {
		t.Fatalf("customers in the books: %v", customers)
	}
	s.customer = customers[0].ID
	all := o.examples()
	if len(all) < 60 {
		t.Fatalf("%d examples", len(all))
	}
	rank := func(x string) int {
		return slices.IndexFunc(late, func(l string) bool { return strings.HasPrefix(x, l) })
	}
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	for _, example := range all {
		if _, none := keyed(notHere, example); none {
			continue
		}
		want, ok := keyed(ends, example)
		if !ok {
			want = []int{0}
		}
		cmd := exec.Command(o.bin, append(s.real(example), "--dir", o.dir)...)
		cmd.Dir = "../../.." // files are named as they are from the repository
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); !slices.Contains(want, code) {
			t.Errorf("%s: exit %d, want %v: %s", example, code, want, out)
		}
	}
}
