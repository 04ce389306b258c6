package quickbooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/connectors/quickbooks/sandbox"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
)

// books is a company with the connection to it.
type books struct {
	t    *testing.T
	url  string
	conn *connector.Connection
	tgt  connector.Target
	refs map[string]string
	link map[document.Need]event.Ref
	keys int
}

type fixedToken string

func (f fixedToken) Token(context.Context) (string, error) { return string(f), nil }
func (f fixedToken) Refresh(context.Context, string) (string, error) {
	return "", fault.New(fault.Unauthorized, "no other token")
}

func openBooks(t *testing.T, preset string) *books {
	t.Helper()
	sb, err := sandbox.New(sandbox.Config{Preset: preset})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sb)
	t.Cleanup(func() { srv.Close(); sb.Close() })
	b := &books{t: t, url: srv.URL, link: map[document.Need]event.Ref{}}
	b.control("settings", `{"multicurrency":true,"limits":{"per_second":0}}`)
	b.conn, err = Open(connector.Config{
		Account: "quickbooks/" + sb.Credentials().RealmID, BaseURL: srv.URL, Tokens: fixedToken(sb.Credentials().AccessToken), Now: time.Now,
		Settings: map[string]string{"throttle_wait": "2s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.tgt = b.conn.Target
	list, err := b.tgt.(connector.Referencer).References(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.refs = map[string]string{}
	for _, r := range list {
		b.refs[r.Kind+":"+r.Key] = r.ID
	}
	return b
}

func (b *books) control(path, body string) {
	b.t.Helper()
	resp, err := http.Post(b.url+"/_sandbox/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b.t.Fatalf("%s: %s", path, resp.Status)
	}
}

// hits counts the requests that faults have hit.
func (b *books) hits() (n int64) {
	b.t.Helper()
	resp, err := http.Get(b.url + "/_sandbox/faults")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Items []struct{ Hits int64 } }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		b.t.Fatal(err)
	}
	for _, f := range list.Items {
		n += f.Hits
	}
	return n
}

func (b *books) draft(p *document.Part, e connector.Effect, cur *connector.Posting) connector.Draft {
	tax := map[string]string{"standard": b.refs["tax:23.0% S"], "TAX": "TAX"}
	return connector.Draft{
		Part: p, Effect: e, Mark: document.Mark("quickbooks/1", p.Subject, p.Name, 1), Current: cur,
		Linked: func(n document.Need) (event.Ref, bool) { r, ok := b.link[n]; return r, ok },
		Symbol: func(kind, symbol string) (string, bool) {
			if kind == "tax" {
				return tax[symbol], tax[symbol] != ""
			}
			id, ok := b.refs[kind+":"+symbol]
			return id, ok
		},
	}
}

func (b *books) put(p *document.Part, e connector.Effect, cur *connector.Posting) connector.Outcome {
	b.t.Helper()
	d := b.draft(p, e, cur)
	enc, err := b.tgt.Encode(d)
	if err != nil {
		b.t.Fatalf("encode %s: %v", p.Name, err)
	}
	b.keys++
	return b.tgt.Put(b.t.Context(), connector.Call{Key: event.Digest("key", strconv.Itoa(b.keys))[:36], Items: []connector.Item{{OpID: "o", Kind: p.Kind, Effect: e, Mark: d.Mark, Body: enc.Body}}})[0]
}

func (b *books) must(p *document.Part, e connector.Effect, cur *connector.Posting) connector.Posting {
	b.t.Helper()
	out := b.put(p, e, cur)
	if out.Err != nil {
		b.t.Fatalf("%s %s: %v", e, p.Name, out.Err)
	}
	return *out.Posting
}

// make is a person who writes in the books.
func (b *books) make(entity, body string) {
	b.t.Helper()
	if _, err := b.tgt.(*target).client.write(b.t.Context(), strings.ToLower(entity), "", "", []byte(body)); err != nil {
		b.t.Fatalf("make %s: %v", entity, err)
	}
}

// batch sends invoices in one call.
func (b *books) batch(parts ...*document.Part) []connector.Outcome {
	b.t.Helper()
	b.keys++
	call := connector.Call{Key: event.Digest("key", strconv.Itoa(b.keys))[:36]}
	for _, p := range parts {
		d := b.draft(p, connector.Create, nil)
		enc, err := b.tgt.Encode(d)
		if err != nil {
			b.t.Fatal(err)
		}
		call.Items = append(call.Items, connector.Item{OpID: "o", Kind: p.Kind, Effect: connector.Create, Mark: d.Mark, Body: enc.Body})
	}
	return b.tgt.Put(b.t.Context(), call)
}

func (b *books) customer(name, currency string) {
	p := &document.Part{Name: "customer", Kind: document.CustomerKind, Subject: "c", Party: &document.Party{DisplayName: name, Email: "ap@example.com", Currency: currency, Billing: &document.Address{Lines: []string{"1 Quay"}, City: "Cork", Country: "IE"}}}
	b.link[document.Need{Ref: "c", Kind: document.CustomerKind, Part: "customer"}] = b.must(p, connector.Create, nil).Ref
}

func (b *books) item(ref, name string) {
	p := &document.Part{Name: "item", Kind: document.ItemKind, Subject: ref, Item: &document.Item{Name: name, SKU: "S-" + name, Account: "Sales", Price: money.Decimal{Unscaled: 999, Scale: 2}}}
	b.link[document.Need{Ref: ref, Kind: document.ItemKind, Part: "item"}] = b.must(p, connector.Create, nil).Ref
}

func invoice(currency string, lines ...document.Line) *document.Part {
	for i := range lines {
		lines[i].Item, lines[i].Tax, lines[i].Description = "p", "standard", "Widget"
	}
	return &document.Part{Name: "invoice", Kind: document.InvoiceKind, Subject: "d", Mode: document.Own, Invoice: &document.Invoice{
		IssueDate: "2026-11-24", DueDate: "2026-12-24", Currency: currency, Customer: "c", CustomerPart: "customer", Note: "Deal 7", Lines: lines,
	}}
}

func saleLine(t *testing.T, qty, price, net, currency string) document.Line {
	t.Helper()
	q, err1 := money.ParseDecimal(qty)
	p, err2 := money.ParseDecimal(price)
	n, err3 := money.Parse(net, currency)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	return document.Line{ID: "1", Quantity: q, Price: p, Net: n}
}

func TestInvoiceLife(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme Ltd", "EUR")
	b.item("p", "Widget")
	part := invoice("EUR", saleLine(t, "3", "33.33", "99.99", "EUR"), saleLine(t, "1000", "0.061171", "61.17", "EUR"))
	made := b.must(part, connector.Create, nil)
	if made.Net.String() != "161.16 EUR" || made.Status != connector.Open || made.Mark == "" || made.Number == "" || made.IssueDate != "2026-11-24" {
		t.Fatalf("created %+v", made)
	}
	b.sameAsAsked(part, &made)
	read, err := b.tgt.Get(t.Context(), document.InvoiceKind, made.Ref)
	if err != nil || read.Version != made.Version || read.Gross != made.Gross {
		t.Fatalf("read back %+v, %v", read, err)
	}
	part.Invoice.Lines[0] = saleLine(t, "4", "33.33", "133.32", "EUR")
	part.Invoice.Lines[0].Item, part.Invoice.Lines[0].Tax = "p", "standard"
	changed := b.must(part, connector.Update, &read)
	if changed.Net.String() != "194.49 EUR" || changed.Fields["line.1.id"] != made.Fields["line.1.id"] || changed.Number != made.Number {
		t.Fatalf("updated %+v", changed)
	}
	if out := b.put(part, connector.Update, &read); fault.KindOf(out.Err) != fault.Conflict {
		t.Fatalf("a stale version was answered %v", out.Err)
	}
	gone := b.must(part, connector.Void, &changed)
	if gone.Status != connector.Voided || gone.Gross.Minor != 0 || gone.Mark != made.Mark || gone.Number != made.Number {
		t.Fatalf("voided %+v", gone)
	}
}

// sameAsAsked: the books' answer in normal form equals what was asked, so a
// document that nobody touched compares as unchanged.
func (b *books) sameAsAsked(p *document.Part, got *connector.Posting) {
	b.t.Helper()
	enc, err := b.tgt.Encode(b.draft(p, connector.Update, got))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, want := range enc.Fields {
		if got.Fields[k] != want {
			b.t.Errorf("field %s: asked %q, the books say %q", k, want, got.Fields[k])
		}
	}
}

func TestFindByMarkAndName(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("O'Brien & Söhne", "EUR")
	b.item("p", "Widget")
	since := time.Now().Add(-time.Minute)
	part := invoice("EUR", saleLine(t, "1", "10", "10.00", "EUR"))
	made := b.must(part, connector.Create, nil)
	customer := b.link[document.Need{Ref: "c", Kind: document.CustomerKind, Part: "customer"}]
	found, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.InvoiceKind, Mark: made.Mark, Customer: customer, Since: since})
	if err != nil || len(found) != 1 || found[0].Ref != made.Ref {
		t.Fatalf("by mark: %+v, %v", found, err)
	}
	none, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.InvoiceKind, Mark: "TO-AAAAAAAAAAAAA", Customer: customer, Since: since})
	if err != nil || len(none) != 0 {
		t.Fatalf("another mark found %+v, %v", none, err)
	}
	byMark, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.CustomerKind, Mark: document.Mark("quickbooks/1", "c", "customer", 1), Since: since})
	if err != nil || len(byMark) != 1 || byMark[0].Ref != customer {
		t.Fatalf("a customer by its mark: %+v, %v", byMark, err)
	}
	byName, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.CustomerKind, Name: "O'Brien & Söhne"})
	if err != nil || len(byName) != 1 || byName[0].Ref != customer || byName[0].Currency != "EUR" || byName[0].Mark == "" {
		t.Fatalf("by name: %+v, %v", byName, err)
	}
	items, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.ItemKind, Name: "Widget"})
	if err != nil || len(items) != 1 || items[0].Mark == "" {
		t.Fatalf("items: %+v, %v", items, err)
	}
}

