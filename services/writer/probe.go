package writer

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/connector/probe"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/quota"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

const (
	// samplesMost and keyWaitMost bound what a person can ask for.
	samplesMost = 20
	keyWaitMost = 24 * time.Hour
	// probeShare is what a probe has of a connection's limits where another replica
	// writes and spends ours, in percent.
	probeShare = 5
)

// probedKinds are what can be probed, in the order in which it is.
var probedKinds = []document.Kind{document.CustomerKind, document.ItemKind, document.InvoiceKind, document.CreditNoteKind, document.MarkerKind}

// ProbeConnection measures what a connection claims of one kind. What it is about
// to write is on the trail before it does; where a claim is contradicted the
// connection is paused, so that nothing leaves under it.
func (s *Server) ProbeConnection(ctx context.Context, r *controlv1.ProbeConnectionRequest) (*controlv1.ProbeConnectionResponse, error) {
	c, conn, err := s.connection(r.GetConnection())
	if err != nil {
		return nil, err
	}
	if err := checkProbe(r, conn); err != nil {
		return nil, err
	}
	out := &controlv1.ProbeConnectionResponse{Account: c.Account}
	if r.GetDryRun() {
		out.Kinds = plannedKinds(conn, r)
		return out, nil
	}
	if _, busy := s.w.probing.LoadOrStore(c.Account, true); busy {
		return nil, status.Errorf(codes.FailedPrecondition, "a probe of %s is under way: it ends by itself", c.ID)
	}
	defer s.w.probing.Delete(c.Account)
	ctx = s.politely(ctx, c.Account, conn)
	setup, err := s.probeSetup(ctx, c, conn, r)
	if err != nil {
		return nil, err
	}
	if err := s.tellProbe(ctx, c, r, trail.Fact{Type: "connection.probing", Outcome: "begun", Detail: probeIntent(setup, r)}); err != nil {
		return nil, err
	}
	report := probe.Run(ctx, setup, document.Kind(r.GetKind()))
	out.Kinds = []*controlv1.ProbedKind{toProbed(report)}
	out.Command, err = s.concludeProbe(context.WithoutCancel(ctx), c, r, setup.Run, report)
	return out, err
}

func checkProbe(r *controlv1.ProbeConnectionRequest, conn *connector.Connection) error {
	_, claimed := conn.Claims.Ambiguity[document.Kind(r.GetKind())]
	switch {
	case conn.Target == nil || len(conn.Claims.Ambiguity) == 0:
		return status.Errorf(codes.FailedPrecondition, "nothing is written to connection %s: it claims nothing", r.GetConnection())
	case !claimed && !(r.GetDryRun() && r.GetKind() == ""):
		return status.Errorf(codes.InvalidArgument, "kind %q is not one of %s, which are written to connection %s", r.GetKind(), strings.Join(kindsOf(conn), ", "), r.GetConnection())
	case r.GetSamples() < 0 || r.GetSamples() > samplesMost:
		return status.Errorf(codes.InvalidArgument, "%d samples are not between 1 and %d", r.GetSamples(), samplesMost)
	case r.GetKeyWaitMs() < 0 || time.Duration(r.GetKeyWaitMs())*time.Millisecond > keyWaitMost:
		return status.Errorf(codes.InvalidArgument, "a key is used again after at most %s", keyWaitMost)
	case !r.GetDryRun() && strings.TrimSpace(r.GetReason()) == "":
		return status.Error(codes.InvalidArgument, "a reason is mandatory: it goes into the audit trail")
	}
	return nil
}

func kindsOf(conn *connector.Connection) (out []string) {
	for _, kind := range probedKinds {
		if _, claimed := conn.Claims.Ambiguity[kind]; claimed {
			out = append(out, string(kind))
		}
	}
	return out
}

// samplesOf is how many documents the lag is measured by.
func samplesOf(r *controlv1.ProbeConnectionRequest) int {
	if r.GetSamples() == 0 {
		return 3
	}
	return int(r.GetSamples())
}

