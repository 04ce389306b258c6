package ingest

import (
	"context"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// duplicate: the record is as it was. It gets another slot where a person asks for
// a document that it was not to have.
func (in *Ingest) duplicate(ctx context.Context, tx *store.Tx, s *source, h hint, r admission.Read, o admission.Object, d admission.Decision) error {
	what := "duplicate"
	if o.Rev > 0 {
		if err := in.known(tx, h, r.Record.Ref, d); err != nil {
			return err
		}
		lifted, err := in.liftCutOff(ctx, tx, s, h, r, o)
		if err != nil {
			return err
		}
		if lifted {
			what = "admitted"
		}
	}
	return countRun(tx, h.Run, what)
}

// liftCutOff places a known revision once more on the routes where it was to be
// matched only and a person asks for more.
func (in *Ingest) liftCutOff(ctx context.Context, tx *store.Tx, s *source, h hint, r admission.Read, o admission.Object) (lifted bool, err error) {
	if h.Run == "" && h.Wanted == "" {
		return false, nil
	}
	routes, err := in.termsOf(tx, s, h, o, &r.Record)
	if err != nil {
		return false, err
	}
	for _, t := range routes {
		if !t.lifted(&r.Record) {
			continue
		}
		customer, err := in.customerOf(tx, r.Record.Ref, r)
		if err != nil {
			return false, err
		}
		e := eventOf(s, h, r, admission.Decision{Object: o, Type: event.Put}, customer)
		e.SlotNo = t.last.slotNo + 1
		if err := in.place(ctx, tx, t.route, e, h.Trace); err != nil {
			return false, err
		}
		lifted = true
	}
	return lifted, nil
}
