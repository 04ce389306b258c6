package reconciler

import (
	"context"
	"time"

	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
)

const (
	// busyTries bounds how often a vendor is asked again that asks for a rest, and
	// awayTries one that does not answer for a moment.
	busyTries = 20
	awayTries = 4
)

// patiently reads something of a vendor, and again where it asks for a rest or
// does not answer for a moment: that others read from the same limits is no
// reason to give up.
func patiently[T any](ctx context.Context, r *Reconciler, read func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		out, err := read()
		var wait time.Duration
		switch f := fault.As(err); {
		case err == nil:
			return out, nil
		case f.Kind == fault.RateLimited && try < busyTries:
			wait = max(f.RetryAfter, 10*time.Millisecond)
		case f.Kind == fault.Transient && try < awayTries:
			wait = r.deps.LookAgain << try
		default:
			return out, err
		}
		r.deps.Log.InfoContext(ctx, "a vendor is asked again", "in", wait, "error", err)
		if !idle.For(ctx, wait) {
			return out, ctx.Err()
		}
	}
}
