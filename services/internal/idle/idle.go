// Package idle lets time pass.
package idle

import (
	"context"
	"time"
)

// For waits as long as it is told, and reports whether ctx let it.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
