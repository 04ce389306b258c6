package lab

import "tieout.dev/services/internal/event"

// catchUp is what ingest reads again since it was set back: all that is asked for by the
// end of a poll that began after that. A writer that was set back as well waits for it.
type catchUp struct {
	since  micros // 0: it was never set back
	listed bool
	asked  map[event.Ref]bool
}

// catchUpMost bounds how long is waited for it.
const catchUpMost = 15 * minute

func (c *catchUp) begin(now micros) { *c = catchUp{since: now, asked: map[event.Ref]bool{}} }

// ask notes that a record is asked for.
func (c *catchUp) ask(ref event.Ref) {
	if c.since > 0 && !c.listed {
		c.asked[ref] = true
	}
}

// read notes that what a read brought was decided.
func (c *catchUp) read(ref event.Ref) { delete(c.asked, ref) }

// up reports whether there is more to be read.
func (c *catchUp) up(now micros) bool {
	return c.since > 0 && now-c.since < catchUpMost && (!c.listed || len(c.asked) > 0)
}