// People write one name, and one e-mail address, in several ways. What the books
// hold for the same name must be found, and nothing else.
func TestFindMindsNeitherCaseNorPunctuation(t *testing.T) {
	b := openBooks(t, "IE")
	b.make("Customer", `{"DisplayName":"acme, Bookshop Ltd","PrimaryEmailAddr":{"Address":"Second@Mail.example"}}`)
	b.make("Customer", `{"DisplayName":"Acme Old Bookshop Ltd"}`)
	b.make("Vendor", `{"DisplayName":"paper mill"}`)
	b.item("p", "Plan A-1")
	for _, c := range []struct {
		probe connector.Probe
		want  string
	}{
		{connector.Probe{Kind: document.CustomerKind, Name: "ACME Bookshop Ltd."}, "acme, Bookshop Ltd"},
		{connector.Probe{Kind: document.CustomerKind, Name: "Acme  Bookshop-LTD"}, "acme, Bookshop Ltd"},
		{connector.Probe{Kind: document.CustomerKind, Name: "Acme Bookshop GmbH"}, ""},
		{connector.Probe{Kind: document.CustomerKind, Name: "Acme"}, ""},
		{connector.Probe{Kind: document.CustomerKind, Email: "second@mail.example"}, "acme, Bookshop Ltd"},
		{connector.Probe{Kind: document.CustomerKind, Email: "econd@mail.example"}, ""},
		{connector.Probe{Kind: document.CustomerKind, Name: "Paper Mill", Wide: true}, "paper mill"},
		{connector.Probe{Kind: document.ItemKind, Name: "PLAN a-1"}, "Plan A-1"},
		{connector.Probe{Kind: document.ItemKind, Name: "Plan A1"}, ""},
	} {
		found, err := b.tgt.Find(t.Context(), c.probe)
		var names []string
		for _, f := range found {
			names = append(names, f.Name)
		}
		if err != nil || strings.Join(names, ", ") != c.want {
			t.Errorf("%+v found %v, %v", c.probe, names, err)
		}
	}
}

