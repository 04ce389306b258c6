package writer

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// How soon books and links are compared during a recovery, and again: the wait
// doubles, since every time reads the books' whole list.
const (
	certifyEvery = 15 * time.Second
	certifyMost  = 10 * time.Minute
)

// certify ends a recovery when every document of ours in the books has its link
// and every link says what its document says. It reads the books' own list.
func (w *Writer) certify(ctx context.Context, target string, gathered time.Time) error {
	conn := w.deps.Connections[target]
	if w.deps.Now().Sub(gathered) < conn.Claims.Q() || w.owner(target) == nil {
		return nil // copies of what left before may still land; or it is another replica's
	}
	settled, err := w.pastSettled(ctx, target)
	if err != nil || !settled {
		w.disagree.Store(target, "what was told is still under way, or a person is asked")
		return err
	}
	for _, kind := range []document.Kind{document.InvoiceKind, document.CustomerKind, document.ItemKind, document.CreditNoteKind} {
		if _, holds := conn.Claims.Ambiguity[kind]; !holds {
			continue // a CRM takes markers only, which are written once more
		}
		agreed, err := w.agrees(ctx, target, conn, kind)
		if err != nil || !agreed {
			return err
		}
	}
	err = w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		for _, sql := range []string{`DELETE FROM told WHERE target = $1`, `DELETE FROM recalled WHERE target = $1`, `UPDATE target SET recovery_since = 0, recovery_gathered = 0 WHERE target = $1`} {
			if _, err := tx.Exec(sql, target); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.deps.Log.InfoContext(ctx, "books and links agree: the recovery ends", "target", target)
		w.wakeOwner(target)
	}
	return err
}

// pastSettled: nothing is in doubt or in front of a person for the restore, and
// nothing that was told is still on its way: an end that is not taken over yet,
// or a newer revision, must not be forgotten.
func (w *Writer) pastSettled(ctx context.Context, target string) (settled bool, err error) {
	err = w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT NOT EXISTS (SELECT 1 FROM call WHERE target = $1 AND state <> 'settled')
			AND NOT EXISTS (SELECT 1 FROM exception WHERE target = $1 AND kind = 'recovery' AND state = 'open')
			AND NOT EXISTS (SELECT 1 FROM told t JOIN lane l ON l.target = t.target AND l.lane = t.lane WHERE t.target = $1 AND l.next <= t.seq AND (l.state = 'ready' OR t.outcome <> ''
				OR EXISTS (SELECT 1 FROM told n WHERE n.target = t.target AND n.subject = t.subject AND n.rev > t.rev)))
			AND NOT EXISTS (SELECT 1 FROM told t WHERE t.target = $1 AND NOT EXISTS (SELECT 1 FROM slot s WHERE s.target = t.target AND s.lane = t.lane AND s.seq = t.seq))`, target).Scan(&settled)
	})
	return settled, err
}

func (w *Writer) agrees(ctx context.Context, target string, conn *connector.Connection, kind document.Kind) (bool, error) {
	for p, err := range conn.Target.List(w.extra(ctx, target), kind, "", "") {
		if err != nil {
			return false, fmt.Errorf("list the books' documents of kind %s: %w", kind, err)
		}
		var why string
		var unfilled bool
		err = w.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
			why, unfilled, err = agree(tx, target, &p, false)
			return err
		})
		if err == nil && unfilled {
			err = w.deps.DB.Write(ctx, func(tx *store.Tx) (err error) {
				why, _, err = agree(tx, target, &p, true)
				return err
			})
		}
		if err != nil {
			return false, err
		}
		if why != "" {
			w.deps.Log.InfoContext(ctx, "the recovery goes on", "target", target, "document", p.Ref.String(), "why", why)
			w.disagree.Store(target, p.Ref.String()+": "+why)
			return false, nil
		}
	}
	return true, nil
}

// agree compares a document of the books with its links and says on what they
// differ, or that what was agreed on may be filled in, which it does if asked to.
func agree(tx *store.Tx, target string, p *connector.Posting, fill bool) (why string, unfilled bool, err error) {
	links, err := (tables{tx, target}).links(`other_ref = $1 AND other_target = $2`, p.Ref.String(), target)
	if err != nil {
		return "", false, err
	}
	// a customer or an item is found by its name when it is needed, and no record asks for what a probe made
	if len(links) == 0 && p.Mark != "" && p.Kind.Financial() && !document.IsProbe(p.Mark) {
		return "no link names it", false, nil
	}
	for _, l := range links {
		filled, why := protocol.Agree(l, p)
		switch {
		case why != "":
			return why, unfilled, nil
		case filled == nil:
			continue
		}
		unfilled = true
		if !fill {
			continue
		}
		if err := putLink(tx, filled); err != nil {
			return "", unfilled, err
		}
	}
	return "", unfilled, nil
}
