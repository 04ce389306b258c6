package writer

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// everyAction is what a person can do about an exception, in the order in
// which it is offered.
var everyAction = []string{protocol.Retry, protocol.Rerender, protocol.Requeue, protocol.LinkTo, protocol.ConfirmAbsent, protocol.ReissueIt, protocol.Discard}

// needsTwo lists the actions that change what the books mean, or give up on a
// record: where the installation asks for it, a second person must ask for the
// same.
var needsTwo = []string{protocol.LinkTo, protocol.ConfirmAbsent, protocol.ReissueIt, protocol.Discard}

// A conflict about one of these is about a record that the document uses, such
// as one out of use: there is no document yet to be made once more.
const (
	fieldCustomer = "customer"
	fieldItem     = "item"
)

// acted is an open exception that a person acts on.
type acted struct {
	id, kind, field, target, lane string
	seq                           int64
	aside                         bool
}

// actions are what may be done about it now.
func (x acted) actions() []string {
	switch {
	case x.lane == "":
		return []string{protocol.Retry}
	case x.seq == 0:
		return []string{protocol.Retry, protocol.Discard}
	case x.aside:
		return []string{protocol.Retry, protocol.Discard}
	}
	out := []string{protocol.Retry, protocol.Rerender, protocol.Requeue}
	switch exception.Kind(x.kind) {
	case exception.Match:
		out = append(out, protocol.LinkTo)
	case exception.Recovery: // retry says that the books are right as they are
		out = []string{protocol.Retry, protocol.LinkTo}
	case exception.Doubt:
		out = []string{protocol.Retry, protocol.LinkTo, protocol.ConfirmAbsent}
	case exception.Tax, exception.Period:
		if protocol.Agreeable(x.field) {
			out = append(out, protocol.ReissueIt)
		}
	case exception.Conflict:
		if x.field != fieldCustomer && x.field != fieldItem {
			out = append(out, protocol.ReissueIt)
		}
	}
	return append(out, protocol.Discard)
}