// The books say that something is out of use and not what: a person needs the
// record's name.
func TestWhatIsInactiveIsNamed(t *testing.T) {
	for what, sleep := range map[string]func(b *books) event.Ref{
		"customer": func(b *books) event.Ref {
			return b.link[document.Need{Ref: "c", Kind: document.CustomerKind, Part: "customer"}]
		},
		"item": func(b *books) event.Ref {
			return b.link[document.Need{Ref: "p", Kind: document.ItemKind, Part: "item"}]
		},
	} {
		b := openBooks(t, "IE")
		b.customer("Acme Ltd", "EUR")
		b.item("p", "Widget")
		ref := sleep(b)
		b.make(strings.ToUpper(what[:1])+what[1:], `{"Id":"`+ref.ID+`","SyncToken":"0","sparse":true,"Active":false}`)
		one := invoice("EUR", saleLine(t, "1", "10", "10.00", "EUR"))
		other := invoice("EUR", saleLine(t, "2", "10", "20.00", "EUR"))
		errs := []error{b.put(one, connector.Create, nil).Err}
		for _, o := range b.batch(one, other) {
			errs = append(errs, o.Err)
		}
		for _, err := range errs {
			f := fault.As(err)
			if f == nil || f.Kind != fault.NotFound || f.Code != "610" || f.Field != what || !strings.Contains(f.Text, ref.String()) || !strings.Contains(f.Text, map[string]string{"customer": "Acme Ltd", "item": "Widget"}[what]) {
				t.Errorf("%s: %+v", what, f)
			}
		}
	}
}

