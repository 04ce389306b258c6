package idle

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestItWaitsUnlessTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, x := range []struct{ until, wait, took time.Duration }{{time.Hour, time.Minute, time.Minute}, {time.Minute, time.Hour, time.Minute}} {
			ctx, cancel := context.WithTimeout(t.Context(), x.until)
			began := time.Now()
			if whole := For(ctx, x.wait); whole != (x.wait < x.until) || time.Since(began) != x.took {
				t.Errorf("of %s with %s left: %v after %s", x.wait, x.until, whole, time.Since(began))
			}
			cancel()
		}
	})
}
