package writer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/registry"
)

// ledger is a target that makes a record for every create, and remembers no key.
type ledger struct {
	connector.Target
	made    []*connector.Posting
	symbols []string // that were resolved
}

func (l *ledger) Encode(d connector.Draft) (connector.Encoded, error) {
	if d.Effect == connector.Void {
		return connector.Encoded{Body: []byte("void " + d.Current.Ref.ID)}, nil
	}
	if it := d.Part.Item; it != nil {
		id, ok := d.Symbol("account", it.Account)
		if !ok {
			return connector.Encoded{}, fault.New(fault.Unresolved, "account %q", it.Account)
		}
		l.symbols = append(l.symbols, id)
	}
	return connector.Encoded{Body: []byte(d.Mark), Fields: map[string]string{"name": d.Part.Subject}}, nil
}

func (l *ledger) Put(ctx context.Context, call connector.Call) []connector.Outcome {
	if err := connector.CountRequest(ctx); err != nil {
		return []connector.Outcome{{Err: &fault.Error{Kind: fault.Transient, Err: err}}}
	}
	if id, yes := strings.CutPrefix(string(call.Items[0].Body), "void "); yes {
		for _, p := range l.made {
			if p.Ref.ID == id {
				p.Active = false
				return []connector.Outcome{{Posting: p}}
			}
		}
	}
	ref := event.Ref{System: "books", Account: "1", Type: "item", ID: fmt.Sprint(len(l.made) + 1)}
	l.made = append(l.made, &connector.Posting{Ref: ref, Kind: call.Items[0].Kind, Mark: call.Items[0].Mark, Active: true})
	return []connector.Outcome{{Posting: l.made[len(l.made)-1]}}
}

func (l *ledger) Find(_ context.Context, p connector.Probe) (out []connector.Posting, err error) {
	for _, x := range l.made {
		if x.Mark == p.Mark {
			out = append(out, *x)
		}
	}
	return out, nil
}

func (l *ledger) Get(_ context.Context, _ document.Kind, ref event.Ref) (connector.Posting, error) {
	for _, x := range l.made {
		if x.Ref == ref {
			return *x, nil
		}
	}
	return connector.Posting{}, fault.New(fault.NotFound, "it is not there")
}

func (l *ledger) References(context.Context) ([]connector.Reference, error) {
	return []connector.Reference{{Kind: "account", Key: "Sales", ID: "79"}}, nil
}

// ledgerDesk is a writer of a ledger whose items are claimed to be of a class.
func ledgerDesk(t *testing.T, class connector.Ambiguity) (*desk, *ledger) {
	d, l := newDesk(t), &ledger{}
	d.conn.Target = l
	d.conn.Claims = connector.Claims{Ambiguity: map[document.Kind]connector.Ambiguity{document.ItemKind: class}, SearchLag: time.Second, LongestRequest: time.Second, KeyLife: time.Hour}
	reg := d.server.w.deps.Registry
	reg.Entities = []registry.Entity{{ID: "ie", Currency: "EUR", Zone: "Europe/Dublin", Bindings: map[string]string{"account:gone": "None", "account:sales": "Sales"}}}
	reg.Routes = []registry.Route{{ID: "r", Entity: "ie", Target: "books/1"}}
	return d, l
}

func (d *desk) probe(change func(*controlv1.ProbeConnectionRequest)) (*controlv1.ProbeConnectionResponse, error) {
	r := &controlv1.ProbeConnectionRequest{Connection: "books", Kind: "ITEM", Samples: 1, Reason: "new company", Actor: "ann"}
	if change != nil {
		change(r)
	}
	return d.server.ProbeConnection(d.t.Context(), r)
}

