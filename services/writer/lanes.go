package writer

import (
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// ListLanes shows where the lanes of a record or of a customer stand: the head,
// why it waits and until when, and what rests behind it.
func (s *Server) ListLanes(ctx context.Context, r *controlv1.ListLanesRequest) (*controlv1.ListLanesResponse, error) {
	out := &controlv1.ListLanesResponse{}
	page, err := control.PageOf(r.GetLimit(), r.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT l.target, l.lane, l.state, l.why, l.wake_at, l.exception, l.next, COALESCE(s.subject, ''), COALESCE(s.route, ''),
			COALESCE(s.rev, 0), COALESCE(s.class, ''), COALESCE(s.changed_at, 0)
			FROM lane l LEFT JOIN slot s ON s.target = l.target AND s.lane = l.lane AND s.seq = l.next AND s.state = 'queued'
			WHERE (l.lane = $1 OR EXISTS (SELECT 1 FROM slot q WHERE q.target = l.target AND q.subject = $1 AND q.lane = l.lane))
			AND l.target || ' ' || l.lane > $3 ORDER BY l.target || ' ' || l.lane LIMIT $2`, r.GetRef(), page.Limit+1, page.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			v := &controlv1.LaneView{}
			var wake, changed int64
			if err := rows.Scan(&v.Target, &v.Lane, &v.State, &v.Why, &wake, &v.Exception, &v.Next, &v.Subject, &v.Route, &v.Rev, &v.Class, &changed); err != nil {
				return err
			}
			if v.Subject == "" {
				v.State, v.Why = "idle", ""
			}
			v.WakeAt, v.ChangedAt = stamp(wake), stamp(changed)
			out.Items = append(out.Items, v)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	out.Items, out.Next = control.CutPage(page, out.Items, func(v *controlv1.LaneView) (int64, string) { return 0, v.GetTarget() + " " + v.GetLane() })
	if len(out.Items) == 0 {
		return nil, status.Errorf(codes.NotFound, "no lane is named %s and no record of that ref was ever queued", r.GetRef())
	}
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, v := range out.Items {
			if v.Held, _, err = behind(tx, v.GetTarget(), v.GetLane(), v.GetNext()); err != nil {
				return err
			}
			if v.State != string(protocol.Waiting) {
				continue
			}
			if v.WaitsFor, err = (tables{tx, v.GetTarget()}).WaitsOf(v.GetLane()); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func stamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMicro(micros))
}

// head is what the slot at the head of a lane is worth.
type head struct {
	amount  *auditv1.Money
	mapping string
}

// behind counts and sums what rests behind a slot, and says what the slot
// itself is worth.
func behind(tx *store.Tx, target, lane string, seq int64) (*controlv1.Held, head, error) {
	rows, err := tx.Query(`SELECT seq, doc, mapping_hash FROM slot WHERE target = $1 AND lane = $2 AND seq >= $3 AND (state = 'queued' OR seq = $3) ORDER BY seq`, target, lane, seq)
	if err != nil {
		return nil, head{}, err
	}
	defer rows.Close()
	held, own := tally{}, head{}
	for rows.Next() {
		var at int64
		var doc []byte
		var hash string
		if err := rows.Scan(&at, &doc, &hash); err != nil {
			return nil, head{}, err
		}
		if at > seq {
			held.add(doc)
			continue
		}
		own.mapping = hash
		if gross, ok := grossOf(doc); ok {
			own.amount = &auditv1.Money{Minor: gross.Minor, Currency: gross.Currency}
		}
	}
	return held.view(), own, rows.Err()
}

// waiting counts and sums what is queued for a target and behind no exception of
// its own.
func waiting(tx *store.Tx, target string) (*controlv1.Held, error) {
	rows, err := tx.Query(`SELECT s.doc FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane
		WHERE s.target = $1 AND s.state = 'queued' AND l.exception = ''`, target)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := tally{}
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		held.add(doc)
	}
	return held.view(), rows.Err()
}

// tally counts slots and sums what they are worth.
type tally struct {
	count int64
	sums  map[string]int64 // by currency
}

func (t *tally) add(doc []byte) {
	t.count++
	if gross, ok := grossOf(doc); ok {
		if t.sums == nil {
			t.sums = map[string]int64{}
		}
		t.sums[gross.Currency] += gross.Minor
	}
}

func (t *tally) view() *controlv1.Held {
	held := &controlv1.Held{Count: t.count}
	for _, currency := range slices.Sorted(maps.Keys(t.sums)) {
		held.Sum = append(held.Sum, &auditv1.Money{Minor: t.sums[currency], Currency: currency})
	}
	return held
}
