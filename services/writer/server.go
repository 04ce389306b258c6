package writer

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// Server is the writer's control surface.
type Server struct {
	controlv1.UnimplementedWriterServiceServer
	w *Writer
}

// Server returns the control surface.
func (w *Writer) Server() *Server { return &Server{w: w} }

// moving counts the slots that go on by themselves: also one that waits, while no
// lane of the target is held, so that what it waits for moves itself.
const moving = `SELECT (SELECT COUNT(*) FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane
	WHERE s.state = 'queued' AND (l.state NOT IN ('parked', 'waiting') OR l.state = 'waiting' AND l.exception = '' AND NOT EXISTS (
		SELECT 1 FROM lane held WHERE held.target = l.target AND (held.state = 'parked' OR held.exception <> ''))))
	+ (SELECT COUNT(*) FROM target WHERE recovery_since > 0 AND recovery_gathered = 0)`

// WriterStatus tells what is open, held and parked.
func (s *Server) WriterStatus(ctx context.Context, _ *controlv1.WriterStatusRequest) (*controlv1.WriterStatusResponse, error) {
	scope, err := control.Scope(ctx, s.w.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.WriterStatusResponse{Service: control.State(Name, s.w.deps.Version, s.w.deps.DB)}
	for _, n := range s.w.consumer.Lag() {
		out.Service.Lag += n
	}
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		var oldest int64
		theirs, args := store.Under("target", scope.Accounts, nil)
		if err := tx.QueryRow(`SELECT COUNT(*), COALESCE(MIN(opened_at), 0) FROM exception WHERE state = 'open' AND `+theirs, args...).Scan(&out.Exceptions, &oldest); err != nil {
			return err
		}
		if oldest > 0 {
			out.Oldest = timestamppb.New(time.UnixMicro(oldest))
		}
		// what a restored database does not know yet moves as well
		if err := tx.QueryRow(moving).Scan(&out.Moving); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT COUNT(*) FROM call WHERE state <> 'settled'`).Scan(&out.Calls); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT COUNT(*) FROM outbox WHERE published_at IS NULL`).Scan(&out.Unpublished); err != nil {
			return err
		}
		if err := s.routes(tx, scope, out); err != nil {
			return err
		}
		return s.targets(tx, scope, out)
	})
	return out, err
}

func (s *Server) routes(tx *store.Tx, scope registry.Scope, out *controlv1.WriterStatusResponse) error {
	theirs, args := store.Under("s.route", scope.Routes, nil)
	rows, err := tx.Query(`SELECT s.route, COUNT(*),
		SUM(CASE WHEN s.state = 'queued' AND l.exception <> '' AND l.next = s.seq THEN 1 ELSE 0 END),
		SUM(CASE WHEN s.state = 'queued' AND (l.state = 'waiting' AND l.exception = '' OR l.exception <> '' AND l.next < s.seq) THEN 1 ELSE 0 END),
		SUM(CASE WHEN s.state = 'aside' THEN 1 ELSE 0 END)
		FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane WHERE s.state IN ('queued', 'aside') AND `+theirs+` GROUP BY s.route ORDER BY s.route`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r := &controlv1.RouteCount{}
		if err := rows.Scan(&r.Route, &r.Open, &r.Parked, &r.Waiting, &r.Aside); err != nil {
			return err
		}
		out.Routes = append(out.Routes, r)
	}
	return rows.Err()
}

func (s *Server) targets(tx *store.Tx, scope registry.Scope, out *controlv1.WriterStatusResponse) error {
	theirs, args := store.Under("target", scope.Accounts, nil)
	rows, err := tx.Query(`SELECT target, state, reason, epoch, held_by, recovery_since, COALESCE((SELECT c.reason FROM command c
		WHERE c.target = target.target AND c.action = 'pause' AND c.actor = held_by AND c.state = 'applied' ORDER BY c.created_at DESC LIMIT 1), '') FROM target WHERE `+theirs+` ORDER BY target`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		t := &controlv1.TargetState{}
		var past int64
		var word string // of the person who paused it
		if err := rows.Scan(&t.Account, &t.State, &t.Reason, &t.Epoch, &t.HeldBy, &past, &word); err != nil {
			return err
		}
		if past > 0 && t.State == "active" {
			t.State, t.Reason = "recovery", "the database was set back to "+store.Time(past).UTC().Format(time.RFC3339)+": documents are found again before anything is sent"
			if why, known := s.w.disagree.Load(t.Account); known {
				t.Reason += "; " + why.(string)
			}
		}
		if c, ok := s.w.deps.Registry.ByAccount(t.Account); ok {
			t.Connection = c.ID
		}
		if t.HeldBy != "" {
			t.State, t.Reason = "paused", strings.TrimSuffix("by "+t.HeldBy+": "+word, ": ")
		}
		if tokens, ok := s.w.deps.Vault.of(t.Connection); ok {
			t.GrantExpires = tokens.ends()
			if t.HeldBy == "" && tokens.lacking.Load() {
				t.State, t.Reason = "paused", "nobody has consented yet"
			}
		}
		if o := s.w.owner(t.Account); o != nil {
			t.ProbeAt = stamp(o.probeAt.Load())
			used, limit, size := o.limit.used(s.w.deps.Now())
			t.QuotaUsed, t.QuotaLimit, t.QuotaWindowS = int64(used), int64(limit), int64(size/time.Second)
		}
		out.Targets = append(out.Targets, t)
	}
	return rows.Err()
}

