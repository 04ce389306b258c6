package ingest

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// Server is ingest's control surface.
type Server struct {
	controlv1.UnimplementedIngestServiceServer
	in *Ingest
}

// Server returns the control surface.
func (in *Ingest) Server() *Server { return &Server{in: in} }

// IngestStatus tells what was admitted and what is still due.
func (s *Server) IngestStatus(ctx context.Context, _ *controlv1.IngestStatusRequest) (*controlv1.IngestStatusResponse, error) {
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("subject", scope.Accounts, nil)
	out := &controlv1.IngestStatusResponse{Service: control.State(Name, s.in.deps.Version, s.in.deps.DB)}
	for _, n := range s.in.consumer.Lag() {
		out.Service.Lag += n
	}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		var oldest int64
		if err := tx.QueryRow(`SELECT COUNT(*), COALESCE(MIN(opened_at), 0) FROM exception WHERE state = 'open' AND `+theirs, args...).Scan(&out.Exceptions, &oldest); err != nil {
			return err
		}
		if oldest > 0 {
			out.Oldest = timestamppb.New(store.Time(oldest))
		}
		for query, dest := range map[string]*int64{
			`SELECT (SELECT COUNT(*) FROM hint) + (SELECT lifting FROM book WHERE id = 1)`: &out.Hints, // set back: every record is due
			`SELECT COUNT(*) FROM event WHERE published_at IS NULL`:                        &out.Unpublished,
			`SELECT records FROM book WHERE id = 1`:                                        &out.Records,
		} {
			if err := tx.QueryRow(query).Scan(dest); err != nil {
				return err
			}
		}
		if out.Polls, err = s.polls(tx); err != nil {
			return err
		}
		return s.routes(tx, scope, out)
	})
	return out, err
}

func (s *Server) routes(tx *store.Tx, scope registry.Scope, out *controlv1.IngestStatusResponse) error {
	counts := map[string]*controlv1.RouteCount{}
	for _, r := range s.in.deps.Registry.Routes {
		if scope.Routes != nil && !slices.Contains(scope.Routes, r.ID) {
			continue
		}
		c := &controlv1.RouteCount{Route: r.ID, WriteBack: r.WriteBack}
		counts[r.ID], out.Routes = c, append(out.Routes, c)
	}
	rows, err := tx.Query(`SELECT route, outcome, COUNT(*) FROM event GROUP BY route, outcome`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var route, outcome string
		var n int64
		if err := rows.Scan(&route, &outcome, &n); err != nil {
			return err
		}
		if c := counts[route]; c != nil {
			count(c, outcome, n)
		}
	}
	return rows.Err()
}

func count(c *controlv1.RouteCount, outcome string, n int64) {
	c.Admitted += n
	switch outcome {
	case "posted":
		c.Posted = n
	case "unchanged":
		c.Unchanged = n
	case "superseded":
		c.Superseded = n
	case "discarded":
		c.Discarded = n
	case "":
		c.Open = n
	}
}

// Poll asks for a poll of each connection now. The numbers to wait for are
// those of polls that start after this call.
func (s *Server) Poll(ctx context.Context, _ *controlv1.PollRequest) (*controlv1.PollResponse, error) {
	out := &controlv1.PollResponse{}
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		out.Polls, err = s.polls(tx)
		return err
	})
	for _, p := range out.GetPolls() {
		p.Started++
	}
	for _, src := range s.in.sources {
		signal(src.ask)
	}
	return out, err
}

