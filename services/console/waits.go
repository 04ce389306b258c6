package console

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
)

// wait is why a record does not go on.
type wait struct {
	Exception *controlv1.Exception // nil: it waits by itself
	Behind    bool                 // the exception is another record's, before it in its lane
	Why       string
	For       string // records that it depends on
	Until     *timestamppb.Timestamp
}

// differs are the record's differences, as the newest reconciliations found them.
func (c *Console) differs(ctx context.Context, p *recordPage, ref string) error {
	if ref == "" {
		return nil
	}
	res, err := c.reconciler.ListBreaks(ctx, &controlv1.ListBreaksRequest{Ref: ref})
	if err != nil {
		return err
	}
	p.Breaks = res.GetItems()
	return nil
}

// waits are the open exceptions of the record, then what holds its lanes.
func (c *Console) waits(ctx context.Context, p *recordPage, ref string) error {
	if ref == "" {
		return nil
	}
	own, _, err := c.list(ctx, &controlv1.ListExceptionsRequest{Subject: ref, Limit: listMost})
	if err != nil {
		return err
	}
	for _, e := range own {
		p.Waits = append(p.Waits, wait{Exception: e})
	}
	lanes, err := c.writer.ListLanes(ctx, &controlv1.ListLanesRequest{Ref: ref})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	moving, err := c.moving(ctx, ref)
	if err != nil {
		return err
	}
	for _, l := range lanes.GetItems() {
		if !moving && l.GetLane() != ref { // it went through this lane before; a customer's page shows its own
			continue
		}
		if err := c.heldBy(ctx, p, l, ref); err != nil {
			return err
		}
	}
	return nil
}

// moving reports whether anything of the record has not ended.
func (c *Console) moving(ctx context.Context, ref string) (bool, error) {
	res, err := c.ingest.ListEvents(ctx, &controlv1.ListEventsRequest{Ref: ref})
	return slices.ContainsFunc(res.GetItems(), func(e *controlv1.GetEventResponse) bool { return e.GetOutcome() == "" }), err
}

// heldBy says what a lane waits for: another record's exception, or the records
// that its head depends on.
func (c *Console) heldBy(ctx context.Context, p *recordPage, l *controlv1.LaneView, ref string) error {
	known := slices.ContainsFunc(p.Waits, func(w wait) bool { return w.Exception.GetId() == l.GetException() })
	switch {
	case l.GetState() == "idle":
	case l.GetException() != "" && !known:
		res, err := c.writer.ListExceptions(ctx, &controlv1.ListExceptionsRequest{Id: l.GetException()})
		if status.Code(err) == codes.NotFound {
			return nil // it ended meanwhile
		}
		if err != nil {
			return err
		}
		for _, e := range res.GetItems() {
			p.Waits = append(p.Waits, wait{Exception: e, Behind: e.GetSubject() != ref})
		}
	case l.GetException() == "" && l.GetState() == "waiting":
		p.Waits = append(p.Waits, wait{Why: l.GetWhy(), For: strings.Join(l.GetWaitsFor(), ", "), Until: l.GetWakeAt()})
	}
	return nil
}
