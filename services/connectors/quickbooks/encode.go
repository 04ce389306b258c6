package quickbooks

import (
	"encoding/json"
	"strconv"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/money"
)

const (
	// priceDigits is how many decimal places the books keep of a unit price.
	priceDigits = 7
	// What the books take of a memo and of a description, in characters.
	noteMax        = 4000
	descriptionMax = 4000
	// What the books take of names and of a customer's notes.
	customerNameMax = 500
	itemNameMax     = 100
	partNameMax     = 100
	notesMax        = 2000
)

// Encode is pure: equal input, equal bytes.
func (t *target) Encode(d connector.Draft) (connector.Encoded, error) {
	switch {
	case d.Effect == connector.Void:
		return encodeVoid(d)
	case d.Part.Party != nil:
		return encodeCustomer(d)
	case d.Part.Item != nil:
		return encodeItem(d)
	case d.Part.Invoice != nil:
		return t.encodeInvoice(d)
	case d.Part.CreditNote != nil:
		return t.encodeCreditNote(d)
	}
	return connector.Encoded{}, fault.New(fault.Rejected, "QuickBooks takes customers, items and invoices, not a part of kind %s", d.Part.Kind)
}

func encodeVoid(d connector.Draft) (connector.Encoded, error) {
	if d.Current == nil {
		return connector.Encoded{}, fault.New(fault.Internal, "a void needs the document as it is")
	}
	switch {
	case d.Part.Kind == document.CreditNoteKind: // Intuit's API voids invoices and payments
		return connector.Encoded{}, fault.New(fault.Rejected, "a credit note cannot be voided in QuickBooks: delete it there by hand")
	case !d.Part.Kind.Financial(): // the books keep customers and items for good
		return freeze(map[string]any{"Id": d.Current.Ref.ID, "SyncToken": d.Current.Version, "sparse": true, "Active": false}, nil)
	}
	return freeze(map[string]any{"Id": d.Current.Ref.ID, "SyncToken": d.Current.Version, "sparse": true}, map[string]string{"customer": d.Current.Customer.String()})
}

func encodeCustomer(d connector.Draft) (connector.Encoded, error) {
	p := d.Part.Party
	full := strings.TrimSpace(p.DisplayName)
	if full == "" {
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "display_name", Text: "a customer needs a name"}
	}
	o := &object{
		DisplayName: nameFor(full, customerNameMax), CompanyName: cut(p.LegalName, partNameMax), GivenName: cut(p.GivenName, partNameMax),
		FamilyName: cut(p.FamilyName, partNameMax), Billing: address(p.Billing), Notes: d.Mark,
	}
	if o.DisplayName != full {
		o.Notes += " · name: " + full
	}
	if o.CompanyName != p.LegalName && p.LegalName != full {
		o.Notes += " · legal name: " + p.LegalName
	}
	if len(p.Assumed) > 0 {
		o.Notes += " · assumed: " + strings.Join(p.Assumed, "; ")
	}
	if p.Email != "" {
		o.Email = &email{p.Email}
	}
	if p.Phone != "" {
		o.Phone = &phone{p.Phone}
	}
	if p.Currency != "" {
		o.CurrencyRef = &reference{Value: p.Currency}
	}
	fields := customerFields(o)
	body := map[string]any{}
	for key, v := range map[string]any{
		"name": o.DisplayName, "legal_name": o.CompanyName, "given_name": o.GivenName, "family_name": o.FamilyName,
		"email": o.Email, "phone": o.Phone, "address": o.Billing, "currency": o.CurrencyRef,
	} {
		if fields[key] != "" && changes(d, key, fields[key]) {
			body[customerNames[key]] = v
		}
	}
	return freezeRecord(d, body, "Notes", cut(o.Notes, notesMax), fields)
}

// customerNames are the vendor's names of our fields.
var customerNames = map[string]string{
	"name": "DisplayName", "legal_name": "CompanyName", "given_name": "GivenName", "family_name": "FamilyName",
	"email": "PrimaryEmailAddr", "phone": "PrimaryPhone", "address": "BillAddr", "currency": "CurrencyRef",
}

