package drill

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Record holds the last run of each fault by each test that injects it.
type Record []Run

// Merge takes the runs of a log, a JSON object a line, in the place of older ones
// and dates them: tests may live in another time. A test that spoke several
// times of a fault in one run counts as one.
func (r Record) Merge(log []byte, at time.Time) (Record, error) {
	type key struct {
		fault int
		by    string
	}
	last := map[key]Run{}
	for _, x := range r {
		last[key{x.Fault, x.By}] = x
	}
	fresh := map[key]Run{}
	lines := bufio.NewScanner(bytes.NewReader(log))
	for lines.Scan() {
		var x Run
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, fmt.Errorf("line %q of the log: %w", lines.Text(), err)
		}
		x.At = at
		k := key{x.Fault, x.By}
		if before, again := fresh[k]; again {
			x.Times, x.Held = x.Times+before.Times, x.Held && before.Held
		}
		fresh[k] = x
	}
	for k, x := range fresh {
		last[k] = x
	}
	out := make(Record, 0, len(last))
	for _, x := range last {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Run) int {
		if a.Fault != b.Fault {
			return a.Fault - b.Fault
		}
		return strings.Compare(a.By, b.By)
	})
	return out, lines.Err()
}

// Page is the table of all faults.
func Page(places map[int][]Place, record Record) string {
	var rows strings.Builder
	automated, held := 0, 0
	for _, f := range Faults() {
		tests, last, times, verdict := f.row(places[f.Number], record)
		fmt.Fprintf(&rows, "| %d | %s | %s | %s | %s | %s | %s |\n", f.Number, f.Name, f.Proves, tests, last, times, verdict)
		if len(places[f.Number])+len(f.Chaos) > 0 {
			automated++
		}
		if verdict == "held" {
			held++
		}
	}
	return fmt.Sprintf(`# Faults

Every fault that Tieout must live through, the tests that bring it about, and
what they saw when they last ran ('make faults' runs them and writes this page).
%d of %d are automated, %d held when last run. A test fails if it did not
inject what it says: "injected" is its own count. What is not automated says
what it needs. I1 to I12 are the promises of [exactly-one-effect.md](exactly-one-effect.md).

| # | fault | proves | injected by | last run | injected | verdict |
|---|---|---|---|---|---|---|
%s`, automated, len(Faults()), held, rows.String())
}

func (f Fault) row(places []Place, record Record) (tests, last, times, verdict string) {
	var by []string
	for _, p := range places {
		by = append(by, p.By)
	}
	for _, name := range f.Chaos {
		by = append(by, "chaos:"+name)
	}
	if len(by) == 0 {
		return "", "", "", "not automated: needs " + f.Needs
	}
	var sum int64
	verdict = "held"
	seen := 0
	for _, r := range record {
		if r.Fault != f.Number || !slices.Contains(by, r.By) {
			continue
		}
		seen++
		sum += r.Times
		last = max(last, r.At.Format("2006-01-02"))
		if !r.Held {
			verdict = "FAILED"
		}
	}
	switch {
	case seen == 0:
		return cell(by), "", "", "not run yet"
	case seen < len(by) && verdict == "held":
		verdict = fmt.Sprintf("held in %d of %d", seen, len(by))
	}
	return cell(by), last, fmt.Sprint(sum), verdict
}

// cell names the first tests and counts the others.
func cell(by []string) string {
	const most = 3
	out := make([]string, 0, most)
	for _, b := range by[:min(len(by), most)] {
		out = append(out, "`"+b+"`")
	}
	if rest := len(by) - most; rest > 0 {
		out = append(out, fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(out, ", ")
}