func plannedKinds(conn *connector.Connection, r *controlv1.ProbeConnectionRequest) (out []*controlv1.ProbedKind) {
	for _, name := range kindsOf(conn) {
		kind := document.Kind(name)
		if r.GetKind() == "" || r.GetKind() == name {
			out = append(out, &controlv1.ProbedKind{
				Kind: name, Claimed: string(conn.Claims.Ambiguity[kind]), Writes: probe.Writes(conn.Target, kind, samplesOf(r)), TakesBack: probe.TakesBack(conn.Target, kind),
			})
		}
	}
	return out
}

// politely has each request wait for its place in the quota: the owner's, and
// where another replica has that, a small share of our own.
func (s *Server) politely(ctx context.Context, account string, conn *connector.Connection) context.Context {
	if s.w.owner(account) != nil {
		return s.w.extra(ctx, account)
	}
	return (&pass{quota: quota.New(conn.Claims.Limits, probeShare), now: s.w.deps.Now}).on(ctx)
}

// probeSetup reads what documents are made of: the entity's currency, and an
// account and a tax code that it binds.
func (s *Server) probeSetup(ctx context.Context, c registry.Connection, conn *connector.Connection, r *controlv1.ProbeConnectionRequest) (probe.Setup, error) {
	now := s.w.deps.Now()
	out := probe.Setup{
		Target: conn.Target, Claims: conn.Claims, Run: now.UTC().Format("20060102T150405Z") + "-" + rand.Text()[:6], Samples: samplesOf(r),
		KeyWait: time.Duration(r.GetKeyWaitMs()) * time.Millisecond, Now: s.w.deps.Now, Symbol: func(string, string) (string, bool) { return "", false },
	}
	if r.GetKind() == string(document.MarkerKind) {
		if r.GetRef() != "" {
			out.Record = completed(c.Account, r.GetRef())
		}
		return out, nil
	}
	at := slices.IndexFunc(s.w.deps.Registry.Routes, func(x registry.Route) bool { return x.Target == c.Account && !x.WriteBack })
	if at < 0 {
		return out, status.Errorf(codes.FailedPrecondition, "no route writes to %s: nothing says in which currency and to which account; configure its route first", c.ID)
	}
	e, _ := s.w.deps.Registry.Entity(s.w.deps.Registry.Routes[at].Entity)
	out.Currency, out.IssueDate = e.Currency, now.Format(time.DateOnly)
	if zone, err := time.LoadLocation(e.Zone); err == nil {
		out.IssueDate = now.In(zone).Format(time.DateOnly)
	}
	books, ok := conn.Target.(connector.Referencer)
	if !ok {
		return out, nil
	}
	list, err := patiently(ctx, books.References)
	if err != nil {
		return out, status.Error(codes.FailedPrecondition, "the books' accounts and tax codes were not read: "+err.Error())
	}
	out.Symbol = bound(e, list)
	out.Account, out.Tax = anyOf(e, "account", out.Symbol), anyOf(e, "tax", out.Symbol)
	return out, nil
}

// bound resolves an entity's symbols by the books' tables as they are now.
func bound(e registry.Entity, list []connector.Reference) func(kind, symbol string) (string, bool) {
	ids := map[string]string{}
	for _, x := range list {
		ids[x.Kind+":"+x.Key] = x.ID
	}
	return func(kind, symbol string) (string, bool) {
		name, ok := e.Bindings[kind+":"+symbol]
		id, there := ids[kind+":"+name]
		return id, ok && there
	}
}

// anyOf is the first symbol of a kind that the books have, "" for none.
func anyOf(e registry.Entity, kind string, symbol func(kind, symbol string) (string, bool)) string {
	for _, key := range slices.Sorted(maps.Keys(e.Bindings)) {
		if name, of := strings.CutPrefix(key, kind+":"); of {
			if _, ok := symbol(kind, name); ok {
				return name
			}
		}
	}
	return ""
}

