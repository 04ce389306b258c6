package writer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// TestConnection reads a little and says what works and what does not.
func (s *Server) TestConnection(ctx context.Context, r *controlv1.TestConnectionRequest) (*controlv1.TestConnectionResponse, error) {
	c, conn, err := s.connection(r.GetConnection())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, vendorPatience)
	defer cancel()
	ctx = s.w.extra(ctx, c.Account)
	checks := s.checkToken(ctx, c)
	if checks[0].OK && conn.Check != nil {
		checks = append(checks, conn.Check(ctx)...)
	}
	if !slices.ContainsFunc(checks, func(x connector.Check) bool { return !x.OK && x.Name != "properties" && x.Name != "scopes" }) {
		checks = append(checks, s.checkBooks(ctx, c, conn)...)
	}
	out := &controlv1.TestConnectionResponse{Account: c.Account}
	for _, x := range checks {
		out.Checks = append(out.Checks, &controlv1.ConnectionCheck{Name: x.Name, Ok: x.OK, Detail: x.Detail, Next: command(x.Next, c.ID)})
	}
	return out, nil
}

// patiently asks again, once, what the vendor was too busy to answer.
func patiently[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	got, err := ask(ctx)
	if fault.KindOf(err) != fault.RateLimited {
		return got, err
	}
	idle.For(ctx, min(fault.As(err).RetryAfter, time.Minute))
	return ask(ctx)
}

// command adds the connection to a command that a connector names without it.
func command(next, id string) string {
	for _, action := range []string{"authorize", "prepare"} {
		next = strings.ReplaceAll(next, "tieout connections "+action, "tieout connections "+action+" "+id)
	}
	return next
}

func (s *Server) checkToken(ctx context.Context, c registry.Connection) []connector.Check {
	x := connector.Check{Name: "token", Next: "tieout connections authorize"}
	tokens, ok := s.w.deps.Vault.of(c.ID)
	if !ok {
		x.Detail = "this writer keeps no token of it"
		return []connector.Check{x}
	}
	if _, err := tokens.Token(ctx); err != nil {
		x.Detail = err.Error()
		return []connector.Check{x}
	}
	x.OK, x.Next, x.Detail = true, "", "there is one"
	if at := tokens.ends(); at != nil {
		x.Detail = "there is one; a person must consent again by " + at.AsTime().UTC().Format("2006-01-02") + " unless it is refreshed before"
	}
	return []connector.Check{x}
}

// checkBooks reads the closing date and the tables that symbols are bound in.
func (s *Server) checkBooks(ctx context.Context, c registry.Connection, conn *connector.Connection) []connector.Check {
	var out []connector.Check
	if books, ok := conn.Target.(connector.Locker); ok {
		x := connector.Check{Name: "closing date", OK: true, Detail: "the books are open"}
		through, err := patiently(ctx, books.LockedThrough)
		if through != "" {
			x.Detail = "the books are closed through " + through
		}
		if err != nil {
			x = failed("closing date", err)
		}
		out = append(out, x)
	}
	books, ok := conn.Target.(connector.Referencer)
	if !ok {
		return out
	}
	list, err := patiently(ctx, books.References)
	if err != nil {
		return append(out, failed("accounts and tax codes", err))
	}
	return append(out, counted(list), s.checkBindings(c, list))
}

func failed(name string, err error) connector.Check {
	x := connector.Check{Name: name, Detail: err.Error(), Next: "try again"}
	if fault.KindOf(err) == fault.Unauthorized {
		x.Next = "tieout connections authorize"
	}
	return x
}

func counted(list []connector.Reference) connector.Check {
	n := map[string]int{}
	for _, r := range list {
		n[r.Kind]++
	}
	var parts []string
	for _, kind := range []string{"account", "tax", "term"} {
		parts = append(parts, fmt.Sprintf("%d %ss", n[kind], strings.ReplaceAll(kind, "tax", "tax code")))
	}
	return connector.Check{Name: "accounts and tax codes", OK: true, Detail: strings.Join(parts, ", ")}
}

// checkBindings: each symbol of an entity that is written here names something
// that the books have.
func (s *Server) checkBindings(c registry.Connection, list []connector.Reference) connector.Check {
	has := map[string]bool{}
	for _, r := range list {
		has[r.Kind+":"+r.Key] = true
	}
	var missing []string
	n, seen := 0, map[string]bool{}
	for _, route := range s.w.deps.Registry.Routes {
		e, ok := s.w.deps.Registry.Entity(route.Entity)
		if !ok || route.Target != c.Account || seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		for symbol, name := range e.Bindings {
			n++
			if kind, _, _ := strings.Cut(symbol, ":"); !has[kind+":"+name] {
				missing = append(missing, fmt.Sprintf("%s of %s is bound to %q", symbol, e.ID, name))
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return connector.Check{Name: "bindings", Detail: "the books have none of: " + strings.Join(missing, "; "), Next: "make it in the books under that name, or bind the symbol to another name"}
	}
	return connector.Check{Name: "bindings", OK: true, Detail: fmt.Sprintf("%d symbols name something that the books have", n)}
}

// PrepareConnection makes at the vendor what write-back needs.
func (s *Server) PrepareConnection(ctx context.Context, r *controlv1.PrepareConnectionRequest) (*controlv1.PrepareConnectionResponse, error) {
	c, conn, err := s.connection(r.GetConnection())
	if err != nil {
		return nil, err
	}
	out := &controlv1.PrepareConnectionResponse{}
	if conn.Setup == nil || conn.Missing == nil {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, vendorPatience)
	defer cancel()
	if out.Items, err = conn.Missing(ctx); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if r.GetDryRun() || len(out.Items) == 0 {
		return out, nil
	}
	if err := conn.Setup(ctx); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	out.Made = true
	err = s.w.deps.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		return s.w.appendFacts(tx, trail.Fact{
			Type: "connection.prepared", Tenant: c.Tenant, Target: c.Account, Actor: r.GetActor(), Outcome: "prepared", Detail: strings.Join(out.Items, "; "),
		})
	})
	s.w.relay.Wake()
	return out, err
}
