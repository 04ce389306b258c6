// Package probe measures what a connection claims (connector.Claims), by writing
// a few small documents and taking them back. A claim is contradicted where the
// books do less than was claimed; that they do more is told. A figure is what was
// seen at least: nothing measured proves that no request will ever take longer.
package probe

import (
	"context"
	"errors"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
)

// Setup is the connection that is measured, and what its documents are made of.
type Setup struct {
	Target connector.Target
	Claims connector.Claims
	// Run names what is made, in names and marks: no two probes have the same.
	Run string
	// Symbol returns the vendor's id of a bound symbol; Account and Tax are two of
	// its symbols.
	Symbol              func(kind, symbol string) (string, bool)
	Account, Tax        string
	Currency, IssueDate string
	// Record is the ref of the record whose marker may be written for a moment.
	Record string
	// Samples is how many documents are made to measure the search lag.
	Samples int
	// KeyWait is how long after a call its key is used once more; 0: never. It
	// measures the life of keys that are claimed to be remembered.
	KeyWait time.Duration
	Now     func() time.Time
}

// Verdict is what a measurement says about a claim.
type Verdict string

// The verdicts.
const (
	Holds        Verdict = "holds"
	Stronger     Verdict = "stronger" // the books do more than was claimed
	Contradicted Verdict = "contradicted"
	NotMeasured  Verdict = "not_measured"
)

// The claims that are measured, by the names of the settings where there are such.
const (
	Class          = "class"
	SearchLag      = "search_lag"
	LongestRequest = "longest_request"
	KeyLife        = "key_life"
)

// Finding is what was measured of one claim.
type Finding struct {
	Claim             string
	Claimed, Measured string // a class, or a duration as settings write it
	Samples           int
	Verdict           Verdict
	Said              string // what was seen
	Who, Next         string // who does what about a contradiction: operator or tieout
}

// Left is what a probe made and did not take back.
type Left struct {
	Ref, Mark string // no ref where the answer was lost
	Why       string
}

// Report is what a probe of one kind found.
type Report struct {
	Kind              document.Kind
	Claimed, Measured connector.Ambiguity // measured is "" where nothing could be said
	Verdict           Verdict             // of the class, unless any finding is contradicted
	Findings          []Finding
	Requests          int
	Made              int // records that were made in the books, also those taken back
	Left              []Left
	Stopped           string // why it ended before all was measured
}

// run is one probe of one kind.
type run struct {
	Setup
	kind   document.Kind
	report *Report
	began  time.Time
	n      int // numbers what is made
	links  map[document.Kind]event.Ref
	shots  []*shot // what was asked to be made, in order
	twice  repeat  // the same call, sent again at once
	other  repeat  // the same record under another key
	later  repeat  // the same call after KeyWait
	extra  []connector.Posting
}

// Run measures one kind and takes back what it made, also when ctx ends: Left
// says what it could not.
func Run(ctx context.Context, s Setup, kind document.Kind) *Report {
	r := &run{Setup: s, kind: kind, began: s.Now(), links: map[document.Kind]event.Ref{}, report: &Report{Kind: kind, Claimed: s.Claims.Ambiguity[kind]}}
	ctx, meter := connector.WithMeter(ctx)
	if err := r.measure(ctx); err != nil {
		r.report.Stopped = err.Error()
		if ctx.Err() != nil {
			r.report.Stopped = "it was cancelled"
		}
	}
	r.takeBack(ctx)
	r.judge()
	r.report.Requests = meter.Requests()
	return r.report
}

var errNeverSeen = errors.New("the answer to the first write was lost and its effect was never seen: nothing could be built on it")

// measure ends early at the first proof that a claim is false: what comes after
// it would only write more.
func (r *run) measure(ctx context.Context) error {
	if err := r.supply(ctx); err != nil {
		return err
	}
	first, err := r.write(ctx, r.kind, 0)
	if err != nil {
		return err
	}
	if first.posting == nil {
		return errNeverSeen
	}
	steps := []func() error{
		func() (err error) { r.twice, err = r.again(ctx, first, first.call); return err },
		func() error { return r.secondName(ctx, first) },
		func() error { return r.sample(ctx) },
		func() error { return r.lose(ctx) },
		func() error { return r.outlive(ctx, first) },
	}
	for _, step := range steps {
		if r.overdue() {
			return nil
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// secondName creates the same record under another key: what a unique reference
// has to refuse, and a remembered key does not.
func (r *run) secondName(ctx context.Context, first *shot) (err error) {
	if r.report.Claimed != connector.UniqueReference {
		return nil
	}
	call := first.call
	call.Key = r.key()
	r.other, err = r.again(ctx, first, call)
	return err
}

// sample makes the other documents that the search lag is measured by.
func (r *run) sample(ctx context.Context) error {
	for range r.Samples - 1 {
		if _, err := r.write(ctx, r.kind, 0); err != nil || r.overdue() {
			return err
		}
	}
	return nil
}

// mostLosses is how often an answer is tried to be lost: it may come first.
const mostLosses = 3

// lose leaves before an answer can have come, when the request has most probably
// arrived, and looks for the effect.
func (r *run) lose(ctx context.Context) error {
	fastest := time.Duration(0)
	for _, x := range r.shots {
		if d := x.answered.Sub(x.sent); x.kind == r.kind && !x.lost && (fastest == 0 || d < fastest) {
			fastest = d
		}
	}
	for range mostLosses {
		x, err := r.write(ctx, r.kind, fastest*3/4)
		if err != nil || x.lost {
			return err
		}
	}
	return nil
}

// outlive sends the first call once more after KeyWait.
func (r *run) outlive(ctx context.Context, first *shot) (err error) {
	if r.report.Claimed != connector.KeyRemembered || r.KeyWait <= 0 || r.twice != same {
		return nil
	}
	if !idle.For(ctx, r.KeyWait) {
		return ctx.Err()
	}
	r.later, err = r.again(ctx, first, first.call)
	return err
}