func probeIntent(s probe.Setup, r *controlv1.ProbeConnectionRequest) string {
	return fmt.Sprintf("%s: %s: it %s; what it makes has %q in its name", r.GetReason(), r.GetKind(), probe.Writes(s.Target, document.Kind(r.GetKind()), s.Samples), s.Run)
}

func (s *Server) tellProbe(ctx context.Context, c registry.Connection, r *controlv1.ProbeConnectionRequest, f trail.Fact) error {
	f.Tenant, f.Target, f.Actor = c.Tenant, c.Account, r.GetActor()
	err := s.w.deps.DB.Write(ctx, func(tx *store.Tx) error { return s.w.appendFacts(tx, f) })
	s.w.relay.Wake()
	return err
}

// concludeProbe tells what was found and, in the same transaction, pauses the
// connection where a claim is contradicted.
func (s *Server) concludeProbe(ctx context.Context, c registry.Connection, r *controlv1.ProbeConnectionRequest, run string, report *probe.Report) (command string, err error) {
	f := trail.Fact{Type: "connection.probed", Tenant: c.Tenant, Target: c.Account, Actor: r.GetActor(), Outcome: string(report.Verdict), Detail: probed(run, report)}
	err = s.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if report.Verdict == probe.Contradicted {
			if command, err = orderTarget(tx, c.Account, protocol.Pause, cmp.Or(r.GetActor(), Name), "a probe contradicts what is claimed: "+contradicted(report)); err != nil {
				return err
			}
		}
		return s.w.appendFacts(tx, f)
	})
	s.w.relay.Wake()
	s.w.wakeOwner(c.Account)
	return command, err
}

// probed is a report in one line of the trail.
func probed(run string, r *probe.Report) string {
	parts := []string{fmt.Sprintf("probe %s of %s", run, r.Kind)}
	if r.Stopped != "" {
		parts = append(parts, "ended early: "+r.Stopped)
	}
	for _, f := range r.Findings {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s: claimed %s %s", f.Claim, f.Verdict, f.Claimed, measured(f))))
	}
	left := "all taken back"
	if len(r.Left) > 0 {
		var names []string
		for _, l := range r.Left {
			names = append(names, strings.TrimSpace(l.Ref+" "+l.Mark))
		}
		left = "left in the books: " + strings.Join(names, ", ")
	}
	return strings.Join(append(parts, fmt.Sprintf("%d made in the books with %d requests, %s", r.Made, r.Requests, left)), "; ")
}

func measured(f probe.Finding) string {
	if f.Measured == "" {
		return ""
	}
	return "measured " + f.Measured
}

// contradicted names the claims that are.
func contradicted(r *probe.Report) string {
	var out []string
	for _, f := range r.Findings {
		if f.Verdict == probe.Contradicted {
			out = append(out, fmt.Sprintf("%s of %s is claimed as %s and measured as %s (%s)", f.Claim, r.Kind, f.Claimed, f.Measured, f.Said))
		}
	}
	return strings.Join(out, "; ")
}

func toProbed(r *probe.Report) *controlv1.ProbedKind {
	out := &controlv1.ProbedKind{
		Kind: string(r.Kind), Claimed: string(r.Claimed), Measured: string(r.Measured), Verdict: string(r.Verdict), Requests: int64(r.Requests), Made: int64(r.Made), Stopped: r.Stopped,
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, &controlv1.ProbeFinding{
			Claim: f.Claim, Claimed: f.Claimed, Measured: f.Measured, Samples: int64(f.Samples), Verdict: string(f.Verdict), Said: f.Said, Who: f.Who, Next: f.Next,
		})
	}
	for _, l := range r.Left {
		out.Left = append(out.Left, &controlv1.ProbeLeft{Ref: l.Ref, Mark: l.Mark, Why: l.Why})
	}
	return out
}
