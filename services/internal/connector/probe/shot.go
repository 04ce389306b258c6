package probe

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
)

// shot is a document that the books were asked to make, once.
type shot struct {
	kind           document.Kind
	mark           string
	call           connector.Call
	fields         map[string]string
	sent, answered time.Time
	lost           bool               // the answer was
	posting        *connector.Posting // as it was answered, or found
	// missing is when the last search left that did not show it, shown when the
	// first was answered that did.
	missing, shown time.Time
}

// repeat is what became of a record that was asked for once more.
type repeat string

const (
	untried repeat = ""
	same    repeat = "same"    // the record that there was is answered
	refused repeat = "refused" // as a duplicate
	another repeat = "another" // there are two
	unclear repeat = "unclear"
)

func (r *run) key() string {
	r.n++
	return event.Digest("probe/v1", r.Run, fmt.Sprint(r.n))[:32]
}

// write asks for the next document of a kind and looks until it is shown. With a
// patience it leaves that long after the request did.
func (r *run) write(ctx context.Context, kind document.Kind, patience time.Duration) (*shot, error) {
	d, err := r.draft(ctx, kind)
	if err != nil {
		return nil, err
	}
	e, err := r.Target.Encode(d)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	x := &shot{kind: kind, mark: d.Mark, fields: e.Fields, call: connector.Call{
		Key: r.key(), Items: []connector.Item{{OpID: d.Mark, Kind: kind, Effect: d.Effect, Mark: d.Mark, Body: e.Body}},
	}}
	out := r.put(ctx, x.call, patience, x)
	switch fault.KindOf(out.Err) {
	case fault.OK:
		x.posting = out.Posting
	case fault.InDoubt:
		x.lost = true
	default:
		return nil, fmt.Errorf("the books refuse a %s: %w", kind, out.Err)
	}
	r.shots = append(r.shots, x)
	return x, r.watch(ctx, x)
}

// again sends a call whose record is there, and says what became of it.
func (r *run) again(ctx context.Context, first *shot, call connector.Call) (repeat, error) {
	out := r.put(ctx, call, 0, &shot{})
	switch kind := fault.KindOf(out.Err); {
	case kind == fault.OK && out.Posting.Ref == first.posting.Ref:
		return same, nil
	case kind == fault.OK:
		r.extra = append(r.extra, *out.Posting)
		return another, nil
	case kind == fault.Conflict:
		return refused, nil
	case kind == fault.InDoubt:
		return unclear, ctx.Err()
	}
	return unclear, fmt.Errorf("a %s that is there was sent once more: %w", r.kind, out.Err)
}

// mostTries and mostWait bound how often, and how long after each refusal, a call
// is sent that the books had no time for.
const (
	mostTries = 4
	mostWait  = time.Minute
)

// put sends a call of one item, again only where the answer says that it was not
// looked at, and notes in x when it left and when it was answered.
func (r *run) put(ctx context.Context, call connector.Call, patience time.Duration, x *shot) connector.Outcome {
	for try := 1; ; try++ {
		out := r.putOnce(ctx, call, patience, x)
		f := fault.As(out.Err)
		busy := f != nil && (f.Kind == fault.RateLimited || f.Kind == fault.Transient)
		if !busy || try == mostTries || !idle.For(ctx, min(max(f.RetryAfter, time.Second), mostWait)) {
			return out
		}
	}
}

func (r *run) putOnce(ctx context.Context, call connector.Call, patience time.Duration, x *shot) connector.Outcome {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	x.sent = time.Time{}
	out := r.Target.Put(r.stamped(ctx, &x.sent, func() {
		if patience > 0 {
			time.AfterFunc(patience, leave)
		}
	}), call)
	x.answered = r.Now()
	if x.sent.IsZero() {
		x.sent = x.answered
	}
	if len(out) != 1 {
		return connector.Outcome{Err: fault.New(fault.Internal, "%d outcomes for one item", len(out))}
	}
	return out[0]
}

// stamped notes when the first request really leaves: it may wait for its place in
// the quota, and that is no time of the books'.
func (r *run) stamped(outer context.Context, at *time.Time, left func()) context.Context {
	ctx, _ := connector.WithMeter(connector.WithGate(outer, func(context.Context) error { // counted once, by the outer one
		if err := connector.CountRequest(outer); err != nil {
			return err
		}
		if at.IsZero() {
			*at = r.Now()
			left()
		}
		return nil
	}))
	return ctx
}

// leastPatience is how long is looked for what is claimed to be shown at once.
const leastPatience = 2 * time.Second

// due is when a shot has to be shown at the latest, if what is claimed is true.
func (r *run) due(x *shot) time.Time {
	if x.lost {
		return x.sent.Add(r.Claims.LongestRequest + r.Claims.SearchLag)
	}
	return x.answered.Add(r.Claims.SearchLag)
}

// late reports a proof: a search that left after the shot was due did not show it,
// and it is there.
func (r *run) late(x *shot) bool {
	if r.report.Claimed == connector.Opaque && !x.lost {
		return false // nobody searches there
	}
	return x.posting != nil && x.missing.After(r.due(x))
}

// overdue reports whether any shot was late.
func (r *run) overdue() bool {
	for _, x := range r.shots {
		if r.late(x) {
			return true
		}
	}
	return false
}

// watch looks until the shot is shown, past the moment when it is due: how much
// too late it comes is what a person needs to know. It asks ever more seldom.
func (r *run) watch(ctx context.Context, x *shot) error {
	due := r.due(x)
	claim := due.Sub(x.sent)
	end := due.Add(max(claim, leastPatience))
	for step := max(claim/100, 20*time.Millisecond); ; step = min(step*3/2, max(claim/10, 200*time.Millisecond)) {
		var asked time.Time
		found, err := r.look(r.stamped(ctx, &asked, func() {}), x)
		now := r.Now()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && len(found) > 0:
			x.shown = now
			if x.posting == nil {
				x.posting = &found[0]
			}
			return nil
		case err == nil:
			x.missing = asked
		case fault.KindOf(err) == fault.Rejected: // it cannot be searched
			return nil
		case fault.KindOf(err) == fault.Unauthorized:
			return err
		}
		if now.After(end) {
			return err
		}
		next := now.Add(step)
		if now.Before(due) && next.After(due) { // the first look that can prove something
			next = due.Add(time.Millisecond)
		}
		if !idle.For(ctx, next.Sub(now)) {
			return ctx.Err()
		}
	}
}

// look asks as the writer does when an answer was lost.
func (r *run) look(ctx context.Context, x *shot) (found []connector.Posting, err error) {
	if x.kind == document.MarkerKind {
		p, err := r.Target.Get(ctx, x.kind, r.links[x.kind])
		if err != nil || !shows(p.Fields, x.fields) {
			return nil, err
		}
		return []connector.Posting{p}, nil
	}
	p := connector.Probe{Kind: x.kind, Mark: x.mark, Name: x.fields["name"], SKU: x.fields["sku"], Since: r.began.Add(-5 * time.Minute)}
	if c := x.fields["customer"]; c != "" {
		p.Customer, _ = event.ParseRef(c)
	}
	all, err := r.Target.Find(ctx, p)
	for i := range all {
		if all[i].Mark == x.mark {
			found = append(found, all[i])
		}
	}
	return found, err
}

func shows(got, asked map[string]string) bool {
	for name, v := range asked {
		if got[name] != v {
			return false
		}
	}
	return true
}
