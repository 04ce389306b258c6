package writer

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/idle"
)

// refreshLook is how often a replica looks whether the other one is done.
const refreshLook = 100 * time.Millisecond

// alone waits until no other replica refreshes this connection's token, and
// reads what is stored by then. Done means that the other one has refreshed it:
// a vendor that rotates refresh tokens takes each of them once. A refresh that
// outlives the lease is repeated with a token that the vendor may refuse; the
// stored one is read again then.
func (t *Tokens) alone(ctx context.Context) (done bool, release func(), err error) {
	name, db := "refresh/"+t.connection, t.vault.db
	for {
		held, err := db.Lease(ctx, name, t.vault.owner)
		if err != nil {
			return false, nil, fmt.Errorf("refresh the token of %s: %w", t.connection, err)
		}
		if held {
			break
		}
		idle.For(ctx, refreshLook)
		if ctx.Err() != nil {
			return false, nil, fmt.Errorf("wait for the other replica to refresh the token of %s: %w", t.connection, ctx.Err())
		}
	}
	release = func() { _ = db.Release(context.WithoutCancel(ctx), name, t.vault.owner) }
	before := t.current.Access
	t.loaded = false
	if err := t.load(ctx); err != nil {
		release()
		return false, nil, err
	}
	if t.current.Access != before {
		release()
		return true, nil, nil
	}
	return false, release, nil
}
