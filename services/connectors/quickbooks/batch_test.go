package quickbooks

import (
	"fmt"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/fault"
)

// customers are items that create so many customers.
func (b *books) customers(names ...string) []connector.Item {
	b.t.Helper()
	var out []connector.Item
	for i, name := range names {
		p := &document.Part{Name: "customer", Kind: document.CustomerKind, Mode: document.Ensure, Desired: document.Issued, Party: &document.Party{DisplayName: name}}
		mark := document.Mark("books", fmt.Sprint(name, i), "customer", 1)
		enc, err := b.tgt.Encode(connector.Draft{Part: p, Effect: connector.Create, Mark: mark})
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, connector.Item{OpID: fmt.Sprint(i), Kind: p.Kind, Effect: connector.Create, Mark: mark, Body: enc.Body})
	}
	return out
}

const batchKey = "5b0f2a8e-1111-5222-8333-444455556666"

func TestABatchAnswersItemByItem(t *testing.T) {
	b := openBooks(t, "IE")
	out := b.tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: b.customers("Ada", "Bob", "Ada", "Cyd")})
	for i, want := range []fault.Kind{fault.OK, fault.OK, fault.Conflict, fault.OK} {
		if got := fault.KindOf(out[i].Err); got != want {
			t.Errorf("item %d: %v, want %v", i, out[i].Err, want)
		}
	}
	if out[3].Posting == nil || out[3].Posting.Name != "Cyd" {
		t.Fatalf("the last item: %+v", out[3].Posting)
	}
	drill.Injected(t, 1, 67) // the item that was refused between two that were taken
}

// An item that the answer leaves out may have landed.
func TestAnItemWithoutAnAnswerIsInDoubt(t *testing.T) {
	b := openBooks(t, "IE")
	b.control("faults", `{"match":{"path":"**/batch"},"effect":"partial_batch"}`)
	out := b.tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: b.customers("Ada", "Bob", "Cyd", "Dan")})
	doubts := 0
	for _, o := range out {
		if fault.KindOf(o.Err) == fault.InDoubt {
			doubts++
		}
	}
	if doubts == 0 || doubts == len(out) {
		t.Fatalf("%d of %d in doubt", doubts, len(out))
	}
	drill.Injected(t, 1, 67)
}

func TestATooLargeBatchSaysSo(t *testing.T) {
	b := openBooks(t, "IE")
	names := make([]string, 31)
	for i := range names {
		names[i] = fmt.Sprint("Customer ", i)
	}
	out := b.tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: b.customers(names...)})
	for i := range out {
		if f := fault.As(out[i].Err); f == nil || f.Field != fault.FieldBatch {
			t.Fatalf("item %d: %v", i, out[i].Err)
		}
	}
}

// Customers, vendors and employees share their names: a wide search says who
// has one.
func TestAWideSearchNamesTheVendor(t *testing.T) {
	b := openBooks(t, "IE")
	if _, err := b.tgt.(*target).client.write(t.Context(), "vendor", "", batchKey, []byte(`{"DisplayName":"Paper Ltd"}`)); err != nil {
		t.Fatal(err)
	}
	for wide, want := range map[bool]int{false: 0, true: 1} {
		found, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.CustomerKind, Name: "Paper Ltd", Wide: wide})
		if err != nil || len(found) != want {
			t.Fatalf("wide %v: %v, %v", wide, found, err)
		}
	}
}

func TestTheClosingDateIsRead(t *testing.T) {
	b := openBooks(t, "IE")
	for _, want := range []string{"", "2026-09-30"} {
		b.control("settings", fmt.Sprintf(`{"closing_date":%q}`, want))
		if got, err := b.tgt.(connector.Locker).LockedThrough(t.Context()); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// A name that the books would refuse is written so that they take it, and the
// whole name is kept.
func TestNamesThatTheBooksRefuse(t *testing.T) {
	b := openBooks(t, "IE")
	long := "Änne & Söhne: 📦\tLager" + fmt.Sprintf("%0600d", 7)
	out := b.tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: b.customers(long)})
	if out[0].Err != nil {
		t.Fatal(out[0].Err)
	}
	found, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.CustomerKind, Name: long})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
}

func TestACustomersUpdateSendsWhatChanged(t *testing.T) {
	b := openBooks(t, "IE")
	out := b.tgt.Put(t.Context(), connector.Call{Key: batchKey, Items: b.customers("Ada")})
	cur := out[0].Posting
	p := &document.Part{Kind: document.CustomerKind, Mode: document.Own, Party: &document.Party{DisplayName: "Ada Ltd", Email: "ada@example.com"}}
	enc, err := b.tgt.Encode(connector.Draft{Part: p, Effect: connector.Update, Current: cur, Base: map[string]string{"name": "Ada", "email": "ada@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"DisplayName":"Ada Ltd","Id":"` + cur.Ref.ID + `","SyncToken":"0","sparse":true}`; string(enc.Body) != want {
		t.Fatalf("body %s, want %s", enc.Body, want)
	}
	got := b.tgt.Put(t.Context(), connector.Call{Key: batchKey[:35] + "7", Items: []connector.Item{{Kind: document.CustomerKind, Effect: connector.Update, Body: enc.Body}}})
	if got[0].Err != nil || got[0].Posting.Name != "Ada Ltd" || got[0].Posting.Mark != cur.Mark {
		t.Fatalf("%+v, %v", got[0].Posting, got[0].Err)
	}
}