func (s *Server) polls(tx *store.Tx) (out []*controlv1.PollState, err error) {
	for _, src := range s.in.sources {
		p, err := src.polled(tx)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Recheck asks for a record to be read and admitted again. Where books are
// named, its documents are to stand in them, whatever the route's cut-off.
func (s *Server) Recheck(ctx context.Context, r *controlv1.RecheckRequest) (*controlv1.RecheckResponse, error) {
	ref, err := event.ParseRef(r.GetRef())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if s.in.sourceOf(ref) == nil {
		return nil, status.Errorf(codes.NotFound, "no route reads records of type %s of %s", ref.Type, ref.AccountRef())
	}
	return &controlv1.RecheckResponse{}, s.in.storeHints(ctx, []connector.Hint{{Ref: ref}}, event.Repair, event.Bulk, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hint SET wanted = wanted || ' ' || $1 WHERE ref = $2`, r.GetTarget(), ref.String())
		return err
	})
}

// GetEvent tells how an event ended.
func (s *Server) GetEvent(ctx context.Context, r *controlv1.GetEventRequest) (*controlv1.GetEventResponse, error) {
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	var out *controlv1.GetEventResponse
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		theirs, args := store.Under("route", scope.Routes, []any{r.GetEventId()})
		found, err := events(tx, `WHERE event_id = $1 AND `+theirs, args...)
		if err == nil && len(found) == 0 {
			err = status.Errorf(codes.NotFound, "there is no event %s", r.GetEventId())
		}
		if err == nil {
			out = found[0]
		}
		return err
	})
	return out, err
}

func events(tx *store.Tx, where string, args ...any) ([]*controlv1.GetEventResponse, error) {
	rows, err := tx.Query(`SELECT event_id, ref, rev, route, lane, seq, outcome, admitted_at, ended_at FROM event `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*controlv1.GetEventResponse
	for rows.Next() {
		e := &controlv1.GetEventResponse{}
		var admitted, ended int64
		if err := rows.Scan(&e.EventId, &e.Ref, &e.Rev, &e.Route, &e.Lane, &e.Seq, &e.Outcome, &admitted, &ended); err != nil {
			return nil, err
		}
		e.AdmittedAt = timestamppb.New(store.Time(admitted))
		if ended > 0 {
			e.EndedAt = timestamppb.New(store.Time(ended))
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// ListEvents lists the newest events, or those admitted after one, oldest first.
func (s *Server) ListEvents(ctx context.Context, r *controlv1.ListEventsRequest) (*controlv1.ListEventsResponse, error) {
	limit := int64(r.GetLimit())
	if limit <= 0 {
		limit = 100
	}
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListEventsResponse{}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if r.GetAfter() != "" {
			theirs, args := store.Under("route", scope.Routes, []any{r.GetRef(), limit, r.GetAfter()})
			out.Items, err = events(tx, `WHERE ($1 = '' OR ref = $1) AND (admitted_at, event_id) > (SELECT admitted_at, event_id FROM event WHERE event_id = $3) AND `+theirs+
				` ORDER BY admitted_at, event_id LIMIT $2`, args...)
			return err
		}
		theirs, args := store.Under("route", scope.Routes, []any{r.GetRef(), limit})
		out.Items, err = events(tx, `WHERE ($1 = '' OR ref = $1) AND `+theirs+` ORDER BY admitted_at DESC, event_id DESC LIMIT $2`, args...)
		slices.Reverse(out.Items)
		return err
	})
	return out, err
}

// GetRecord returns a record as it was last admitted.
func (s *Server) GetRecord(ctx context.Context, r *controlv1.GetRecordRequest) (*controlv1.GetRecordResponse, error) {
	out := &controlv1.GetRecordResponse{Ref: r.GetRef(), SourceUrl: s.page(r.GetRef())}
	err := s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		var body []byte
		var admitted int64
		err := tx.QueryRow(`SELECT body, admitted_at FROM event WHERE ref = $1 ORDER BY rev DESC, slot_no DESC LIMIT 1`, r.GetRef()).Scan(&body, &admitted)
		if errors.Is(err, sql.ErrNoRows) {
			return status.Errorf(codes.NotFound, "no record %s was admitted", r.GetRef())
		}
		if err != nil {
			return err
		}
		e, err := event.Decode(body)
		if err != nil {
			return err
		}
		out.Rev, out.Data, out.Related, out.AdmittedAt = e.Rev, e.Data, e.Related, timestamppb.New(store.Time(admitted))
		return nil
	})
	return out, err
}

// Republish publishes the events of a lane again from a number on.
func (s *Server) Republish(ctx context.Context, r *controlv1.RepublishRequest) (*controlv1.RepublishResponse, error) {
	var n int64
	err := s.in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		var err error
		n, err = tx.Exec(`UPDATE event SET published_at = NULL WHERE target = $1 AND lane = $2 AND seq >= $3 AND published_at IS NOT NULL`, r.GetTarget(), r.GetLane(), r.GetFromSeq())
		return err
	})
	s.in.relay.Wake()
	return &controlv1.RepublishResponse{Events: n}, err
}

// ListExceptions lists records that never got a lane, oldest first.
func (s *Server) ListExceptions(ctx context.Context, f *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	state := f.GetState()
	if state == "" && f.GetId() == "" {
		state = "open"
	}
	part, err := control.PageOf(f.GetLimit(), f.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("subject", scope.Accounts, []any{state, f.GetId(), f.GetKind(), part.Limit + 1, part.At, part.ID, f.GetSubject()})
	page := &controlv1.ListExceptionsResponse{}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, kind, state, owner, subject, customer, reason, fix, opened_at FROM exception
			WHERE ($1 = '' OR state = $1) AND ($2 = '' OR id = $2) AND ($3 = '' OR kind = $3) AND (opened_at, id) > ($5, $6) AND ($7 = '' OR subject = $7) AND `+theirs+` ORDER BY opened_at, id LIMIT $4`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := &controlv1.Exception{}
			var opened int64
			if err := rows.Scan(&e.Id, &e.Kind, &e.State, &e.Owner, &e.Subject, &e.Customer, &e.Reason, &e.Fix, &opened); err != nil {
				return err
			}
			e.OpenedAt = timestamppb.New(store.Time(opened))
			e.SourceUrl = s.page(e.GetSubject())
			if e.GetState() == "open" {
				e.Actions = []string{"retry", "discard"}
			}
			page.Items = append(page.Items, e)
		}
		return rows.Err()
	})
	if err == nil && f.GetId() != "" && len(page.Items) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no exception %s", f.GetId())
	}
	page.Items, page.Next = control.CutPage(part, page.Items, control.ExceptionPlace)
	return page, err
}

