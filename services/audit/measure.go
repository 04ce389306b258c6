package audit

import (
	"context"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// measure counts the facts that were new, once they are stored.
func (a *Audit) measure(ctx context.Context, seen int, fresh []*trail.Fact, origin map[*trail.Fact]*stream.Record) {
	now := a.deps.Now()
	a.deps.Meter.Count(ctx, meter.Dedup, int64(seen-len(fresh)), "fact", "repeat")
	a.deps.Meter.Count(ctx, meter.Dedup, int64(len(fresh)), "fact", "new")
	for _, f := range fresh {
		in := stream.Extract(ctx, origin[f].Headers)
		a.deps.Meter.Count(in, meter.FactsRecorded, 1)
		a.deps.Meter.Took(in, meter.HopDuration, now.Sub(f.Time), "record", "none")
	}
}