// changes reports whether a field belongs into the body: all do when a record
// is made, and only what differs from the base when it is updated.
func changes(d connector.Draft, key, value string) bool {
	return d.Effect != connector.Update || d.Base[key] != value
}

// freezeRecord completes the body of a customer or an item: the mark when it is
// made, its id and version when it is updated.
func freezeRecord(d connector.Draft, body map[string]any, markField, marked string, fields map[string]string) (connector.Encoded, error) {
	if d.Effect != connector.Update {
		body[markField] = marked
		return freeze(body, fields)
	}
	if d.Current == nil {
		return connector.Encoded{}, fault.New(fault.Internal, "an update needs the record as it is")
	}
	body["Id"], body["SyncToken"], body["sparse"] = d.Current.Ref.ID, d.Current.Version, true
	return freeze(body, fields)
}

func address(a *document.Address) *postal {
	if a == nil {
		return nil
	}
	out := &postal{City: a.City, PostalCode: a.PostalCode, Subdivision: a.Subdivision, Country: a.Country}
	for i, l := range []*string{&out.Line1, &out.Line2, &out.Line3, &out.Line4, &out.Line5} {
		if i < len(a.Lines) {
			*l = a.Lines[i]
		}
	}
	return out
}

func encodeItem(d connector.Draft) (connector.Encoded, error) {
	it := d.Part.Item
	full := strings.TrimSpace(it.Name)
	if full == "" {
		return connector.Encoded{}, &fault.Error{Kind: fault.Rejected, Field: "name", Text: "an item needs a name"}
	}
	name, description := nameFor(full, itemNameMax), it.Description
	switch {
	case description == "":
		description = full
	case name != full && !strings.Contains(description, full): // the whole name stands where there is a place for it
		description = full + " · " + description
	}
	description = cut(description, descriptionMax-20)
	o := &object{Name: name, SKU: it.SKU, Description: description}
	if !it.Price.IsZero() {
		o.UnitPrice = json.Number(it.Price.String())
	}
	fields := itemFields(o)
	body := map[string]any{}
	for key, v := range map[string]any{"name": name, "sku": it.SKU, "price": o.UnitPrice} {
		if fields[key] != "" && changes(d, key, fields[key]) {
			body[map[string]string{"name": "Name", "sku": "Sku", "price": "UnitPrice"}[key]] = v
		}
	}
	if d.Effect == connector.Update {
		if changes(d, "description", description) {
			body["Description"] = description + " · " + d.Mark
		}
		return freezeRecord(d, body, "", "", fields)
	}
	account, ok := d.Symbol("account", it.Account)
	if !ok {
		return connector.Encoded{}, unresolved("account", it.Account)
	}
	body["Type"], body["IncomeAccountRef"] = "Service", reference{Value: account}
	return freezeRecord(d, body, "Description", description+" · "+d.Mark, fields)
}

func (t *target) encodeInvoice(d connector.Draft) (connector.Encoded, error) {
	v := d.Part.Invoice
	customer, ok := d.Linked(document.Need{Ref: v.Customer, Kind: document.CustomerKind, Part: v.CustomerPart})
	if !ok {
		return connector.Encoded{}, &fault.Error{Kind: fault.NotFound, Field: "customer", Text: v.Customer + " has no customer in the books yet"}
	}
	o := &object{
		CustomerRef: &reference{Value: customer.ID}, CurrencyRef: &reference{Value: v.Currency},
		TxnDate: v.IssueDate, DueDate: v.DueDate, PONumber: v.PurchaseOrder, PrivateNote: cut(strings.TrimSpace(d.Mark+" · "+v.Note), noteMax),
	}
	taxable := false
	for i := range v.Lines {
		l, err := encodeLine(d, &v.Lines[i], i)
		if err != nil {
			return connector.Encoded{}, err
		}
		o.Lines = append(o.Lines, l)
		taxable = taxable || !isUSCode(l.Sale.TaxCodeRef.Value)
	}
	fields, err := t.invoiceFields(o)
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return freeze(invoiceBody(d, o, taxable), fields)
}