// A name keeps all that the books take, and the whole stands beside what they
// do not.
func TestLongNamesAreKept(t *testing.T) {
	b := openBooks(t, "IE")
	long := strings.Repeat("Long Name ", 59) + "Ltd"
	for _, c := range []struct{ name, shown string }{{long[:499], long[:499]}, {long, ""}} {
		p := &document.Part{Name: "customer", Kind: document.CustomerKind, Subject: c.name, Party: &document.Party{DisplayName: c.name, LegalName: c.name + " of the Quay", Currency: "EUR"}}
		enc, err := b.tgt.Encode(b.draft(p, connector.Create, nil))
		var o object
		if err != nil || json.Unmarshal(enc.Body, &o) != nil {
			t.Fatal(err)
		}
		if c.shown != "" && o.DisplayName != c.shown {
			t.Errorf("shown as %q", o.DisplayName)
		}
		if o.DisplayName != c.name && !strings.Contains(o.Notes, c.name) || !strings.Contains(o.Notes, c.name+" of the Quay") {
			t.Errorf("the notes lack what was cut: %q", o.Notes)
		}
		b.must(p, connector.Create, nil)
	}
	it := &document.Part{Name: "item", Kind: document.ItemKind, Subject: "i", Item: &document.Item{Name: long, Description: "Per year", Account: "Sales"}}
	enc, err := b.tgt.Encode(b.draft(it, connector.Create, nil))
	if err != nil || !bytes.Contains(enc.Body, []byte(long+" · Per year")) {
		t.Errorf("the item's whole name is lost: %s, %v", enc.Body, err)
	}
}