// Act stores a person's action as a command; the owner applies it in a turn,
// so a crash loses nothing and any replica may take the request.
func (s *Server) Act(ctx context.Context, r *controlv1.ActRequest) (*controlv1.ActResponse, error) {
	if err := checkAct(r); err != nil {
		return nil, err
	}
	scope, err := control.Scope(ctx, s.w.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ActResponse{}
	targets := map[string]bool{}
	err = s.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		rows, err := actedOn(tx, r, scope)
		if err != nil {
			return err
		}
		for _, x := range rows {
			if err := s.command(tx, r, x, out); err != nil {
				return err
			}
			targets[x.target] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	crash.At(crash.WriterActionStored)
	if !r.GetAll() && len(out.Exceptions) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no open exception %s", r.GetId())
	}
	for t := range targets {
		s.w.wakeOwner(t)
	}
	return out, nil
}

func checkAct(r *controlv1.ActRequest) error {
	switch {
	case !slices.Contains(everyAction, r.GetAction()):
		return status.Errorf(codes.InvalidArgument, "action %q is not one of %s", r.GetAction(), strings.Join(everyAction, ", "))
	case strings.TrimSpace(r.GetReason()) == "":
		return status.Error(codes.InvalidArgument, "a reason is mandatory: it goes into the audit trail")
	case r.GetAll() && r.GetAction() != protocol.Retry && r.GetAction() != protocol.Rerender:
		return status.Error(codes.InvalidArgument, "only retry and rerender act on all; name each exception for "+r.GetAction())
	case !r.GetAll() && r.GetId() == "" && !(r.GetAction() == protocol.ReissueIt && r.GetRef() != ""):
		return status.Error(codes.InvalidArgument, "name the exception, or say all")
	case r.GetAction() == protocol.LinkTo && !strings.Contains(r.GetRef(), "/"):
		return status.Errorf(codes.InvalidArgument, "%q names no record in the books to link: say type/id, or system/account/type/id", r.GetRef())
	}
	return nil
}

// command stores the action, or what a second person has yet to ask for.
func (s *Server) command(tx *store.Tx, r *controlv1.ActRequest, x acted, out *controlv1.ActResponse) error {
	if !slices.Contains(x.actions(), r.GetAction()) && x.id != "" {
		return status.Errorf(codes.FailedPrecondition, "%s is not possible for exception %s; possible are %s", r.GetAction(), x.id, strings.Join(x.actions(), ", "))
	}
	if r.GetAll() && x.kind == string(exception.Recovery) {
		return nil // each is a person's word on what the books hold
	}
	ref, err := named(r, x)
	if err != nil {
		return err
	}
	out.Exceptions = append(out.Exceptions, x.id)
	if r.GetDryRun() {
		return nil
	}
	id := event.Digest("command/v1", x.id, x.target, r.GetAction(), ref, r.GetPart())[:24]
	state, approver, err := s.second(tx, r, id)
	if err != nil {
		return err
	}
	if state == "proposed" {
		out.Proposed = append(out.Proposed, x.id)
	}
	_, err = tx.Exec(`INSERT INTO command (id, target, exception, lane, seq, action, actor, reason, state, created_at, ref, part, approver)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO UPDATE SET state = $9, reason = $8, approver = $13, created_at = $10, refused = ''`,
		id, x.target, x.id, x.lane, x.seq, r.GetAction(), r.GetActor(), r.GetReason(), state, tx.Now(), ref, r.GetPart(), approver)
	out.Commands = append(out.Commands, id)
	return err
}

// named is the record that an action names; what is linked stands in the books
// that the exception is about, so that its account need not be said.
func named(r *controlv1.ActRequest, x acted) (string, error) {
	if r.GetAction() != protocol.LinkTo {
		return r.GetRef(), nil
	}
	ref := completed(x.target, r.GetRef())
	if parsed, err := event.ParseRef(ref); err != nil || parsed.AccountRef() != x.target {
		return "", status.Errorf(codes.InvalidArgument, "%s is no record of %s, which is what exception %s is about: say type/id, or %s/type/id", r.GetRef(), x.target, x.id, x.target)
	}
	return ref, nil
}

// second decides whether the action waits for another person: the one who
// proposed it cannot approve it.
func (s *Server) second(tx *store.Tx, r *controlv1.ActRequest, id string) (state, approver string, err error) {
	if !s.w.deps.SecondPerson || !slices.Contains(needsTwo, r.GetAction()) {
		return "waiting", "", nil
	}
	rows, err := tx.Query(`SELECT actor FROM command WHERE id = $1 AND state = 'proposed'`, id)
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	for rows.Next() {
		var actor string
		if err := rows.Scan(&actor); err != nil {
			return "", "", err
		}
		if actor != r.GetActor() {
			return "waiting", r.GetActor(), nil
		}
	}
	return "proposed", "", rows.Err()
}

func actedOn(tx *store.Tx, r *controlv1.ActRequest, scope registry.Scope) ([]acted, error) {
	if r.GetId() == "" && !r.GetAll() { // a document to be reissued, without an exception of its own
		return reissued(tx, r.GetRef(), scope)
	}
	theirs, args := store.Under("e.target", scope.Accounts, []any{r.GetId(), r.GetKind()})
	rows, err := tx.Query(`SELECT e.id, e.kind, e.field, e.target, e.lane, e.seq, CASE WHEN s.state = 'aside' THEN 1 ELSE 0 END FROM exception e
		LEFT JOIN slot s ON s.target = e.target AND s.lane = e.lane AND s.seq = e.seq
		WHERE e.state = 'open' AND ($1 = '' OR e.id = $1) AND ($2 = '' OR e.kind = $2) AND `+theirs+` ORDER BY e.opened_at, e.id`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []acted
	for rows.Next() {
		var x acted
		var aside int
		if err := rows.Scan(&x.id, &x.kind, &x.field, &x.target, &x.lane, &x.seq, &aside); err != nil {
			return nil, err
		}
		x.aside = aside == 1
		if r.GetAll() && !slices.Contains(x.actions(), r.GetAction()) {
			continue
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

// reissued are the targets in which a source record has documents.
func reissued(tx *store.Tx, ref string, scope registry.Scope) ([]acted, error) {
	theirs, args := store.Under("other_target", scope.Accounts, []any{ref})
	rows, err := tx.Query(`SELECT DISTINCT other_target FROM link WHERE source_ref = $1 AND state = 'primary' AND kind = 'INVOICE' AND `+theirs+` ORDER BY other_target`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []acted
	for rows.Next() {
		var x acted
		if err := rows.Scan(&x.target); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}

// ListCommands tells what became of actions.
func (s *Server) ListCommands(ctx context.Context, r *controlv1.ListCommandsRequest) (*controlv1.ListCommandsResponse, error) {
	scope, err := control.Scope(ctx, s.w.deps.Registry)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListCommandsResponse{}
	err = s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		for _, id := range r.GetIds() {
			c := &controlv1.Command{}
			theirs, args := store.Under("target", scope.Accounts, []any{id})
			err := tx.QueryRow(`SELECT id, exception, state, refused FROM command WHERE id = $1 AND `+theirs, args...).Scan(&c.Id, &c.Exception, &c.State, &c.Refused)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			out.Items = append(out.Items, c)
		}
		return nil
	})
	return out, err
}

// refused adds the last action on an exception that changed nothing, and why.
func refused(tx *store.Tx, e *controlv1.Exception) error {
	r := &controlv1.Refusal{}
	var at int64
	err := tx.QueryRow(`SELECT action, actor, refused, created_at FROM command WHERE exception = $1 AND refused <> '' ORDER BY created_at DESC LIMIT 1`, e.GetId()).
		Scan(&r.Action, &r.Actor, &r.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	r.At, e.Refused = stamp(at), r
	return err
}

// ActOnConnection pauses what is written to a connection, or lets it go on.
func (s *Server) ActOnConnection(ctx context.Context, r *controlv1.ActOnConnectionRequest) (*controlv1.ActOnConnectionResponse, error) {
	c, ok := s.w.deps.Registry.Connection(r.GetConnection())
	switch {
	case !ok:
		return nil, status.Errorf(codes.NotFound, "there is no connection %s", r.GetConnection())
	case r.GetAction() != protocol.Pause && r.GetAction() != protocol.Resume:
		return nil, status.Errorf(codes.InvalidArgument, "action %q is not one of pause, resume", r.GetAction())
	case strings.TrimSpace(r.GetReason()) == "":
		return nil, status.Error(codes.InvalidArgument, "a reason is mandatory: it goes into the audit trail")
	}
	if r.GetDryRun() {
		return &controlv1.ActOnConnectionResponse{}, nil
	}
	var id string
	err := s.w.deps.DB.Write(ctx, func(tx *store.Tx) (err error) {
		id, err = orderTarget(tx, c.Account, r.GetAction(), r.GetActor(), r.GetReason())
		return err
	})
	s.w.wakeOwner(c.Account)
	return &controlv1.ActOnConnectionResponse{Command: id}, err
}

// orderTarget stores a pause or a resume; the owner's next turn applies it.
func orderTarget(tx *store.Tx, account, action, actor, reason string) (id string, err error) {
	id = event.Digest("command/v1", account, action, actor, store.Time(tx.Now()).String())[:24]
	_, err = tx.Exec(`INSERT INTO command (id, target, exception, lane, seq, action, actor, reason, state, created_at) VALUES ($1, $2, '', '', 0, $3, $4, $5, 'waiting', $6) ON CONFLICT (id) DO NOTHING`,
		id, account, action, actor, reason, tx.Now())
	return id, err
}
