package rig

import (
	"context"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/crash"
)

// nudgeFor bounds one nudge: whoever is called may be dead. A reconciliation
// reads both sides whole within its small share of their limits.
const nudgeFor = 60 * time.Second

// Nudge implements chaos.Processes. That a call fails is no failure here: the
// process that was to answer it has died, which was the purpose.
func (r *Rig) Nudge(ctx context.Context, service string, p crash.Point) error {
	ctx, cancel := context.WithTimeout(ctx, nudgeFor)
	defer cancel()
	switch p {
	case crash.WriterTargetTaken, crash.WriterReferencesRead, crash.StreamAssigned, crash.StreamPositioned, crash.WriterDraining:
		return r.turnOver(service)
	case crash.WriterTokenStored:
		return r.World.fault(ctx, "quickbooks", `{"match":{"app":"app"},"effect":"expire_token","times":1}`)
	case crash.WriterActionStored:
		_, _ = controlv1.NewWriterServiceClient(r.conn).Act(ctx, &controlv1.ActRequest{All: true, Action: "retry", Actor: "chaos", Reason: "tried by the chaos run"})
	case crash.IngestPushReceived, crash.IngestPushAdmitted:
		r.World.push(ctx)
	case crash.IngestBackfillPage, crash.IngestBackfillListed:
		_, _ = controlv1.NewIngestServiceClient(r.conn).StartBackfill(ctx, &controlv1.StartBackfillRequest{
			Connection: "crm", Type: "deal", From: timestamppb.New(time.Now().Add(-24 * time.Hour)), Actor: "chaos",
		})
	case crash.ReconcilerRunBegun, crash.ReconcilerListsRead, crash.ReconcilerCompared, crash.ReconcilerRunEnded:
		r.reconcile(ctx)
	case crash.ReconcilerRechecked, crash.ReconcilerRepairStored:
		return r.repair(ctx)
	}
	return nil
}

// turnOver has every replica end in good order, one that takes over included.
func (r *Rig) turnOver(service string) error {
	for n := range r.lab.Replicas(service) {
		if err := r.lab.Signal(service, n+1, syscall.SIGTERM); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) reconcile(ctx context.Context) {
	_, _ = controlv1.NewReconcilerServiceClient(r.conn).Reconcile(ctx, &controlv1.ReconcileRequest{})
}

// repair has the reconciler find a deal that nobody has read yet: its webhook
// is lost, and the search that the poll asks is behind.
func (r *Rig) repair(ctx context.Context) error {
	if err := r.World.hide(ctx, true); err != nil {
		return err
	}
	defer func() { _ = r.World.hide(context.WithoutCancel(ctx), false) }() // the next nudge, or the calm after the run, says it again
	r.World.win(ctx)
	r.reconcile(ctx)
	_, _ = controlv1.NewReconcilerServiceClient(r.conn).Repair(ctx, &controlv1.RepairRequest{All: true, Action: "recheck", Actor: "chaos", Reason: "tried by the chaos run"})
	return nil
}
