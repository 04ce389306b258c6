package probe_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/connector/probe"
	"tieout.dev/services/internal/document"
)

func claims(class connector.Ambiguity) connector.Claims {
	all := map[document.Kind]connector.Ambiguity{}
	for _, k := range []document.Kind{document.CustomerKind, document.ItemKind, document.InvoiceKind, document.CreditNoteKind} {
		all[k] = class
	}
	return connector.Claims{Ambiguity: all, SearchLag: 10 * time.Second, LongestRequest: 30 * time.Second, KeyLife: time.Hour}
}

// measured probes the books with honest claims of a class, unless they are changed.
func measured(ctx context.Context, b *books, class connector.Ambiguity, kind document.Kind, change ...func(*probe.Setup)) *probe.Report {
	s := probe.Setup{
		Target: b, Claims: claims(class), Run: "r1", Symbol: func(kind, symbol string) (string, bool) { return kind + symbol, true },
		Account: "sales", Tax: "standard", Currency: "EUR", IssueDate: "2026-11-30", Samples: 3, Now: time.Now,
	}
	for _, f := range change {
		f(&s)
	}
	return probe.Run(ctx, s, kind)
}

func finding(r *probe.Report, claim string) probe.Finding {
	i := slices.IndexFunc(r.Findings, func(f probe.Finding) bool { return f.Claim == claim })
	if i < 0 {
		return probe.Finding{}
	}
	return r.Findings[i]
}

// Books of each class are measured as what they are, and nothing of it stays.
func TestClassesAreMeasured(t *testing.T) {
	for _, c := range []struct {
		name          string
		books         *books
		claimed, want connector.Ambiguity
		kind          document.Kind
		verdict       probe.Verdict
		said          string
	}{
		{name: "remember keys", books: &books{keyLife: time.Hour}, claimed: "A", want: "A", kind: document.InvoiceKind, verdict: probe.Holds, said: "made one record"},
		{name: "refuse a second name", books: &books{unique: true}, claimed: "B", want: "B", kind: document.CustomerKind, verdict: probe.Holds, said: "refused the second time"},
		{name: "can be searched", books: &books{}, claimed: "C", want: "C", kind: document.InvoiceKind, verdict: probe.Holds, said: "two records, and a search shows them"},
		{name: "cannot", books: &books{blind: true}, claimed: "D", want: "D", kind: document.ItemKind, verdict: probe.Holds, said: "no search showed"},
		{name: "more than claimed", books: &books{keyLife: time.Hour}, claimed: "C", want: "A", kind: document.InvoiceKind, verdict: probe.Stronger, said: "Nothing relies on it"},
		{name: "keys and names", books: &books{keyLife: time.Hour, unique: true}, claimed: "B", want: "A", kind: document.ItemKind, verdict: probe.Stronger, said: "under another key was refused"},
		{name: "keys that are forgotten", books: &books{}, claimed: "A", want: "C", kind: document.InvoiceKind, verdict: probe.Contradicted, said: "two records"},
		{name: "a second name is taken", books: &books{keyLife: time.Hour}, claimed: "B", want: "C", kind: document.CustomerKind, verdict: probe.Contradicted, said: "there are two"},
		{name: "neither name nor key", books: &books{}, claimed: "B", want: "C", kind: document.CustomerKind, verdict: probe.Contradicted, said: "two records"},
		{name: "nothing is found", books: &books{blind: true}, claimed: "C", want: "D", kind: document.InvoiceKind, verdict: probe.Contradicted, said: "no search showed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := c.books
				r := measured(t.Context(), b, c.claimed, c.kind)
				f := finding(r, probe.Class)
				if r.Measured != c.want || f.Verdict != c.verdict || r.Verdict != c.verdict || !strings.Contains(f.Said, c.said) || r.Stopped != "" {
					t.Errorf("%+v", r)
				}
				if (f.Next != "") != (c.verdict == probe.Contradicted) {
					t.Errorf("next %q", f.Next)
				}
				unseen := 0 // the answer that was lost on purpose, where nobody can look for it
				if b.blind {
					unseen = len(b.standing())
				}
				if left := b.standing(); len(left) != unseen || len(r.Left) != unseen || unseen > 1 {
					t.Errorf("%v stand, and %v are told", left, r.Left)
				}
				if r.Requests != b.requests || r.Made != len(b.records)-unseen {
					t.Errorf("%d requests and %d records are told of %d and %d", r.Requests, r.Made, b.requests, len(b.records))
				}
			})
		})
	}
}

// A search that lags more than claimed is named with what to set.
func TestASearchThatLagsMoreThanClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &books{lag: 15 * time.Second}
		r := measured(t.Context(), b, "C", document.InvoiceKind)
		f := finding(r, probe.SearchLag)
		if r.Verdict != probe.Contradicted || f.Verdict != probe.Contradicted || !strings.Contains(f.Next, "search_lag") || finding(r, probe.Class).Verdict == probe.Contradicted {
			t.Errorf("%+v", r)
		}
		if n := len(b.records); n > 3 {
			t.Errorf("%d records were made after the proof", n)
		}
		if left := b.standing(); len(left) > 0 {
			t.Errorf("%v stand", left)
		}
	})
}