// ListExceptions lists exceptions, oldest first.
func (s *Server) ListExceptions(ctx context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	scope, err := control.Scope(ctx, s.w.deps.Registry)
	if err != nil {
		return nil, err
	}
	page, err := control.PageOf(r.GetLimit(), r.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListExceptionsResponse{}
	state := r.GetState()
	if state == "" && r.GetId() == "" {
		state = string(exception.Open)
	}
	theirs, args := store.Under("target", scope.Accounts, []any{state, r.GetId(), r.GetKind(), page.Limit + 1, page.At, page.ID, r.GetSubject()})
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, kind, state, owner, target, lane, seq, subject, customer, reason, field, fix, vendor_code, vendor_text, rule, trace_id, opened_at, waiting_until
			FROM exception WHERE ($1 = '' OR state = $1) AND ($2 = '' OR id = $2) AND ($3 = '' OR kind = $3)
			AND (opened_at, id) > ($5, $6) AND ($7 = '' OR subject = $7) AND `+theirs+` ORDER BY opened_at, id LIMIT $4`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := &controlv1.Exception{}
			var opened, until int64
			if err := rows.Scan(&e.Id, &e.Kind, &e.State, &e.Owner, &e.Target, &e.Lane, &e.Seq, &e.Subject, &e.Customer, &e.Reason, &e.Field, &e.Fix,
				&e.VendorCode, &e.VendorText, &e.Rule, &e.TraceId, &opened, &until); err != nil {
				return err
			}
			e.OpenedAt = timestamppb.New(time.UnixMicro(opened))
			if until > 0 {
				e.WaitingUntil = timestamppb.New(time.UnixMicro(until))
			}
			out.Items = append(out.Items, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	if r.GetId() != "" && len(out.Items) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no exception %s", r.GetId())
	}
	out.Items, out.Next = control.CutPage(page, out.Items, control.ExceptionPlace)
	return out, s.around(ctx, out.Items)
}

// around adds to each exception what it holds, what it is worth and where its
// record stands at the vendors.
func (s *Server) around(ctx context.Context, items []*controlv1.Exception) error {
	return s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, e := range items {
			e.SourceUrl = s.page(e.GetSubject())
			look := s.held
			if e.GetLane() == "" {
				look = s.heldAll
			}
			if err := look(tx, e); err != nil {
				return err
			}
			if err := refused(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// heldAll adds what waits for a connection while the exception pauses it, and
// when it is tried next.
func (s *Server) heldAll(tx *store.Tx, e *controlv1.Exception) error {
	if e.GetState() != string(exception.Open) {
		return nil
	}
	e.Actions = acted{}.actions()
	var alert string
	err := tx.QueryRow(`SELECT alert FROM target WHERE target = $1`, e.GetTarget()).Scan(&alert)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if alert != e.GetId() {
		return nil
	}
	if o := s.w.owner(e.GetTarget()); o != nil {
		e.WaitingUntil = stamp(o.probeAt.Load())
	}
	e.Held, err = waiting(tx, e.GetTarget())
	return err
}

// held adds what rests behind the exception's slot, what the slot is worth and
// what may be done.
func (s *Server) held(tx *store.Tx, e *controlv1.Exception) error {
	held, own, err := behind(tx, e.GetTarget(), e.GetLane(), e.GetSeq())
	if err != nil {
		return err
	}
	var aside, waits int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(CASE WHEN state = 'aside' THEN 1 ELSE 0 END), 0) FROM slot WHERE target = $1 AND lane = $2 AND seq = $3`, e.GetTarget(), e.GetLane(), e.GetSeq()).Scan(&aside); err != nil {
		return err
	}
	if err := tx.QueryRow(`SELECT COALESCE(MAX(wake_at), 0) FROM lane WHERE target = $1 AND lane = $2 AND exception = $3`, e.GetTarget(), e.GetLane(), e.GetId()).Scan(&waits); err != nil {
		return err
	}
	e.Amount, e.Mapping, e.WaitingUntil = own.amount, own.mapping, stamp(waits)
	if e.GetSeq() > 0 && aside == 0 {
		e.Held = held
	}
	if e.GetState() == string(exception.Open) {
		e.Actions = acted{kind: e.GetKind(), field: e.GetField(), lane: e.GetLane(), seq: e.GetSeq(), aside: aside == 1}.actions()
	}
	return s.booksPage(tx, e)
}

// booksPage names the page of the record's document in the books.
func (s *Server) booksPage(tx *store.Tx, e *controlv1.Exception) error {
	var ref string
	if err := tx.QueryRow(`SELECT COALESCE(MAX(other_ref), '') FROM link WHERE source_ref = $1 AND other_target = $2`, e.GetSubject(), e.GetTarget()).Scan(&ref); err != nil {
		return err
	}
	e.BooksUrl = s.page(ref)
	return nil
}

