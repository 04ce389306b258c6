package probe

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
)

// Who acts on a contradiction: where no setting says what was measured to be
// false, the connector itself is wrong.
const (
	fromOperator = "operator"
	fromTieout   = "tieout"
)

// judge holds what was seen against what is claimed.
func (r *run) judge() {
	rep := r.report
	rep.Findings = []Finding{r.class(), r.searchLag(), r.longestRequest()}
	if rep.Claimed == connector.KeyRemembered {
		rep.Findings = append(rep.Findings, r.keyLife())
	}
	rep.Verdict = rep.Findings[0].Verdict // what else holds does not make up for a class that is not known
	for _, f := range rep.Findings {
		if f.Verdict == Contradicted {
			rep.Verdict = Contradicted
		}
	}
}

// class is told by what a repeat did, and where there are two by whether a search
// shows them.
func (r *run) class() Finding {
	f := Finding{Claim: Class, Claimed: string(r.report.Claimed), Verdict: NotMeasured, Said: r.report.Stopped}
	class, said := r.classSeen()
	if class == "" {
		f.Said = cmp.Or(f.Said, said, "it ended before a call was sent twice")
		return f
	}
	r.report.Measured, f.Measured, f.Said, f.Samples = class, string(class), said, 1
	switch { // A is the strongest, and the letters are in order
	case class > r.report.Claimed:
		f.Verdict = Contradicted
		f.Who, f.Next = fromTieout, "the class that the connector claims for "+string(r.kind)+" is wrong for these books, and no setting changes it; leave the connection paused and report this to Tieout"
	case class < r.report.Claimed:
		f.Verdict = Stronger
		f.Said += ". Nothing relies on it"
	default:
		f.Verdict = Holds
	}
	return f
}

func (r *run) classSeen() (class connector.Ambiguity, said string) {
	searched, shown := r.searched()
	switch {
	case r.report.Claimed == connector.Searchable && r.unshown():
		return connector.Opaque, "no search showed what was made"
	case r.kind == document.MarkerKind && r.twice == same: // one record whatever is sent: only reading it tells what became of a write
		return shown, "the same marker sent twice changed nothing, and reading the record showed it"
	case r.twice == same && r.other == another: // for how long keys are remembered nobody claims
		return shown, "a second one of the same name under another key was taken: there are two" + searched
	case r.twice == same && r.other == refused:
		return connector.KeyRemembered, "the same call sent twice made one record, and a second one of its name under another key was refused"
	case r.twice == same && r.other == untried:
		return connector.KeyRemembered, "the same call sent twice made one record and was answered with it twice"
	case r.twice == refused && r.other != another:
		return connector.UniqueReference, "the same call sent twice was refused the second time, and what stands can be read"
	case r.twice == another || r.other == another:
		return shown, "the same call sent twice made two records" + searched
	case r.twice == unclear || r.other == unclear:
		return "", "the answer to the repeat was lost: whether it made a second record is not known; probe again"
	}
	return "", ""
}

// searched tells C from D.
func (r *run) searched() (said string, class connector.Ambiguity) {
	for _, x := range r.shots {
		if x.kind == r.kind && !x.shown.IsZero() {
			return ", and a search shows them", connector.Searchable
		}
	}
	return ", and no search showed them", connector.Opaque
}

// unshown: what is there was looked for in time, and never found.
func (r *run) unshown() bool {
	if _, class := r.searched(); class == connector.Searchable {
		return false
	}
	for _, x := range r.shots {
		if x.kind == r.kind && r.late(x) {
			return true
		}
	}
	return false
}

// searchLag is how long what was answered was missing from searches.
func (r *run) searchLag() Finding {
	f := Finding{Claim: SearchLag, Claimed: r.Claims.SearchLag.String(), Verdict: NotMeasured}
	var missing, shown time.Duration
	never := 0
	for _, x := range r.shots {
		if x.lost || x.missing.IsZero() && x.shown.IsZero() {
			continue
		}
		f.Samples++
		if !x.missing.IsZero() {
			missing = max(missing, x.missing.Sub(x.answered))
		}
		if x.shown.IsZero() {
			never++
			continue
		}
		shown = max(shown, x.shown.Sub(x.answered))
	}
	switch {
	case f.Samples == 0:
		f.Said = cmp.Or(r.report.Stopped, "nothing was looked for")
		return f
	case r.report.Claimed == connector.Opaque:
		f.Said = "nothing is searched at books of class D"
		return f
	case never == f.Samples: // more patience would not help
		f.Verdict = Contradicted
		f.Who, f.Next = fromTieout, "what the connector claims to be found by a search is not; leave the connection paused and report this to Tieout"
	case missing > r.Claims.SearchLag:
		f.Verdict = Contradicted
		f.Who, f.Next = fromOperator, "set "+SearchLag+" of the connection to at least "+suggest(missing)+", restart the services that have it, and probe again"
	default:
		f.Verdict = Holds
	}
	f.Measured = figure(missing, shown, never < f.Samples && f.Verdict == Holds)
	f.Said = fmt.Sprintf("%d looked for as the writer does", f.Samples)
	if never < f.Samples {
		f.Said += fmt.Sprintf(": the last was shown %s after its answer", shown.Round(time.Millisecond))
	}
	if missing > 0 {
		f.Said += fmt.Sprintf(", and one was still missing %s after it", missing.Round(time.Millisecond))
	}
	if never > 0 {
		f.Said += fmt.Sprintf("; %d never were", never)
	}
	return f
}

