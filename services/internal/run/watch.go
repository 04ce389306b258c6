package run

import (
	"context"
	"time"
)

// checkEvery is how often readiness looks at the parts.
const checkEvery = 2 * time.Second

// Watch tells readiness whether the parts still answer, again and again until
// ctx ends, and changed when one went away or came back: why is "" then.
func (r *Runtime) Watch(ctx context.Context, s *Status, changed func(what, why string)) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	away := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for what, err := range r.Check(ctx) {
			if ctx.Err() != nil {
				return
			}
			why := ""
			if err != nil {
				why = err.Error()
			}
			s.noticed(what, why)
			if away[what] != (err != nil) {
				away[what] = err != nil
				changed(what, why)
			}
		}
	}
}

// noticed: without its database a service can take nothing, without the other
// parts it can.
func (s *Status) noticed(what, why string) {
	if what == "database" {
		s.Wait(what, why)
		return
	}
	s.Degraded(what, why)
}