func (s *Server) page(subject string) string {
	ref, err := event.ParseRef(subject)
	if err != nil {
		return ""
	}
	if src := s.in.sourceOf(ref); src != nil && src.conn.Page != nil {
		return src.conn.Page(ref)
	}
	return ""
}

// Act: retry reads the record again; discard closes the exception with a
// reason, and the record counts again when it changes.
func (s *Server) Act(ctx context.Context, a *controlv1.ActRequest) (*controlv1.ActResponse, error) {
	if a.GetAction() != "retry" && a.GetAction() != "discard" {
		return nil, status.Errorf(codes.InvalidArgument, "action %q is not one of retry, discard", a.GetAction())
	}
	if strings.TrimSpace(a.GetReason()) == "" {
		return nil, status.Error(codes.InvalidArgument, "a reason is mandatory: it goes into the audit trail")
	}
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ActResponse{}
	var hints []connector.Hint
	theirs, args := store.Under("subject", scope.Accounts, []any{a.GetId(), a.GetKind()})
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, subject FROM exception WHERE state = 'open' AND ($1 = '' OR id = $1) AND ($2 = '' OR kind = $2) AND `+theirs+` ORDER BY opened_at, id`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, subject string
			if err := rows.Scan(&id, &subject); err != nil {
				return err
			}
			out.Exceptions = append(out.Exceptions, id)
			if ref, err := event.ParseRef(subject); err == nil {
				hints = append(hints, connector.Hint{Ref: ref})
			}
		}
		return rows.Err()
	})
	if err == nil && a.GetId() != "" && len(out.Exceptions) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no open exception %s", a.GetId())
	}
	if err != nil || a.GetDryRun() {
		return out, err
	}
	return out, s.apply(ctx, a, out, hints)
}

func (s *Server) apply(ctx context.Context, a *controlv1.ActRequest, out *controlv1.ActResponse, hints []connector.Hint) error {
	state := "released"
	if a.GetAction() == "discard" {
		state, hints = "discarded", nil
	}
	err := s.in.storeHints(ctx, hints, event.Change, event.Realtime, func(tx *store.Tx) error {
		for _, id := range out.GetExceptions() {
			if err := s.acted(tx, a, id, state); err != nil {
				return err
			}
		}
		return nil
	})
	s.in.facts.Wake()
	return err
}

// acted closes an exception and tells who did it and why, unless another was faster.
func (s *Server) acted(tx *store.Tx, a *controlv1.ActRequest, id, state string) error {
	var subject string
	err := tx.QueryRow(`UPDATE exception SET state = $1, action = $2, acted_by = $3, acted_at = $4, note = $5 WHERE id = $6 AND state = 'open' RETURNING subject`,
		state, a.GetAction(), a.GetActor(), tx.Now(), a.GetReason(), id).Scan(&subject)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	ref, err := event.ParseRef(subject)
	if err != nil {
		return err
	}
	f := s.in.exceptionFact(tx, "exception.acted", a.GetActor(), ref)
	f.Outcome, f.Detail, f.Exception = a.GetAction(), a.GetReason(), id
	return trail.Append(tx, f)
}

// StreamHeads returns the last fact taken of each stream asked for.
func (s *Server) StreamHeads(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
	return control.StreamHeads(ctx, s.in.deps.DB, r)
}

// OpenRefs names the records whose events have not ended, and those that a
// person must look at.
func (s *Server) OpenRefs(ctx context.Context, _ *controlv1.OpenRefsRequest) (*controlv1.OpenRefsResponse, error) {
	scope, err := control.Scope(ctx, s.in.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("ref", scope.Accounts, nil)
	out := &controlv1.OpenRefsResponse{}
	err = s.in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT ref, cause, target FROM (SELECT ref, 'in_flight' AS cause, '' AS target FROM hint UNION ALL SELECT ref, 'in_flight', target FROM event WHERE ended_at = 0
			UNION ALL SELECT subject, 'parked', '' FROM exception WHERE state = 'open'
			UNION ALL SELECT subject, 'discarded', '' FROM exception x WHERE state = 'discarded'
				AND NOT EXISTS (SELECT 1 FROM event e WHERE e.ref = x.subject AND e.admitted_at > x.acted_at)) AS due WHERE `+theirs, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := &controlv1.OpenRef{}
			if err := rows.Scan(&r.Ref, &r.Cause, &r.Target); err != nil {
				return err
			}
			out.Items = append(out.Items, r)
		}
		return rows.Err()
	})
	return out, err
}