// The price of the source stays to its last digit; one that the books cannot hold
// is not made another.
func TestThePriceKeepsItsDigits(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme", "EUR")
	b.item("p", "Widget")
	for _, c := range []struct{ qty, price, net, want string }{
		{"1000", "0.061171", "61.17", "1000 × 0.061171 Widget"},
		{"0.0000001", "50000", "0.01", "0.0000001 × 50000 Widget"},
		{"1000", "0.12345678", "123.46", "1 × 123.46 Widget (1000 × 0.12345678)"},
	} {
		part := invoice("EUR", saleLine(t, c.qty, c.price, c.net, "EUR"))
		part.Subject = c.price
		f := b.must(part, connector.Create, nil).Fields
		if got := f["line.1.quantity"] + " × " + f["line.1.price"] + " " + f["line.1.description"]; got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestAmountsThatNoPriceMakes(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme", "EUR")
	b.item("p", "Widget")
	for _, c := range []struct{ qty, price, net string }{
		{"3", "33.33", "89.99"},   // a discount that three equal prices cannot make
		{"3", "10", "27.00"},      // one that they can
		{"7", "0.1234567", "0.8"}, // rounding of the extension
	} {
		part := invoice("EUR", saleLine(t, c.qty, c.price, c.net, "EUR"))
		part.Subject = c.net
		if made := b.must(part, connector.Create, nil); made.Net.Rat().Cmp(part.Invoice.Lines[0].Net.Rat()) != 0 {
			t.Errorf("%s × %s as %s came out as %s", c.qty, c.price, c.net, made.Net)
		}
	}
}

func TestCurrenciesAndEditions(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Tokyo KK", "JPY")
	b.item("p", "Widget")
	made := b.must(invoice("JPY", saleLine(t, "3", "333", "999", "JPY")), connector.Create, nil)
	if made.Net.String() != "999 JPY" {
		t.Fatalf("net %s", made.Net)
	}
	us := openBooks(t, "US")
	us.customer("Acme Inc", "USD")
	us.item("p", "Widget")
	part := invoice("USD", saleLine(t, "2", "9.99", "19.98", "USD"))
	part.Invoice.Lines[0].Tax = "TAX"
	d := us.draft(part, connector.Create, nil)
	enc, err := us.tgt.Encode(d)
	if err != nil || bytes.Contains(enc.Body, []byte("GlobalTaxCalculation")) {
		t.Fatalf("a US invoice says %s, %v", enc.Body, err)
	}
	if made := us.must(part, connector.Create, nil); made.Net.String() != "19.98 USD" {
		t.Fatalf("net %s", made.Net)
	}
}

func TestEncodeNamesWhatIsMissing(t *testing.T) {
	b := openBooks(t, "IE")
	part := invoice("EUR", saleLine(t, "1", "1", "1.00", "EUR"))
	if _, err := b.tgt.Encode(b.draft(part, connector.Create, nil)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no customer: %v", err)
	}
	b.customer("Acme", "EUR")
	b.item("p", "Widget")
	part.Invoice.Lines[0].Tax = "exotic"
	if _, err := b.tgt.Encode(b.draft(part, connector.Create, nil)); fault.KindOf(err) != fault.Unresolved || fault.As(err).Field != "tax" {
		t.Errorf("unbound tax: %v", err)
	}
}

func TestRefusalsAndLostAnswers(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme", "EUR")
	b.item("p", "Widget")
	dup := &document.Part{Name: "customer", Kind: document.CustomerKind, Subject: "other", Party: &document.Party{DisplayName: "acme", Currency: "EUR"}}
	if f := fault.As(b.put(dup, connector.Create, nil).Err); f == nil || f.Kind != fault.Conflict || f.Field != "name" || f.Code != "6240" {
		t.Errorf("duplicate name: %v", f)
	}
	for effect, want := range map[string]fault.Kind{
		`"reset_after"`: fault.InDoubt, `"reset_before"`: fault.InDoubt, `"throttle"`: fault.RateLimited, `"truncate"`: fault.InDoubt,
		`"status","status":503`: fault.InDoubt, `"fault_in_200"`: fault.InDoubt,
	} {
		b.control("faults", `{"match":{"method":"POST","path":"/v3/company/*/invoice"},"effect":`+effect+`,"times":1}`)
		part := invoice("EUR", saleLine(t, "1", "1", "1.00", "EUR"))
		part.Subject = effect
		got := fault.KindOf(b.put(part, connector.Create, nil).Err)
		if effect == `"fault_in_200"` && got != fault.OK {
			continue // whichever code it carries, it is not taken for success
		}
		if got != want {
			t.Errorf("%s: %v, want %v", effect, got, want)
		}
	}
	b.control("settings", `{"closing_date":"2026-12-31"}`)
	if f := fault.As(b.put(invoice("EUR", saleLine(t, "1", "1", "1.00", "EUR")), connector.Create, nil).Err); f == nil || f.Kind != fault.Rejected || f.Field != "period" {
		t.Errorf("closed period: %v", f)
	}
	drill.Injected(t, b.hits(), 60, 62, 65, 66)
}

// The answer names the currency in its words only; the field is what says
// which kind of exception a clerk gets.
func TestACurrencyThatTheBooksLackIsNamed(t *testing.T) {
	b := openBooks(t, "IE")
	p := &document.Part{Name: "customer", Kind: document.CustomerKind, Subject: "c", Party: &document.Party{DisplayName: "Kuwait Co", Currency: "KWD"}}
	f := fault.As(b.put(p, connector.Create, nil).Err)
	if fault.KindOf(f) != fault.Unresolved || f.Code != "2500" || f.Field != "currency" {
		t.Errorf("got %+v", f)
	}
}

// A credit note takes an invoice back as it stands: the same lines, taxes and
// customer, dated otherwise, and found by a mark of its own.
func TestACreditNoteMirrorsItsInvoice(t *testing.T) {
	b := openBooks(t, "IE")
	b.customer("Acme Ltd", "EUR")
	b.item("p", "Widget")
	made := b.must(invoice("EUR", saleLine(t, "3", "33.33", "99.99", "EUR"), saleLine(t, "1000", "0.061171", "61.17", "EUR")), connector.Create, nil)
	note := &document.Part{Name: "credit:invoice", Kind: document.CreditNoteKind, Subject: "d", Mode: document.Own, CreditNote: &document.CreditNote{IssueDate: "2026-12-01"}}
	enc, err := b.tgt.Encode(b.draft(note, connector.Create, &made))
	if err != nil {
		t.Fatal(err)
	}
	credit := b.must(note, connector.Create, &made)
	if credit.Net != made.Net || credit.Tax != made.Tax || credit.Gross != made.Gross || credit.Customer != made.Customer || credit.IssueDate != "2026-12-01" || credit.Mark == made.Mark || credit.Ref.Type != "credit_note" {
		t.Fatalf("credited %+v by %+v", made, credit)
	}
	for k, want := range enc.Fields {
		if credit.Fields[k] != want {
			t.Errorf("field %s: asked %q, the books say %q", k, want, credit.Fields[k])
		}
	}
	found, err := b.tgt.Find(t.Context(), connector.Probe{Kind: document.CreditNoteKind, Mark: credit.Mark, Customer: made.Customer})
	if err != nil || len(found) != 1 || found[0].Ref != credit.Ref {
		t.Fatalf("by mark: %+v, %v", found, err)
	}
	read, err := b.tgt.Get(t.Context(), document.CreditNoteKind, credit.Ref)
	if err != nil || read.Gross != made.Gross {
		t.Fatalf("read back %+v, %v", read, err)
	}
	var listed []string
	for p, err := range b.tgt.List(t.Context(), document.CreditNoteKind, "2026-12-01", "2027-01-01") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, p.Ref.String())
	}
	if len(listed) != 1 || listed[0] != credit.Ref.String() {
		t.Errorf("listed %v", listed)
	}
	still, err := b.tgt.Get(t.Context(), document.InvoiceKind, made.Ref)
	if err != nil || still.Version != made.Version || still.Gross != made.Gross {
		t.Errorf("the invoice was touched: %+v, %v", still, err)
	}
	if _, err := b.tgt.Encode(b.draft(note, connector.Create, nil)); err == nil {
		t.Error("a credit note was made of nothing")
	}
	discounted := made
	discounted.Net.Minor -= 100
	if _, err := b.tgt.Encode(b.draft(note, connector.Create, &discounted)); fault.KindOf(err) != fault.Rejected || fault.As(err).Field != "lines" {
		t.Errorf("an invoice with a discount of a person's: %v", err)
	}
}
