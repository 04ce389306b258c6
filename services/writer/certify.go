package writer

import (
	"context"
	"fmt"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/link"
	"tieout.dev/services/internal/store"
)

// certifyEvery is how often books and links are compared during a recovery.
const certifyEvery = 15 * time.Second

// certify ends a recovery when every document of ours in the books has its link
// and every link says what its document says. It reads the books' own list.
func (w *Writer) certify(ctx context.Context, target string, gathered time.Time) error {
	conn := w.deps.Connections[target]
	if w.deps.Now().Sub(gathered) < conn.Claims.Q() || w.owner(target) == nil {
		return nil // copies of what left before may still land; or it is another replica's
	}
	settled, err := w.pastSettled(ctx, target)
	if err != nil || !settled {
		return err
	}
	for _, kind := range []document.Kind{document.InvoiceKind, document.CustomerKind, document.ItemKind} {
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

// pastSettled: nothing of the restored tables is in doubt, and nothing that was
// told is still on its way.
func (w *Writer) pastSettled(ctx context.Context, target string) (settled bool, err error) {
	err = w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT NOT EXISTS (SELECT 1 FROM call WHERE target = $1 AND state <> 'settled')
			AND NOT EXISTS (SELECT 1 FROM told t JOIN lane l ON l.target = t.target AND l.lane = t.lane WHERE t.target = $1 AND l.next <= t.seq AND l.state = 'ready')
			AND NOT EXISTS (SELECT 1 FROM told t WHERE t.target = $1 AND NOT EXISTS (SELECT 1 FROM slot s WHERE s.target = t.target AND s.lane = t.lane AND s.seq = t.seq))`, target).Scan(&settled)
	})
	return settled, err
}

func (w *Writer) agrees(ctx context.Context, target string, conn *connector.Connection, kind document.Kind) (bool, error) {
	for p, err := range conn.Target.List(ctx, kind, "", "") {
		if err != nil {
			return false, fmt.Errorf("list the books' documents of kind %s: %w", kind, err)
		}
		var links []*link.Link
		err = w.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
			links, err = (tables{tx, target}).links(`other_ref = $1 AND other_target = $2`, p.Ref.String(), target)
			return err
		})
		if err != nil {
			return false, err
		}
		if why := disagreement(&p, links); why != "" {
			w.deps.Log.DebugContext(ctx, "the recovery goes on", "target", target, "document", p.Ref.String(), "why", why)
			return false, nil
		}
	}
	return true, nil
}

// disagreement says what a document of the books and its links do not agree on.
func disagreement(p *connector.Posting, links []*link.Link) string {
	if len(links) == 0 {
		if p.Mark != "" && p.Kind.Financial() {
			return "no link names it"
		}
		return "" // not ours, or found by its name when it is needed
	}
	for _, l := range links {
		if !l.Live() {
			continue
		}
		if p.Kind.Financial() && p.Status == connector.Voided {
			return "it is void and its link is not"
		}
		for k, v := range l.Base {
			if p.Fields[k] != v {
				return "its link says another " + k
			}
		}
		if l.Base == nil {
			return "what was agreed on is not known yet"
		}
	}
	return ""
}
