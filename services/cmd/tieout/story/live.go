package story

import (
	"fmt"
	"strings"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
)

// plainEvery is how often a line is printed where there is no terminal.
const plainEvery = time.Second

// live shows what moves: a table that is drawn over on a terminal, a line a
// second elsewhere, and only when something moved.
type live struct {
	drawn int // lines of the table on the screen
	last  string
	at    time.Time
}

// moving shows how far every route is.
func (t *Teller) moving(in *controlv1.IngestStatusResponse, w *controlv1.WriterStatusResponse) {
	since := time.Since(t.started).Round(100 * time.Millisecond)
	open := in.GetExceptions() + w.GetExceptions()
	if t.Live {
		t.draw(tableOf(since, in, open))
		return
	}
	line := lineOf(in, open)
	if line == t.live.last || time.Since(t.live.at) < plainEvery {
		return
	}
	t.live.last, t.live.at = line, time.Now()
	fmt.Fprintf(t.Out, "  %6s  %s\n", since, line)
}

func lineOf(in *controlv1.IngestStatusResponse, open int64) string {
	var parts []string
	for _, r := range in.GetRoutes() {
		parts = append(parts, fmt.Sprintf("%s %d of %d", r.GetRoute(), r.GetAdmitted()-r.GetOpen(), r.GetAdmitted()))
	}
	if open > 0 {
		parts = append(parts, fmt.Sprintf("%d for a person", open))
	}
	return strings.Join(parts, " · ")
}

// tableOf is a row a route: as many columns as a clerk would ask for.
func tableOf(since time.Duration, in *controlv1.IngestStatusResponse, open int64) []string {
	out := []string{fmt.Sprintf("  %-24s %9s %9s %9s %9s %9s", "after "+since.String(), "admitted", "posted", "unchanged", "moving", "parked")}
	for _, r := range in.GetRoutes() {
		out = append(out, fmt.Sprintf("  %-24s %9d %9d %9d %9d %9d", r.GetRoute(), r.GetAdmitted(), r.GetPosted(), r.GetUnchanged(), r.GetOpen()-r.GetParked(), r.GetParked()))
	}
	return append(out, fmt.Sprintf("  %-24s %9d", "in front of a person", open))
}

// draw writes the table over the one before.
func (t *Teller) draw(lines []string) {
	text := strings.Join(lines[1:], "\n")
	if text == t.live.last && time.Since(t.live.at) < plainEvery {
		return
	}
	if t.live.drawn > 0 {
		fmt.Fprintf(t.Out, "\033[%dA", t.live.drawn)
	}
	for _, l := range lines {
		fmt.Fprintf(t.Out, "\033[K%s\n", l)
	}
	t.live.drawn, t.live.last, t.live.at = len(lines), text, time.Now()
}

// endMoving leaves the table as it is: what is said next comes below it.
func (t *Teller) endMoving() { t.live = live{} }
