package writer

import (
	"context"
	"errors"
	"fmt"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

// Lanes is a stretch of a target's lanes, and where those that are known go on.
type Lanes struct {
	Target      string
	After, Upto string // lanes behind After and up to Upto; "" is open
	Next        map[string]int64
}

// Others know what a restored writer does not.
type Others struct {
	// Reopen has ingest publish events again and tell how they ended.
	Reopen func(ctx context.Context, l Lanes) ([]protocol.Told, error)
	// Facts pages through the facts about documents that follow what is known,
	// from the one after a page's last on.
	Facts func(ctx context.Context, prefix string, known []trail.Head, after trail.Head) ([]*trail.Fact, error)
}

// lanesPage is how many lanes ingest is asked about at once.
const lanesPage = 200

var errAuditBehind = errors.New("the audit has not taken yet what ingest has; it is asked again")

// gather takes from ingest which events there are and how they ended, and from
// the audit which documents the facts name.
func (w *Writer) gather(ctx context.Context, target string) error {
	if w.deps.Others.Reopen == nil || w.deps.Others.Facts == nil {
		return errors.New("ingest and the audit are not connected")
	}
	past, err := w.pastStreams(ctx)
	if err != nil {
		return err
	}
	if err := w.auditCaughtUp(ctx, past); err != nil {
		return err
	}
	if err := w.relinkAll(ctx, target, past); err != nil {
		return err
	}
	if err := w.reopenAll(ctx, target); err != nil {
		return err
	}
	err = w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE target SET recovery_gathered = 1 WHERE target = $1 AND recovery_since > 0`, target)
		return err
	})
	if err == nil {
		w.deps.Log.InfoContext(ctx, "what others know of the lost life is here; documents are found again", "target", target)
		w.wakeOwner(target)
	}
	return err
}

func (w *Writer) pastStreams(ctx context.Context) (out []trail.Head, err error) {
	err = w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT stream, incarnation, last_seq FROM past_stream ORDER BY stream, incarnation`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h trail.Head
			if err := rows.Scan(&h.Stream, &h.Incarnation, &h.Seq); err != nil {
				return err
			}
			out = append(out, h)
		}
		return rows.Err()
	})
	return out, err
}

// auditCaughtUp: an end that ingest took is told only together with the
// document that it is about, which the audit must have taken too.
func (w *Writer) auditCaughtUp(ctx context.Context, past []trail.Head) error {
	if len(past) == 0 || w.deps.Takers["audit"] == nil || w.deps.Takers["ingest"] == nil {
		return nil
	}
	audit, err := w.deps.Takers["audit"](ctx, past)
	if err != nil {
		return err
	}
	ingest, err := w.deps.Takers["ingest"](ctx, past)
	if err != nil {
		return err
	}
	has := map[string]int64{}
	for _, h := range audit {
		has[h.Stream+fmt.Sprint(h.Incarnation)] = h.Seq
	}
	for _, h := range ingest {
		if has[h.Stream+fmt.Sprint(h.Incarnation)] < h.Seq {
			return errAuditBehind
		}
	}
	return nil
}

// relinkAll corrects links by the facts that this database forgot, oldest first.
func (w *Writer) relinkAll(ctx context.Context, target string, known []trail.Head) error {
	after := trail.Head{}
	for {
		facts, err := w.deps.Others.Facts(ctx, Name+"/"+target+"/", known, after)
		if err != nil || len(facts) == 0 {
			return err
		}
		err = w.deps.DB.Write(ctx, func(tx *store.Tx) error {
			for _, f := range facts {
				if err := relink(tx, target, f); err != nil {
					return fmt.Errorf("fact %s: %w", f.EventID, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		last := facts[len(facts)-1]
		after = trail.Head{Stream: last.Stream, Incarnation: last.Incarnation, Seq: last.Seq}
	}
}

func relink(tx *store.Tx, target string, f *trail.Fact) error {
	c := confirmedBy(f)
	if c == nil {
		return nil
	}
	var failed error
	of := func(k link.Key, n int64) *link.Link {
		links, err := (tables{tx, target}).links(`source_ref = $1 AND other_target = $2 AND kind = $3 AND part = $4 AND n = $5`, k.SourceRef, target, string(k.Kind), k.Part, n)
		failed = errors.Join(failed, err)
		if len(links) == 0 {
			return nil
		}
		return links[0]
	}
	for _, l := range protocol.Relinked(of, target, c) {
		if failed == nil {
			failed = putLink(tx, l)
		}
	}
	return failed
}

// confirmedBy is what a fact says of a document, or nil.
func confirmedBy(f *trail.Fact) *protocol.Confirmed {
	p := f.Posting
	if p == nil || p.SourceRef == "" || p.OtherRef == "" {
		return nil
	}
	c := &protocol.Confirmed{
		Key: link.Key{SourceRef: p.SourceRef, Kind: document.Kind(p.Kind), Part: p.Part}, N: p.N, Rev: f.Rev, OtherRef: p.OtherRef, Version: p.Version, Number: p.Number,
		MappingHash: f.MappingHash, State: link.Primary,
	}
	switch {
	case f.Type == "link.gone":
		c.State = link.Gone
	case f.Type == "link.credited":
		c.State = link.Credited
	case f.Type != "link.created" && f.Type != "link.voided" && !(f.Type == "op.settled" && f.Outcome == "posted"):
		return nil
	case c.Kind.Financial() && p.Status == string(connector.Voided): // a marker says it of its invoice
		c.State = link.Void
	}
	if f.Subject != p.SourceRef {
		c.Rev = 0 // the revision is of the slot's record, not of this one
	}
	return c
}

// reopenAll has ingest publish again what this database may have forgotten.
func (w *Writer) reopenAll(ctx context.Context, target string) error {
	for after, more := "", true; more; {
		page, err := w.lanesBehind(ctx, target, after)
		if err != nil {
			return err
		}
		more = page.Upto != ""
		events, err := w.deps.Others.Reopen(ctx, page)
		if err != nil {
			return err
		}
		after = page.Upto
		err = w.deps.DB.Write(ctx, func(tx *store.Tx) error {
			for i := range events {
				if err := putTold(tx, target, &events[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) lanesBehind(ctx context.Context, target, after string) (Lanes, error) {
	page := Lanes{Target: target, After: after, Next: map[string]int64{}}
	err := w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT lane, next FROM lane WHERE target = $1 AND lane > $2 ORDER BY lane LIMIT $3`, target, after, lanesPage)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var lane string
			var next int64
			if err := rows.Scan(&lane, &next); err != nil {
				return err
			}
			page.Next[lane] = next
			if len(page.Next) == lanesPage {
				page.Upto = lane
			}
		}
		return rows.Err()
	})
	return page, err
}

func putTold(tx *store.Tx, target string, x *protocol.Told) error {
	merge := 0
	if x.Merge {
		merge = 1
	}
	_, err := tx.Exec(`INSERT INTO told (target, event_id, lane, seq, subject, rev, outcome, is_merge) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (target, event_id) DO UPDATE SET outcome = $7`,
		target, x.EventID, x.Lane, x.Seq, x.Subject, x.Rev, string(x.Outcome), merge)
	return err
}