func grossOf(doc []byte) (money.Amount, bool) {
	r, err := document.Decode(doc)
	if err != nil {
		return money.Amount{}, false
	}
	for i := range r.Parts {
		if a, ok := r.Parts[i].Gross(); ok {
			return a, true
		}
	}
	return money.Amount{}, false
}

// page returns the record's page at its vendor, if we have a connection there.
func (s *Server) page(ref string) string {
	r, err := event.ParseRef(ref)
	if err != nil {
		return ""
	}
	if c := s.w.deps.Connections[r.AccountRef()]; c != nil && c.Page != nil {
		return c.Page(r)
	}
	return ""
}

// ListLinks lists links of a source ref, or of a ref in the books.
func (s *Server) ListLinks(ctx context.Context, r *controlv1.ListLinksRequest) (*controlv1.ListLinksResponse, error) {
	out := &controlv1.ListLinksResponse{}
	err := s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT source_ref, kind, part, n, other_target, other_ref, state, number FROM link
			WHERE ($1 <> '' AND source_ref = $1) OR ($2 <> '' AND other_ref = $2) ORDER BY source_ref, kind, part, n`, r.GetSourceRef(), r.GetOtherRef())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			l := &controlv1.Link{}
			if err := rows.Scan(&l.SourceRef, &l.Kind, &l.Part, &l.N, &l.OtherTarget, &l.OtherRef, &l.State, &l.Number); err != nil {
				return err
			}
			out.Items = append(out.Items, l)
		}
		return rows.Err()
	})
	return out, err
}

// SlotHeads returns the highest stored slot of each lane without a gap below.
func (s *Server) SlotHeads(ctx context.Context, r *controlv1.SlotHeadsRequest) (*controlv1.SlotHeadsResponse, error) {
	out := &controlv1.SlotHeadsResponse{}
	err := s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, l := range r.GetLanes() {
			head := &controlv1.LaneHead{Target: l.GetTarget(), Lane: l.GetLane()}
			// The first gap is where the successor is missing of a stored slot, or of all that ended.
			if err := tx.QueryRow(`WITH ended AS (SELECT COALESCE(MAX(next), 1) - 1 AS seq FROM lane WHERE target = $1 AND lane = $2)
				SELECT MIN(s.seq) FROM (SELECT seq FROM ended UNION ALL SELECT seq FROM slot WHERE target = $1 AND lane = $2 AND seq > (SELECT seq FROM ended)) AS s
				WHERE NOT EXISTS (SELECT 1 FROM slot n WHERE n.target = $1 AND n.lane = $2 AND n.seq = s.seq + 1)`, l.GetTarget(), l.GetLane()).Scan(&head.Seq); err != nil {
				return err
			}
			out.Lanes = append(out.Lanes, head)
		}
		return nil
	})
	return out, err
}

// Token hands out a connection's access token, to our own services alone.
func (s *Server) Token(ctx context.Context, r *controlv1.TokenRequest) (*controlv1.TokenResponse, error) {
	tokens, ok := s.w.deps.Vault.of(r.GetConnection())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no connection %s", r.GetConnection())
	}
	var token string
	var err error
	if r.GetRefused() == "" {
		token, err = tokens.Token(ctx)
	} else {
		token, err = tokens.Refresh(ctx, r.GetRefused())
	}
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &controlv1.TokenResponse{AccessToken: token}, nil
}

// OpenRefs names the records whose slots have not ended, and why. What rests
// behind a parked slot is parked with it.
func (s *Server) OpenRefs(ctx context.Context, _ *controlv1.OpenRefsRequest) (*controlv1.OpenRefsResponse, error) {
	out := &controlv1.OpenRefsResponse{}
	err := s.w.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if out.Items, err = openRefs(tx); err != nil {
			return err
		}
		told, err := trail.Told(tx) // of the same moment
		out.Told = control.ToHeads(told)
		return err
	})
	return out, err
}

// openRefs are the records that something stands open of, and those whose newest
// revision a person discarded.
func openRefs(tx *store.Tx) (out []*controlv1.OpenRef, err error) {
	rows, err := tx.Query(`SELECT subject, cause, target FROM (SELECT s.subject, CASE WHEN l.state IN ('parked', 'waiting') THEN l.state ELSE 'in_flight' END AS cause, s.target, s.seq
		FROM slot s JOIN lane l ON l.target = s.target AND l.lane = s.lane WHERE s.state = 'queued'
		UNION ALL SELECT s.subject, 'discarded', s.target, s.seq FROM slot s WHERE s.outcome = 'discarded'
			AND NOT EXISTS (SELECT 1 FROM slot n WHERE n.target = s.target AND n.subject = s.subject AND n.rev > s.rev)
		) AS due ORDER BY subject, seq`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r := &controlv1.OpenRef{}
		if err := rows.Scan(&r.Ref, &r.Cause, &r.Target); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