// longestRequest is how late the effect of a lost request was seen. How long
// requests took that were answered is told: their effect may have been earlier.
func (r *run) longestRequest() Finding {
	f := Finding{Claim: LongestRequest, Claimed: r.Claims.LongestRequest.String(), Verdict: NotMeasured}
	var answered, missing, seen time.Duration
	lost, never := 0, 0
	for _, x := range r.shots {
		if !x.lost {
			answered = max(answered, x.answered.Sub(x.sent))
			continue
		}
		lost++
		if x.posting == nil {
			never++
			continue
		}
		if !x.missing.IsZero() {
			missing = max(missing, x.missing.Sub(x.sent))
		}
		if !x.shown.IsZero() {
			seen = max(seen, x.shown.Sub(x.sent))
		}
	}
	f.Samples = lost
	f.Said = "no request was answered"
	if n := len(r.shots) - lost; n > 0 {
		f.Said = fmt.Sprintf("%d requests were answered, the slowest after %s", n, answered.Round(time.Millisecond))
	}
	switch {
	case lost == 0:
		f.Said = strings.TrimPrefix(r.report.Stopped+"; ", "; ") + f.Said + "; no answer was lost"
		return f
	case missing > r.Claims.LongestRequest+r.Claims.SearchLag: // the search may have lagged, but no more than it may
		f.Verdict = Contradicted
		f.Who, f.Next = fromOperator, "set "+LongestRequest+" of the connection to at least "+suggest(missing-r.Claims.SearchLag)+", restart the services that have it, and probe again"
	case lost > never:
		f.Verdict = Holds
	}
	if lost > never {
		f.Measured = figure(missing, seen, f.Verdict == Holds)
	}
	switch {
	case missing > 0 && lost > never:
		f.Said += fmt.Sprintf("; of %d whose answers were lost one was still missing %s after it was sent, and seen within %s", lost, missing.Round(time.Millisecond), seen.Round(time.Millisecond))
	case lost > never:
		f.Said += fmt.Sprintf("; of %d whose answers were lost the last was seen within %s", lost, seen.Round(time.Millisecond))
	}
	if never > 0 {
		f.Said += fmt.Sprintf("; %d of %d whose answers were lost never had an effect", never, lost)
	}
	f.Said += ". Measured at least: nothing measured proves that none takes longer"
	return f
}

// keyLife: a key that is forgotten sooner than claimed makes a second record.
func (r *run) keyLife() Finding {
	f := Finding{Claim: KeyLife, Claimed: r.Claims.KeyLife.String(), Verdict: NotMeasured}
	switch {
	case r.later == untried || r.later == unclear:
		f.Said = "the same call was not sent again later: say how long to wait with --key-wait"
	case r.later == same:
		f.Verdict, f.Measured, f.Samples = Holds, "≥ "+r.KeyWait.String(), 1
		f.Said = "the key was still remembered after " + r.KeyWait.String()
	case r.KeyWait <= r.Claims.KeyLife:
		f.Verdict, f.Measured, f.Samples = Contradicted, "< "+r.KeyWait.String(), 1
		f.Said = "after " + r.KeyWait.String() + " the key was forgotten: the same call made another record or was refused"
		f.Who, f.Next = fromTieout, "these books forget keys sooner than the connector claims; leave the connection paused and report this to Tieout"
	default:
		f.Verdict, f.Measured, f.Samples = Holds, "< "+r.KeyWait.String(), 1
		f.Said = "the key was forgotten after " + r.KeyWait.String() + ", which is longer than claimed"
	}
	return f
}

// figure is what is known of a duration: it lies between when a look did not show
// the effect and when one did, or where that is too long it is more than the first.
func figure(missing, seen time.Duration, enough bool) string {
	if enough {
		return missing.Round(time.Millisecond).String() + " to " + seen.Round(time.Millisecond).String()
	}
	return "> " + missing.Round(time.Millisecond).String()
}

// suggest is a setting with room: twice what was seen, in whole seconds.
func suggest(seen time.Duration) string {
	return (2*seen + time.Second - 1).Truncate(time.Second).String()
}
