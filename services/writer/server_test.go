package writer

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

func (d *desk) write(do func(tx *store.Tx) error) {
	d.t.Helper()
	if err := d.db.Write(d.t.Context(), do); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) exec(query string, args ...any) {
	d.t.Helper()
	d.write(func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err })
}

// queue stores a slot with an invoice of a gross amount.
func (d *desk) queue(lane string, seq int64, subject string, gross money.Amount) {
	d.t.Helper()
	zero := money.Amount{Currency: gross.Currency}
	r := &document.Rendering{EventID: subject, Target: "books/1", Lane: lane, Seq: seq, Class: event.Realtime, Ref: subject, Verdict: document.Documents, OccurredAt: time.Unix(1_800_000_000, 0),
		Parts: []document.Part{{Name: "invoice", Kind: document.InvoiceKind, Mode: document.Own, Desired: document.Issued, Subject: subject,
			Invoice: &document.Invoice{IssueDate: "2026-11-24", Currency: gross.Currency, Totals: document.Totals{Lines: gross, Net: gross, Tax: zero, Gross: gross}}}}}
	d.store(r)
}

// store takes a rendering as its slot.
func (d *desk) store(r *document.Rendering) {
	d.t.Helper()
	doc, err := document.Encode(r)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(func(tx *store.Tx) error { _, err := d.server.w.storeSlot(tx, r, doc, ""); return err })
}

func (d *desk) open(id string, kind exception.Kind, lane string, seq int64) {
	d.t.Helper()
	d.write(func(tx *store.Tx) error {
		return insertException(tx, &exception.Exception{ID: id, Kind: kind, State: exception.Open, Target: "books/1", Lane: lane, Seq: seq, Subject: "books/1", OpenedAt: d.now})
	})
}

func (d *desk) exception(id string) *controlv1.Exception {
	d.t.Helper()
	res, err := d.server.ListExceptions(d.t.Context(), &controlv1.ListExceptionsRequest{Id: id})
	if err != nil {
		d.t.Fatal(err)
	}
	return res.GetItems()[0]
}

// What pauses a connection says what waits for it and when it is tried next;
// what waits behind an exception of its own waits for that.
func TestAPausedConnectionSaysWhatWaits(t *testing.T) {
	d := newDesk(t)
	eur := func(n int64) money.Amount { return money.Amount{Minor: n, Currency: "EUR"} }
	d.queue("crm/1/company/1", 1, "crm/1/deal/1", eur(12000))
	d.queue("crm/1/company/1", 2, "crm/1/deal/2", eur(500))
	d.queue("crm/1/company/2", 1, "crm/1/deal/3", money.Amount{Minor: 700, Currency: "USD"})
	d.queue("crm/1/company/3", 1, "crm/1/deal/4", eur(1))
	d.open("w-own", exception.Validation, "crm/1/company/3", 1)
	d.exec(`UPDATE lane SET state = 'parked', exception = 'w-own' WHERE lane = 'crm/1/company/3'`)
	for _, kind := range []exception.Kind{exception.Connection, exception.Credential} {
		id := "w-" + string(kind)
		d.open(id, kind, "", 0)
		d.exec(`UPDATE target SET state = 'paused', alert = $1 WHERE target = 'books/1'`, id)
		o := &owner{}
		o.probeAt.Store(store.Micros(d.now.Add(time.Minute)))
		d.server.w.setOwner("books/1", o)
		e := d.exception(id)
		if h := e.GetHeld(); h.GetCount() != 3 || len(h.GetSum()) != 2 || h.GetSum()[0].GetMinor() != 12500 || h.GetSum()[1].GetMinor() != 700 {
			t.Errorf("%s: it holds %v", kind, h)
		}
		if got := e.GetWaitingUntil().AsTime(); !got.Equal(d.now.Add(time.Minute).Truncate(time.Microsecond)) {
			t.Errorf("%s: it waits until %s", kind, got)
		}
	}
	if e := d.exception("w-connection"); e.GetHeld().GetCount() != 0 { // it pauses nothing any more
		t.Errorf("it holds %v", e.GetHeld())
	}
}

