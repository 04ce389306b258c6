package writer

import (
	"context"
	"errors"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/quota"
	"tieout.dev/services/writer/protocol"
)

// pass lets the requests of one call or look leave, one after the other. The
// turn spent the first when it decided; it counts from when it really leaves. Any
// further one, such as one page more or a repeat with another token, takes the
// next place in the quota and waits for it.
type pass struct {
	quota   *quota.Log
	now     func() time.Time
	decided time.Time     // when the first was spent; zero: it is not, or has left
	guard   time.Duration // how long after that it may leave at all; 0: ever
	refused bool          // the first did not leave
}

var errTooLate = errors.New("it was to leave sooner or not at all")

func (o *owner) pass(decided time.Time) *pass {
	return &pass{quota: o.limit.all, now: o.w.deps.Now, decided: decided}
}

// extra has requests that no turn decided wait for places in the quota.
func (o *owner) extra(ctx context.Context) context.Context { return o.pass(time.Time{}).on(ctx) }

// extra is the owner's; where another replica writes, that one knows what is left.
func (w *Writer) extra(ctx context.Context, account string) context.Context {
	if o := w.owner(account); o != nil {
		return o.extra(ctx)
	}
	return ctx
}

func (p *pass) on(ctx context.Context) context.Context { return connector.WithGate(ctx, p.next) }

// next waits until the next request may leave.
func (p *pass) next(ctx context.Context) error {
	if p.decided.IsZero() {
		return p.book(ctx)
	}
	decided := p.decided
	p.decided = time.Time{}
	var err error
	if !p.quota.Leave(decided, p.now()) { // a token was long in coming
		err = p.book(ctx)
	}
	if err == nil && !protocol.MayLeave(p.guard, p.now().Sub(decided)) {
		err = errTooLate
	}
	p.refused = err != nil
	return err
}

func (p *pass) book(ctx context.Context) error {
	now := p.now()
	idle.For(ctx, p.quota.Book(now).Sub(now))
	return ctx.Err()
}