// A claim that is contradicted pauses the connection, with the reason; both what
// was about to be written and what was found are on the trail.
func TestAClaimThatIsContradictedPausesTheConnection(t *testing.T) {
	d, l := ledgerDesk(t, connector.KeyRemembered)
	got, err := d.probe(nil)
	if err != nil || got.GetCommand() == "" || len(got.GetKinds()) != 1 || got.GetAccount() != "books/1" {
		t.Fatalf("%v, %v", got, err)
	}
	k := got.GetKinds()[0]
	if k.GetVerdict() != "contradicted" || k.GetMeasured() != "C" || k.GetClaimed() != "A" || len(k.GetLeft()) != 0 || k.GetMade() != int64(len(l.made)) || k.GetFindings()[0].GetWho() != "tieout" {
		t.Errorf("%v", k)
	}
	if n := d.count(`SELECT COUNT(*) FROM command WHERE target = 'books/1' AND action = 'pause' AND actor = 'ann' AND state = 'waiting' AND reason LIKE '%class of ITEM is claimed as A and measured as C%'`); n != 1 {
		t.Errorf("%d commands", n)
	}
	if n := d.count(`SELECT COUNT(*) FROM outbox`); n != 2 {
		t.Errorf("%d facts", n)
	}
	for _, p := range l.made {
		if p.Active {
			t.Errorf("%s stands", p.Ref)
		}
	}
	if len(l.symbols) == 0 || l.symbols[0] != "79" {
		t.Errorf("accounts %q", l.symbols)
	}
}

func TestAClaimThatHoldsPausesNothing(t *testing.T) {
	d, _ := ledgerDesk(t, connector.Searchable)
	got, err := d.probe(nil)
	if err != nil || got.GetCommand() != "" || got.GetKinds()[0].GetVerdict() != "holds" || d.count(`SELECT COUNT(*) FROM command`) != 0 || d.count(`SELECT COUNT(*) FROM outbox`) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

// Without a word to the trail, or of what nobody claims, nothing is written.
func TestProbesThatDoNotBegin(t *testing.T) {
	d, l := ledgerDesk(t, connector.Searchable)
	for what, x := range map[string]struct {
		change func(*controlv1.ProbeConnectionRequest)
		code   codes.Code
		says   string
	}{
		"no reason":        {func(r *controlv1.ProbeConnectionRequest) { r.Reason = " " }, codes.InvalidArgument, "mandatory"},
		"no kind":          {func(r *controlv1.ProbeConnectionRequest) { r.Kind = "" }, codes.InvalidArgument, "ITEM"},
		"another kind":     {func(r *controlv1.ProbeConnectionRequest) { r.Kind = "INVOICE" }, codes.InvalidArgument, "not one of ITEM"},
		"too many samples": {func(r *controlv1.ProbeConnectionRequest) { r.Samples = 21 }, codes.InvalidArgument, "21"},
		"too long a wait":  {func(r *controlv1.ProbeConnectionRequest) { r.KeyWaitMs = 1 << 40 }, codes.InvalidArgument, "24h"},
		"no connection":    {func(r *controlv1.ProbeConnectionRequest) { r.Connection = "x" }, codes.NotFound, "no connection"},
	} {
		if _, err := d.probe(x.change); status.Code(err) != x.code || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	got, err := d.probe(func(r *controlv1.ProbeConnectionRequest) { r.Kind, r.DryRun, r.Reason = "", true, "" })
	if err != nil || len(got.GetKinds()) != 1 || !got.GetKinds()[0].GetTakesBack() || !strings.Contains(got.GetKinds()[0].GetWrites(), "items") {
		t.Errorf("%v, %v", got, err)
	}
	d.server.w.probing.Store("books/1", true)
	if _, err := d.probe(nil); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "under way") {
		t.Errorf("%v", err)
	}
	d.server.w.probing.Delete("books/1")
	d.server.w.deps.Registry.Routes = nil
	if _, err := d.probe(nil); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "no route") {
		t.Errorf("%v", err)
	}
	if len(l.made) > 0 || d.count(`SELECT COUNT(*) FROM outbox`) != 0 {
		t.Errorf("%d records, %d facts", len(l.made), d.count(`SELECT COUNT(*) FROM outbox`))
	}
}

// Where another replica writes, a probe has a small share of the limits only.
func TestAProbeElsewhereHasASmallShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &Server{w: &Writer{owners: map[string]*owner{}, deps: Deps{Now: time.Now}}}
		ctx := s.politely(t.Context(), "books/1", &connector.Connection{Claims: connector.Claims{Limits: []connector.Limit{{Requests: 100, Window: time.Minute}}}})
		for range 11 {
			if err := connector.CountRequest(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 2*time.Minute {
			t.Errorf("11 requests took %s", took)
		}
	})
}