func invoiceBody(d connector.Draft, o *object, global bool) map[string]any {
	body := saleBody(o, global)
	put(body, "DueDate", o.DueDate)
	if to := address(d.Part.Invoice.ShipTo); to.text() != "" {
		body["ShipAddr"] = to
	}
	put(body, "PONumber", o.PONumber)
	if d.Effect == connector.Update && d.Current != nil {
		body["Id"], body["SyncToken"], body["sparse"] = d.Current.Ref.ID, d.Current.Version, true
	}
	return body
}

// saleBody is what an invoice and a credit note have in common.
func saleBody(o *object, global bool) map[string]any {
	body := map[string]any{
		"CustomerRef": o.CustomerRef, "CurrencyRef": o.CurrencyRef, "TxnDate": o.TxnDate, "PrivateNote": o.PrivateNote, "Line": o.Lines,
	}
	if global { // companies outside the US say whether amounts include tax
		body["GlobalTaxCalculation"] = "TaxExcluded"
	}
	return body
}

// isUSCode: US companies know two tax codes of lines, by these literal ids.
func isUSCode(id string) bool { return id == "TAX" || id == "NON" }

func encodeLine(d connector.Draft, l *document.Line, i int) (line, error) {
	item, ok := d.Linked(document.Need{Ref: l.Item, Kind: document.ItemKind, Part: "item"})
	if !ok {
		return line{}, &fault.Error{Kind: fault.NotFound, Field: "item", Text: l.Item + " has no item in the books yet"}
	}
	code, ok := d.Symbol("tax", l.Tax)
	if !ok {
		return line{}, unresolved("tax", l.Tax)
	}
	quantity, price, terms := terms(l)
	out := line{
		DetailType: "SalesItemLineDetail", Amount: json.Number(l.Net.Decimal().String()), Description: cut(strings.TrimSpace(l.Description+terms), descriptionMax),
		Sale: &saleDetail{
			ItemRef: reference{Value: item.ID}, Qty: json.Number(quantity.String()), UnitPrice: json.Number(price.String()), TaxCodeRef: &reference{Value: code},
		},
	}
	if d.Current != nil { // the books replace all lines; one that stays keeps its id
		out.ID = d.Current.Fields["line."+strconv.Itoa(i+1)+".id"]
	}
	return out, nil
}

// terms returns a quantity and a price whose product, rounded once, is the
// line's net, since the books refuse any other amount; the source's own digits
// stay. Where they do not say the net, or are more than the books hold, the line
// is 1 × its net, and the terms stand in the description.
func terms(l *document.Line) (quantity, price money.Decimal, said string) {
	quantity, whole := money.DecimalOf(l.Quantity.Rat(), priceDigits)
	price, exact := money.DecimalOf(l.Price.Rat(), priceDigits)
	if extension, err := money.Extension(quantity, price, l.Net.Currency); whole && exact && err == nil && extension == l.Net {
		return quantity, price, ""
	}
	return money.Int(1), l.Net.Decimal(), " (" + l.Quantity.String() + " × " + l.Price.String() + ")"
}

func unresolved(kind, symbol string) error {
	return &fault.Error{Kind: fault.Unresolved, Field: kind, Text: "symbol " + kind + ":" + symbol + " is not bound to a name that the books have"}
}

func freeze(body map[string]any, fields map[string]string) (connector.Encoded, error) {
	b, err := json.Marshal(body) // keys come out sorted: equal input, equal bytes
	if err != nil {
		return connector.Encoded{}, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return connector.Encoded{Body: b, Fields: fields}, nil
}

func put(m map[string]any, key, value string) {
	if value != "" {
		m[key] = value
	}
}

// nameFor is a name as the books take it: without colon, tab and line break,
// and not too long. A name that had to be shortened ends in a digest of the
// whole, so that two of them stay two.
func nameFor(name string, most int) string {
	out := strings.Join(strings.Fields(strings.ReplaceAll(strings.TrimSpace(name), ":", " - ")), " ")
	r := []rune(out)
	if len(r) <= most {
		return out
	}
	suffix := "… " + event.Digest("name/v1", name)[:8]
	return string(r[:most-len([]rune(suffix))]) + suffix
}

// cut shortens s to at most n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