// A short ref means the one record of its type and id; two are named, and an
// unknown one is told apart from a whole one that is new.
func TestShortRefs(t *testing.T) {
	d := newDesk(t)
	reg := d.server.w.deps.Registry
	for _, account := range []string{"crm/1", "crm/2"} {
		c := reg.Connections[0]
		c.ID, c.Account, c.System = account, account, "crm"
		reg.Connections = append(reg.Connections, c)
	}
	for i, subject := range []string{"crm/1/deal/1", "crm/2/deal/2", "crm/1/deal/3", "crm/2/deal/3"} {
		d.queue("crm/1/company/7", int64(i+1), subject, money.Amount{Minor: 1, Currency: "EUR"})
	}
	d.exec(`INSERT INTO link (source_ref, kind, part, n, other_target, other_ref, state, mapping_hash, base, base_rev, rev, other_version, number)
		VALUES ('crm/1/deal/1', 'INVOICE', 'invoice', 1, 'books/1', 'books/1/invoice/9', 'primary', '', '{}', 1, 1, '', '')`)
	for text, want := range map[string]string{
		"deal/1": "crm/1/deal/1", "crm/deal/2": "crm/2/deal/2", "crm/2/deal/3": "crm/2/deal/3", "company/7": "crm/1/company/7", "invoice/9": "books/1/invoice/9",
		"books/invoice/9": "books/1/invoice/9", "crm/9/deal/1": "crm/9/deal/1",
	} {
		res, err := d.server.ResolveRef(t.Context(), &controlv1.ResolveRefRequest{Ref: text})
		if err != nil || res.GetRef() != want {
			t.Errorf("%s is %s (%v), want %s", text, res.GetRef(), err, want)
		}
	}
	for text, want := range map[string]codes.Code{"deal/3": codes.InvalidArgument, "crm/deal/3": codes.InvalidArgument, "deal/4": codes.NotFound, "books/deal/1": codes.NotFound} {
		if res, err := d.server.ResolveRef(t.Context(), &controlv1.ResolveRefRequest{Ref: text}); status.Code(err) != want {
			t.Errorf("%s is %s (%v), want %s", text, res.GetRef(), err, want)
		}
	}
}

// An action that was refused says so, with the reason, until it is asked for anew.
func TestARefusedActionIsSaid(t *testing.T) {
	d := newDesk(t)
	d.queue("crm/1/company/1", 1, "crm/1/deal/1", money.Amount{Minor: 1, Currency: "EUR"})
	d.open("w-1", exception.Match, "crm/1/company/1", 1)
	act := func(ref string) (*controlv1.ActResponse, error) {
		return d.server.Act(t.Context(), &controlv1.ActRequest{Id: "w-1", Action: protocol.LinkTo, Ref: ref, Reason: "it is", Actor: "ann"})
	}
	became := func(id string) *controlv1.Command {
		t.Helper()
		res, err := d.server.ListCommands(t.Context(), &controlv1.ListCommandsRequest{Ids: []string{id, "none"}})
		if err != nil || len(res.GetItems()) != 1 {
			t.Fatalf("%v, %v", res, err)
		}
		return res.GetItems()[0]
	}
	short, err := act("customer/99")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := act("books/1/customer/99")
	if err != nil || !slices.Equal(short.GetCommands(), whole.GetCommands()) {
		t.Fatalf("%v and %v are two actions (%v)", short, whole, err)
	}
	id := whole.GetCommands()[0]
	if c := became(id); c.GetState() != "waiting" || c.GetException() != "w-1" {
		t.Errorf("it is %v", c)
	}
	d.write(func(tx *store.Tx) error {
		a := &applier{tx: tx}
		return a.commands(&protocol.Changes{Commands: []string{id}, Refused: []protocol.Refusal{{Command: id, Why: "the books have none"}}})
	})
	if c := became(id); c.GetState() != "applied" || c.GetRefused() != "the books have none" {
		t.Errorf("it is %v", c)
	}
	if r := d.exception("w-1").GetRefused(); r.GetAction() != "link" || r.GetActor() != "ann" || r.GetReason() != "the books have none" || r.GetAt() == nil {
		t.Errorf("the exception says %v", r)
	}
	if _, err := act("customer/99"); err != nil || became(id).GetRefused() != "" || d.exception("w-1").GetRefused() != nil {
		t.Errorf("asked for anew it is still refused: %v (%v)", became(id), err)
	}
	for _, ref := range []string{"99", "other/1/customer/99", ""} {
		if _, err := act(ref); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "type/id") {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// A record that a document uses and that is out of use is no document to be made
// once more.
func TestOnlyADocumentIsReissued(t *testing.T) {
	for field, offered := range map[string]bool{"": true, "lines": true, "customer": false, "item": false} {
		x := acted{kind: string(exception.Conflict), field: field, lane: "l", seq: 1}
		if got := slices.Contains(x.actions(), protocol.ReissueIt); got != offered {
			t.Errorf("a conflict about %q: reissue is offered %t", field, got)
		}
	}
}

// What is open at one target is not said of another, and a record may be open at both.
func TestOpenRefsNameTheirTarget(t *testing.T) {
	d := newDesk(t)
	for _, target := range []string{"books/1", "books/2"} {
		d.store(&document.Rendering{EventID: target, Target: target, Lane: "company/1", Seq: 1, Ref: "deal/1", Class: event.Realtime, Verdict: document.Nothing, OccurredAt: time.Unix(1_800_000_000, 0)})
	}
	d.exec(`UPDATE lane SET state = 'parked' WHERE target = 'books/2'`)
	res, err := d.server.OpenRefs(t.Context(), &controlv1.OpenRefsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range res.GetItems() {
		got[r.GetTarget()] = r.GetRef() + " " + r.GetCause()
	}
	if want := map[string]string{"books/1": "deal/1 in_flight", "books/2": "deal/1 parked"}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
