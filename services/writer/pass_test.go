package writer

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/idle"
)

var tenASecond = connector.Claims{Limits: []connector.Limit{{Requests: 10, Window: time.Second}}, Guard: 5 * time.Second}

func newPasser(t *testing.T) *owner {
	t.Helper()
	return &owner{w: &Writer{deps: Deps{Now: time.Now}}, limit: newLimits(tenASecond, writerShare)}
}

// Eight looks that each take a second request, as after a refused token, leave
// within our share: the second ones wait for it.
func TestRepeatsWaitForTheQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newPasser(t)
		decided := time.Now()
		n, _ := o.limit.all.Available(decided)
		o.limit.all.Spend(decided, n)
		left := make(chan time.Time, 2*n)
		for range n {
			ctx := o.pass(decided).on(t.Context())
			o.calls.Go(func() {
				for range 2 {
					if err := connector.CountRequest(ctx); err != nil {
						t.Error(err)
					}
					left <- time.Now()
				}
			})
		}
		o.calls.Wait()
		close(left)
		var at []time.Time
		for x := range left {
			at = append(at, x)
		}
		slices.SortFunc(at, time.Time.Compare)
		for i := n; i < len(at); i++ {
			if d := at[i].Sub(at[i-n]); d < time.Second {
				t.Fatalf("%d requests left within %s", n+1, d)
			}
		}
		if !at[n-1].Equal(decided) {
			t.Errorf("what the turn decided waited %s", at[n-1].Sub(decided))
		}
	})
}

// A call whose token is long in coming leaves within its guard or not at all.
func TestACallThatIsHeldUpDoesNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for held, leaves := range map[time.Duration]bool{0: true, 3 * time.Second: true, 6 * time.Second: false} {
			o := newPasser(t)
			p := o.pass(time.Now())
			p.guard = tenASecond.Guard
			o.limit.all.Spend(time.Now(), 1)
			idle.For(t.Context(), held)
			if err := connector.CountRequest(p.on(context.Background())); (err == nil) != leaves || p.refused == leaves {
				t.Errorf("held up for %s: %v, refused %t", held, err, p.refused)
			}
		}
	})
}
