package reconciler_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

// A tenant is shown the reports of its own entities, and not those of another's.
func TestLastReportIsTheTenants(t *testing.T) {
	w := newWorld(t)
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("tieout-tenant", "t"))
	for _, entity := range []string{"acme", "idle"} {
		if _, err := w.server.Reconcile(t.Context(), &controlv1.ReconcileRequest{Entity: entity}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ asked, shown string }{{"acme", "acme"}, {"", "acme"}, {"idle", ""}, {"nobody", ""}} {
		res, err := w.server.LastReport(ctx, &controlv1.LastReportRequest{Entity: c.asked})
		if c.shown == "" {
			if status.Code(err) != codes.NotFound {
				t.Errorf("of %q: %v, %v", c.asked, res, err)
			}
			continue
		}
		if err != nil || res.GetEntity() != c.shown {
			t.Errorf("of %q: %v, %v; want %q", c.asked, res, err, c.shown)
		}
	}
}
