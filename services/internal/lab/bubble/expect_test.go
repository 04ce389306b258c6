package bubble

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	controlv1 "tieout.dev/proto/control/v1"
)

// expectCommand compares what is with what shall be.
func (s *story) expectCommand(a words) error {
	what, a := a.first(), a.rest(1)
	switch what {
	case "invoices":
		return s.expectInvoices(a)
	case "invoice":
		return s.expectInvoice(a)
	case "order":
		return s.expectOrder(a)
	case "exceptions":
		return s.expectExceptions(a)
	case "unexplained", "breaks":
		return s.expectTied(what, a)
	case "requests":
		return s.expectRequests(a)
	case "posted":
		return s.expectPosted(a)
	case "kills":
		return same("kills", a.first(), s.kills)
	case "number": // a deal carries the number of its live invoice
		return s.expectNumber(a.first())
	case "customers":
		return s.expectCustomers(a)
	}
	return errors.New("expect: posted, invoices, invoice, order, exceptions, unexplained, breaks, requests, kills, number or customers")
}

func same(what, want string, got int) error {
	if n, err := strconv.Atoi(want); err != nil || n != got {
		return fmt.Errorf("%s: %d", what, got)
	}
	return nil
}

// expectPosted: ROUTE N [open=N] [discarded=N], of the events that ended so.
func (s *story) expectPosted(a words) error {
	named, a := a.named()
	in, err := s.ingest.IngestStatus(s.ctx, &controlv1.IngestStatusRequest{})
	if err != nil {
		return err
	}
	for _, r := range in.GetRoutes() {
		if r.GetRoute() != a.first() {
			continue
		}
		if err := same("posted", a.rest(1).first(), int(r.GetPosted())); err != nil {
			return fmt.Errorf("%w: %v", err, r)
		}
		for name, got := range map[string]int64{"open": r.GetOpen(), "discarded": r.GetDiscarded()} {
			if want := named[name]; want != "" {
				if err := same(name, want, int(got)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return errors.New("there is no such route")
}

// expectInvoices: N live ones [void=N] [EUR=SUM of the gross]….
func (s *story) expectInvoices(a words) error {
	named, a := a.named()
	list, err := s.invoices()
	if err != nil {
		return err
	}
	live, void := 0, 0
	sums := map[string]int64{}
	for _, v := range list {
		if v.void() {
			void++
			continue
		}
		live++
		gross, _, err := v.cents()
		if err != nil {
			return err
		}
		sums[v.CurrencyRef.Value] += gross
	}
	if err := same("live invoices", a.first(), live); err != nil {
		return err
	}
	for name, want := range named {
		if name == "void" {
			if err := same("void invoices", want, void); err != nil {
				return err
			}
			continue
		}
		if n, err := cents(want); err != nil || n != sums[name] {
			return fmt.Errorf("%s sums to %d cents (%w)", name, sums[name], err)
		}
	}
	return nil
}

// expectInvoice: DEAL none|void|open|paid [net=A] [gross=A] [currency=C] [customer=NAME].
func (s *story) expectInvoice(a words) error {
	named, a := a.named()
	list, err := s.invoices()
	if err != nil {
		return err
	}
	var mine []invoice
	for _, v := range list {
		if v.deal() == a.first() {
			mine = append(mine, v)
		}
	}
	state := a.rest(1).first()
	if state == "none" {
		return same("invoices of "+a.first(), "0", len(mine))
	}
	if len(mine) == 0 {
		return errors.New("there is none")
	}
	v := mine[len(mine)-1]
	if got := v.state(); state != "" && state != got {
		return fmt.Errorf("it is %s", got)
	}
	gross, tax, err := v.cents()
	if err != nil {
		return err
	}
	for name, want := range named {
		var got string
		switch name {
		case "net":
			got = decimal(gross - tax)
		case "gross":
			got = decimal(gross)
		case "currency":
			got = v.CurrencyRef.Value
		case "customer":
			got = v.CustomerRef.Name
		default:
			return fmt.Errorf("an invoice has no %s", name)
		}
		if got != want {
			return fmt.Errorf("%s is %s", name, got)
		}
	}
	return nil
}

func (v invoice) state() string {
	switch {
	case v.void():
		return "void"
	case v.Balance.String() == "0":
		return "paid"
	}
	return "open"
}

func decimal(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// expectOrder: DEAL…, as their invoices were made.
func (s *story) expectOrder(a words) error {
	list, err := s.invoices()
	if err != nil {
		return err
	}
	var got words
	for _, v := range list {
		if slices.Contains(a, v.deal()) {
			got = append(got, v.deal())
		}
	}
	if !slices.Equal(got, a) {
		return fmt.Errorf("the order is %s", strings.Join(got, " "))
	}
	return nil
}

// exceptions lists the open ones of both services that have any.
func (s *story) exceptions() ([]*controlv1.Exception, error) {
	w, err := s.writer.ListExceptions(s.ctx, &controlv1.ListExceptionsRequest{Limit: 1000})
	if err != nil {
		return nil, err
	}
	in, err := s.ingest.ListExceptions(s.ctx, &controlv1.ListExceptionsRequest{Limit: 1000})
	if err != nil {
		return nil, err
	}
	return append(w.GetItems(), in.GetItems()...), nil
}

// expectExceptions: N [kind=K] [deal=D] [held=N].
func (s *story) expectExceptions(a words) error {
	named, a := a.named()
	list, err := s.exceptions()
	if err != nil {
		return err
	}
	if err := same("exceptions", a.first(), len(list)); err != nil {
		return fmt.Errorf("%w: %v", err, list)
	}
	for _, e := range list {
		if k := named["kind"]; k != "" && e.GetKind() != k {
			return fmt.Errorf("kind is %s: %s", e.GetKind(), e.GetReason())
		}
		if d := named["deal"]; d != "" && !strings.HasSuffix(e.GetSubject(), "/deal/"+s.deals[d]) {
			return fmt.Errorf("it is about %s", e.GetSubject())
		}
		if n := named["held"]; n != "" {
			if err := same("held", n, int(e.GetHeld().GetCount())); err != nil {
				return err
			}
		}
	}
	return nil
}

// actCommand: ACTION all|DEAL REASON.
func (s *story) actCommand(a words) error {
	if len(a) < 3 {
		return errors.New("ACTION all|DEAL REASON")
	}
	list, err := s.exceptions()
	if err != nil {
		return err
	}
	done := 0
	for _, e := range list {
		if a[1] != "all" && !strings.HasSuffix(e.GetSubject(), "/deal/"+s.deals[a[1]]) {
			continue
		}
		req := &controlv1.ActRequest{Id: e.GetId(), Action: a[0], Reason: a[2], Actor: "person"}
		if strings.HasPrefix(e.GetId(), "i-") {
			_, err = s.ingest.Act(s.ctx, req)
		} else {
			_, err = s.writer.Act(s.ctx, req)
		}
		if err != nil {
			return err
		}
		done++
	}
	if done == 0 {
		return errors.New("no open exception is meant")
	}
	return nil
}

func (s *story) reconcile() (*controlv1.ReconcileResponse, error) {
	return s.reconciler.Reconcile(s.ctx, &controlv1.ReconcileRequest{})
}

// expectTied: unexplained N documents, or breaks KIND/CAUSE[:DEAL]… as a set.
func (s *story) expectTied(what string, a words) error {
	r, err := s.reconcile()
	if err != nil {
		return err
	}
	if what == "unexplained" {
		n := int64(0)
		for _, x := range r.GetRows() {
			n += x.GetUnexplained().GetCount()
		}
		if err := same("unexplained", a.first(), int(n)); err != nil {
			return fmt.Errorf("%w: %v", err, s.breaks(r))
		}
		return nil
	}
	got := s.breaks(r)
	want := slices.Clone(a)
	slices.Sort(want)
	if !slices.Equal(got, []string(want)) {
		return fmt.Errorf("breaks: %s", strings.Join(got, " "))
	}
	return nil
}

// breaks are those that a report names, in the words of a script.
func (s *story) breaks(r *controlv1.ReconcileResponse) []string {
	var out []string
	for _, b := range r.GetBreaks() {
		out = append(out, b.GetKind()+"/"+b.GetCause()+":"+s.label(b.GetSourceRef()))
	}
	slices.Sort(out)
	return out
}

// label is the story's name of a record.
func (s *story) label(ref string) string {
	id := ref[strings.LastIndexByte(ref, '/')+1:]
	for _, group := range []map[string]string{s.deals, s.companies} {
		for name, x := range group {
			if x == id {
				return name
			}
		}
	}
	return ref
}

// expectRequests: N METHOD PATHEND, that the books answered or not.
func (s *story) expectRequests(a words) error {
	if len(a) < 3 {
		return errors.New("N METHOD PATH")
	}
	list, err := s.requests("quickbooks")
	if err != nil {
		return err
	}
	n := 0
	for _, r := range list {
		if r.App == "main" && r.Method == a[1] && strings.HasSuffix(r.Path, a[2]) {
			n++
		}
	}
	return same("requests", a.first(), n)
}

// expectNumber: the deal carries what became of it.
func (s *story) expectNumber(deal string) error {
	v, err := s.live(deal)
	if err != nil {
		return err
	}
	p, err := s.portal.Record(s.ctx, "deals", s.deals[deal], "tieout_invoice_number", "tieout_invoice_status")
	if err != nil {
		return err
	}
	if p["tieout_invoice_number"] != v.DocNumber || p["tieout_invoice_status"] == "" {
		return fmt.Errorf("the deal carries %v, the invoice is number %s", p, v.DocNumber)
	}
	return nil
}

// expectCustomers: NAME… are the customers in the books, in any order.
func (s *story) expectCustomers(a words) error {
	var page struct {
		QueryResponse struct {
			Customer []struct{ DisplayName string }
		}
	}
	if err := s.query("select * from Customer maxresults 1000", &page); err != nil {
		return err
	}
	var got words
	for _, c := range page.QueryResponse.Customer {
		got = append(got, c.DisplayName)
	}
	want := slices.Clone(a)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("customers: %q", []string(got))
	}
	return nil
}

// request is what the log of a sandbox says of one.
type request struct {
	App, Method, Path, Fault string
	Status                   int
	Effects                  []string
}

func (s *story) requests(system string) ([]request, error) {
	var out []request
	return out, s.each(http.MethodGet, system, "requests", func() any { out = append(out, request{}); return &out[len(out)-1] })
}
