//go:build integration

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/event"
)

// window is how long the collector of these tests waits before it judges: longer
// than a busy machine takes from a webhook's span to those of its sync.
const window = 10 * time.Second

// wholeWay is every hop of a sync that reached the books.
var wholeWay = []string{"ingest admit", "ingest create", "transform process", "transform create", "writer process", "writer post", "audit record"}

// tracedLab has a collector as deployed, that keeps nothing of syncs that are well.
func tracedLab(t *testing.T) (*outside, *lab.Lab, *deals) {
	t.Helper()
	file, err := filepath.Abs("../../../deploy/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o, l := onParts(t, func(o *lab.Options) { o.Collector, o.Window, o.Percent = file, window.String(), "0" })
	return o, l, newDeals(o, 1)
}

// checkTraces: every sync that was refused or late is kept, with all its spans, and
// each is found by what a person knows of it.
func (o *outside) checkTraces(ctx context.Context, l *lab.Lab, d *deals) {
	o.t.Helper()
	d.win("well")
	o.settle(1)
	well := o.live()["well"][0].DocNumber
	o.refused(ctx)
	late := o.late(ctx, l, d)
	// By now the window of the one that was well is long over.
	if traces := o.traces(ctx, "writer", map[string]string{"accounting.invoice.number": well}); len(traces) != 0 {
		o.t.Errorf("of a sync that is well nothing should be kept, and there is %v", traces)
	}
	o.t.Logf("kept: the refused one and invoice %s, whose writer was away for longer than the window", late)
}

// refused: a record that is parked is found by the outcome and by the exception,
// and the trace says on which hop and why.
func (o *outside) refused(ctx context.Context) {
	o.t.Helper()
	company, err := o.portal.Company(ctx, map[string]string{"name": "Refused Ltd"})
	if err != nil {
		o.t.Fatal(err)
	}
	deal, err := o.portal.Deal(ctx, crm.Deal{Name: "refused", Company: company, Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "1", Price: "10.00", DiscountPercent: "120"}}})
	if err == nil {
		err = o.portal.Move(ctx, deal, crm.Won)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	var open struct {
		Items []struct {
			ID, Kind, Customer string
			TraceID            string `json:"trace_id"`
		}
	}
	o.until("an exception", func() bool {
		return json.Unmarshal([]byte(o.run("exceptions", "list", "-o", "json")), &open) == nil && len(open.Items) > 0
	})
	e := open.Items[0]
	found := o.kept(ctx, "writer", map[string]string{"exception.id": e.ID}, "ingest admit", "transform process", "writer process", "writer park")
	if found.TraceID != e.TraceID {
		o.t.Errorf("the exception names trace %s and is in %s", e.TraceID, found.TraceID)
	}
	park := found.span("writer", "park")
	if park["sync.outcome"] != "rejected" || park["exception.kind"] != e.Kind || park["exception.owner"] == "" || park["otel.status_code"] != "ERROR" {
		o.t.Errorf("the hop that parked it says %v, the exception is %+v", park, e)
	}
	if hop := found.span("transform", "process "+event.Realtime.Topic()); hop["sync.outcome"] != "rejected" || hop["error.type"] != e.Kind || hop["error.field"] == "" {
		o.t.Errorf("the hop that refused it says %v", hop)
	}
	for _, tags := range []map[string]string{{"sync.outcome": "rejected"}, {"crm.customer.id": e.Customer}} {
		if o.kept(ctx, "writer", tags, "writer park").TraceID != e.TraceID {
			o.t.Errorf("by %v another trace is found first", tags)
		}
	}
}

// late: the writer is away for longer than the window. What it then does is in the
// same trace as what was before, and nothing of that was thrown away.
func (o *outside) late(ctx context.Context, l *lab.Lab, d *deals) (number string) {
	o.t.Helper()
	if err := l.Hold("writer", 1); err != nil {
		o.t.Fatal(err)
	}
	d.win("late")
	select {
	case <-ctx.Done():
	case <-time.After(3 * window):
	}
	if err := l.Resume(ctx, "writer", 1); err != nil {
		o.t.Fatal(err)
	}
	o.until("the late invoice", func() bool { return len(o.live()["late"]) == 1 })
	number = o.live()["late"][0].DocNumber
	o.kept(ctx, "writer", map[string]string{"accounting.invoice.number": number}, wholeWay...)
	return number
}

// kept waits for a trace that is found by tags and has all these spans.
func (o *outside) kept(ctx context.Context, service string, tags map[string]string, want ...string) jaegerTrace {
	o.t.Helper()
	missing := []string{"no trace"}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(45 * time.Second); time.Now().Before(deadline); <-tick.C {
		for _, found := range o.traces(ctx, service, tags) {
			if missing = found.lacks(want...); len(missing) == 0 {
				return found
			}
		}
	}
	o.t.Fatalf("the trace by %v lacks %v", tags, missing)
	return jaegerTrace{}
}

// traces asks Jaeger's HTTP API, as its page does.
func (o *outside) traces(ctx context.Context, service string, tags map[string]string) []jaegerTrace {
	o.t.Helper()
	asked, err := json.Marshal(tags)
	if err != nil {
		o.t.Fatal(err)
	}
	query := url.Values{"service": {service}, "lookback": {"2h"}, "limit": {"20"}, "tags": {string(asked)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.file.Jaeger+"/api/traces?"+query.Encode(), http.NoBody)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var found struct{ Data []jaegerTrace }
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		o.t.Fatal(err)
	}
	return found.Data
}

// span returns the tags of a span.
func (j jaegerTrace) span(service, name string) map[string]string {
	out := map[string]string{}
	for _, s := range j.Spans {
		if s.OperationName != name || j.Processes[s.ProcessID].ServiceName != service {
			continue
		}
		for _, t := range s.Tags {
			out[t.Key] = fmt.Sprint(t.Value)
		}
	}
	return out
}
