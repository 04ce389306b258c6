package transform

import (
	"context"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/stream"
)

// measure counts what a batch became, once it is stored.
func (t *Transform) measure(ctx context.Context, all []rendered) {
	now := t.deps.Now()
	for i := range all {
		x := &all[i]
		if x.rendering == nil {
			t.deps.Meter.Count(ctx, meter.Renderings, 1, x.record.Header(stream.HeaderClass), "unreadable")
			continue
		}
		class, in := string(x.rendering.Class), stream.Extract(ctx, x.record.Headers)
		t.deps.Meter.Count(in, meter.Renderings, 1, class, string(x.rendering.Verdict))
		t.deps.Meter.Took(in, meter.HopDuration, now.Sub(x.record.Time), "render", class)
	}
}