// What is claimed is measured with the lag that there is: nothing is refused that
// the claims allow.
func TestALagWithinTheClaimHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := measured(t.Context(), &books{lag: 9900 * time.Millisecond}, "C", document.InvoiceKind)
		if f := finding(r, probe.SearchLag); f.Verdict != probe.Holds || f.Samples != 5 || r.Verdict != probe.Holds {
			t.Errorf("%+v", r)
		}
	})
}

// A request that took effect later than claimed is seen, though it was refused
// when it was sent.
func TestAnEffectLaterThanTheLongestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		want  probe.Verdict
	}{"within": {35 * time.Second, probe.Holds}, "later": {45 * time.Second, probe.Contradicted}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &books{late: map[int]time.Duration{3: c.after}} // customer, item, invoice
				r := measured(t.Context(), b, "C", document.InvoiceKind)
				f := finding(r, probe.LongestRequest)
				if r.Verdict != c.want || f.Verdict != c.want || !strings.Contains(f.Said, "at least") || (c.want == probe.Contradicted) != strings.Contains(f.Next, "longest_request") {
					t.Errorf("%+v", r)
				}
				if left := b.standing(); len(left) > 0 {
					t.Errorf("%v stand", left)
				}
			})
		})
	}
}

// A lost answer whose request never arrived says nothing, and is named, since it
// may still come.
func TestAnEffectThatNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := measured(t.Context(), &books{late: map[int]time.Duration{5: 24 * time.Hour}}, "C", document.CustomerKind)
		if f := finding(r, probe.LongestRequest); f.Verdict != probe.NotMeasured || !strings.Contains(f.Said, "1 of 1 whose answers were lost never had an effect") {
			t.Errorf("%+v", f)
		}
		if len(r.Left) != 1 || r.Left[0].Ref != "" || !document.IsProbe(r.Left[0].Mark) {
			t.Errorf("left %+v", r.Left)
		}
	})
}

func TestTheLifeOfKeys(t *testing.T) {
	for name, c := range map[string]struct {
		life, wait time.Duration
		want       probe.Verdict
	}{
		"not asked for": {2 * time.Hour, 0, probe.NotMeasured}, "as claimed": {2 * time.Hour, 50 * time.Minute, probe.Holds},
		"shorter": {10 * time.Minute, 50 * time.Minute, probe.Contradicted}, "asked beyond the claim": {90 * time.Minute, 100 * time.Minute, probe.Holds},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &books{keyLife: c.life}
				r := measured(t.Context(), b, "A", document.ItemKind, func(s *probe.Setup) { s.KeyWait = c.wait })
				if f := finding(r, probe.KeyLife); f.Verdict != c.want || finding(r, probe.Class).Verdict != probe.Holds {
					t.Errorf("%+v", r)
				}
				if left := b.standing(); len(left) > 0 {
					t.Errorf("%v stand", left)
				}
			})
		})
	}
}

// Cancelled at any moment, a probe takes back what it made and says what is not
// known.
func TestACancelledProbeTakesBackWhatItMade(t *testing.T) {
	for after := 100 * time.Millisecond; after < 12*time.Second; after += 700 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			b := &books{lag: 3 * time.Second}
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			r := measured(ctx, b, "C", document.InvoiceKind)
			if r.Stopped != "it was cancelled" {
				t.Fatalf("after %s: %+v", after, r)
			}
			told := func(x *record) bool {
				return slices.ContainsFunc(r.Left, func(l probe.Left) bool { return l.Mark == x.Mark })
			}
			for _, x := range b.standing() {
				if !told(x) {
					t.Errorf("after %s: %s of mark %s stands and is not told: %+v", after, x.Ref, x.Mark, r.Left)
				}
			}
		})
	}
}

// What cannot be voided stays, with all that it stands on, and is named.
func TestWhatCannotBeVoidedIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &books{lasting: document.CreditNoteKind}
		if probe.TakesBack(b, document.CreditNoteKind) || !probe.TakesBack(b, document.InvoiceKind) {
			t.Fatal("what can be taken back is not told apart")
		}
		r := measured(t.Context(), b, "C", document.CreditNoteKind)
		if r.Verdict != probe.Holds || len(r.Left) != len(b.records) || len(b.standing()) != len(b.records) || r.Left[0].Ref == "" {
			t.Errorf("%d records, left %+v", len(b.records), r.Left)
		}
	})
}

// Books that refuse what a probe makes are not measured, and nothing is claimed
// to be wrong.
func TestBooksThatRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &books{refuse: document.InvoiceKind}
		r := measured(t.Context(), b, "C", document.InvoiceKind)
		if r.Verdict != probe.NotMeasured || !strings.Contains(r.Stopped, "closed") || !strings.Contains(finding(r, probe.Class).Said, "closed") || len(b.standing()) > 0 {
			t.Errorf("%+v", r)
		}
	})
}

// Each request waits for its place in the quota, and that is no time of the books'.
func TestAProbeKeepsToTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		ctx := connector.WithGate(t.Context(), func(context.Context) error { n++; <-time.After(20 * time.Second); return nil })
		b := &books{}
		r := measured(ctx, b, "C", document.CustomerKind)
		if n != b.requests || r.Requests != n || r.Verdict != probe.Holds || !strings.Contains(finding(r, probe.LongestRequest).Said, "slowest after 100ms") {
			t.Errorf("%d passes, %d requests: %+v", n, b.requests, r)
		}
	})
}
