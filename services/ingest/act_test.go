package ingest

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// What a person gave up on is on the trail, with who and why, once.
func TestADiscardIsTold(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	r := w.portal.records["7"]
	r.Problem = "two companies and none is primary"
	w.portal.records["7"] = r
	w.run()
	w.until("the exception is open", func() bool { return w.count(`SELECT COUNT(*) FROM exception WHERE state = 'open'`) == 1 })
	list, err := w.in.Server().ListExceptions(t.Context(), &controlv1.ListExceptionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	id := list.GetItems()[0].GetId()
	act := &controlv1.ActRequest{Id: id, Action: "discard", Reason: "made twice", Actor: "ann", DryRun: true}
	if _, err := w.in.Server().Act(t.Context(), act); err != nil || len(w.told(id)) != 0 {
		t.Errorf("a dry run: %v, told %+v", err, w.told(id))
	}
	act.DryRun = false
	if _, err := w.in.Server().Act(t.Context(), act); err != nil {
		t.Fatal(err)
	}
	if _, err := w.in.Server().Act(t.Context(), act); status.Code(err) != codes.NotFound {
		t.Errorf("discarded twice: %v", err)
	}
	if f := w.told(id); len(f) != 1 || f[0].Outcome != "discard" || f[0].Detail != "made twice" || f[0].Actor != "ann" || f[0].Tenant != "acme" || f[0].Stream != "ingest/hubspot/1/" {
		t.Errorf("told: %+v", f)
	}
}

// told are the facts of actions on an exception.
func (w *world) told(exception string) (out []*trail.Fact) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT body FROM outbox ORDER BY seq`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var body []byte
			if err := rows.Scan(&body); err != nil {
				return err
			}
			f, err := trail.Decode(body)
			if err != nil {
				return err
			}
			if f.Type == "exception.acted" && f.Exception == exception && f.Actor != Name {
				out = append(out, f)
			}
		}
		return rows.Err()
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}
