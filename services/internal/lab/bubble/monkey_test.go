package bubble

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/cmd/tieout/crm"
)

// pick returns one of the deals for which a thing can be done, "" if none.
func (m *monkey) pick(can func(w *wanted) bool) string {
	var names []string
	for _, name := range m.order {
		if w := m.want[name]; w != nil && w.touched == "" && can(w) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return names[m.random.IntN(len(names))]
}

func (m *monkey) winOne() error {
	w := &wanted{company: fmt.Sprintf("company-%d", m.random.IntN(3)), currency: []string{"EUR", "EUR", "USD"}[m.random.IntN(3)], won: true, wins: 1}
	name := fmt.Sprintf("deal-%d", len(m.order)+1)
	var list []crm.Line
	for range 1 + m.random.IntN(2) {
		price, quantity := int64(1+m.random.IntN(99999)), int64(1+m.random.IntN(9))
		list = append(list, crm.Line{Name: fmt.Sprintf("Item %d", m.random.IntN(4)), Quantity: strconv.FormatInt(quantity, 10), Price: decimal(price)})
		w.net += price * quantity
	}
	m.say("win %s of %s: %s %s", name, w.company, decimal(w.net), w.currency)
	m.want[name] = w
	return m.win(name, w.company, w.currency, list)
}

// changeOne sets price and quantity of the first line; with one line the net is known.
func (m *monkey) changeOne() error {
	name := m.pick(func(*wanted) bool { return true })
	if name == "" {
		return m.winOne()
	}
	ids, err := m.portal.Lines(m.ctx, m.deals[name])
	if err != nil {
		return err
	}
	w := m.want[name]
	w.net = 0
	m.say("change %s", name)
	for _, id := range ids {
		price := int64(1 + m.random.IntN(99999))
		w.net += 2 * price
		if err := m.portal.Change(m.ctx, "line_items", id, map[string]string{"price": decimal(price), "quantity": "2"}); err != nil {
			return err
		}
	}
	return nil
}

func (m *monkey) loseOne() error {
	name := m.pick(func(w *wanted) bool { return w.won })
	if name == "" {
		return m.winOne()
	}
	m.say("lose %s", name)
	m.want[name].won = false
	return m.move(name, crm.Lost)
}

func (m *monkey) winAgain() error {
	name := m.pick(func(w *wanted) bool { return !w.won })
	if name == "" {
		return m.winOne()
	}
	m.say("win %s again", name)
	m.want[name].won = true
	m.want[name].wins++
	return m.move(name, crm.Won)
}

func (m *monkey) renameOne() error {
	m.renamed++
	name := fmt.Sprintf("company-%d", m.random.IntN(3))
	m.say("rename %s", name)
	return m.portal.Change(m.ctx, "companies", m.companies[name], map[string]string{"name": fmt.Sprintf("%s, name %d", name, m.renamed)})
}

func (m *monkey) mergeTwo() error {
	if m.companies["company-0"] == m.companies["company-1"] {
		return m.winOne()
	}
	m.say("merge company-0 and company-1")
	return m.merge("company-0", "company-1")
}

// posted is a won deal whose invoice stands in the books as it shall be, and
// which nothing is on its way for.
func (m *monkey) posted() (string, *invoice, error) {
	name := m.pick(func(w *wanted) bool { return w.won })
	if name == "" {
		return "", nil, nil
	}
	list, err := m.invoices()
	if err != nil {
		return "", nil, err
	}
	for _, v := range list {
		gross, tax, err := v.cents()
		if err == nil && v.deal() == name && v.state() == "open" && gross-tax == m.want[name].net {
			return name, &v, nil
		}
	}
	return "", nil, nil
}

func (m *monkey) payOne() error {
	name, v, err := m.posted()
	if err != nil || name == "" {
		return err
	}
	m.say("pay the invoice of %s", name)
	m.want[name].touched = "pay" // a paid invoice is not changed any more
	return m.company.Pay(m.ctx, &v.Invoice, "")
}

// touchOne is a hand in the books, on what is at rest: reconciliation names it.
func (m *monkey) touchOne() error {
	if err := m.settle(settleWithin); err != nil { // something is down or away
		return nil
	}
	name, v, err := m.posted()
	if err != nil || name == "" {
		return err
	}
	w := m.want[name]
	w.touched = []string{"void", "delete", "edit"}[m.random.IntN(3)]
	m.say("%s the invoice of %s by hand", w.touched, name)
	switch w.touched {
	case "void":
		return m.company.Void(m.ctx, &v.Invoice)
	case "delete":
		return m.company.Delete(m.ctx, &v.Invoice)
	}
	return m.company.Edit(m.ctx, &v.Invoice, map[string]any{"DueDate": "2027-06-30"})
}

func (m *monkey) faultBooks() error {
	writes := [][]string{
		{"reset_after"}, {"reset_before"}, {"late_commit", "delay=2s"}, {"throttle"}, {"truncate"}, {"corrupt"}, {"hang"}, {"delay", "delay=40s"}, {"status", "status=500"}, {"expire_token"},
	}
	f := writes[m.random.IntN(len(writes))]
	a := append(words{f[0], strconv.Itoa(1 + m.random.IntN(4)), "times", "on", "POST", "/v3/company/**"}, f[1:]...)
	if m.random.IntN(4) == 0 {
		a = words{"status", "for", strconv.Itoa(5+m.random.IntN(300)) + "m", "status=503"}
	}
	m.say("books fault %v", a)
	return m.faultCommand("quickbooks", "fault", a)
}

func (m *monkey) faultCRM() error {
	all := []words{{"status", "3", "times", "status=500"}, {"reset_before", "4", "times"}, {"reset_after", "2", "times"}, {"throttle", "3", "times"}, {"truncate", "2", "times"}, {"status", "for", "90m", "status=502"}}
	a := all[m.random.IntN(len(all))]
	m.say("crm fault %v", a)
	return m.faultCommand("hubspot", "fault", a)
}

func (m *monkey) upsetWebhooks() error {
	a := words{fmt.Sprintf("drop=%.1f", m.random.Float64()/2), fmt.Sprintf("duplicate=%.1f", m.random.Float64()), "shuffle=true"}
	m.say("webhooks %v", a)
	return m.webhookSettings(a)
}

// killOne ends a process now, or at one of its next writes to anybody: to the
// brokers, to a vendor, to another service.
func (m *monkey) killOne() error {
	name := names()[m.random.IntN(5)]
	if m.processes[name] == nil || m.armed != nil {
		return m.winOne()
	}
	if m.random.IntN(4) == 0 {
		m.say("kill %s now", name)
		return m.kill(name)
	}
	port, nth, after := 0, 1+m.random.IntN(40), m.random.IntN(2) == 0
	if name == "writer" && m.random.IntN(2) == 0 {
		port, nth = m.ports["quickbooks"], 1+m.random.IntN(6)
	}
	m.say("kill %s at write %d to %d, after it: %v", name, nth, port, after)
	return m.arm(name, port, "", nth, after)
}

func (m *monkey) stopOne() error {
	name := names()[m.random.IntN(5)]
	if m.processes[name] == nil || m.armed != nil {
		return m.winOne()
	}
	m.say("stop %s", name)
	return m.stop(name)
}

// unmerged are the open exceptions but those that tell of two customers who
// became one: only a person can merge them in the books.
func (m *monkey) unmerged() ([]*controlv1.Exception, error) {
	list, err := m.exceptions()
	return slices.DeleteFunc(list, func(e *controlv1.Exception) bool { return e.GetKind() == "merge" }), err
}

// check compares the books with the CRM, deal by deal.
func (m *monkey) check() {
	open, err := m.unmerged()
	if err != nil || len(open) > 0 {
		m.t.Errorf("exceptions are left: %v, %v", open, err)
	}
	list, err := m.invoices()
	if err != nil {
		m.t.Error(err)
		return
	}
	live := map[string][]invoice{}
	for _, v := range list {
		if !v.void() {
			live[v.deal()] = append(live[v.deal()], v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.want)) {
		if err := m.want[name].met(live[name]); err != nil {
			m.t.Errorf("%s: %v", name, err)
		}
		delete(live, name)
	}
	for name := range live {
		m.t.Errorf("nobody asked for an invoice of %q", name)
	}
	m.checkTied()
	m.checkHistory()
}

// met says whether the live invoices of a deal are what they must be.
func (w *wanted) met(live []invoice) error {
	want := 0
	if w.won && w.touched != "void" && w.touched != "delete" {
		want = 1
	}
	if len(live) != want {
		return fmt.Errorf("%d live invoices, %d wanted", len(live), want)
	}
	for _, v := range live {
		gross, tax, err := v.cents()
		if err != nil || gross-tax != w.net || v.CurrencyRef.Value != w.currency {
			return fmt.Errorf("net %s %s, %s %s wanted (%v)", decimal(gross-tax), v.CurrencyRef.Value, decimal(w.net), w.currency, err)
		}
	}
	return nil
}

// checkTied: reconciliation finds what people did by hand, and nothing else.
func (m *monkey) checkTied() {
	r, err := m.reconcile()
	if err != nil {
		m.t.Error(err)
		return
	}
	var want []string
	for name, w := range m.want {
		if cause := map[string]string{"void": "missing/voided_in_books:", "delete": "missing/deleted_in_books:", "edit": "stale/edited_in_books:"}[w.touched]; cause != "" {
			want = append(want, cause+name)
		}
	}
	slices.Sort(want)
	if got := m.breaks(r); !slices.Equal(got, want) {
		m.t.Errorf("reconciliation names %v, and should name %v", got, want)
	}
}

// checkHistory: the books never had more invoices of a deal than it was won
// times, not even ones that were taken back.
func (m *monkey) checkHistory() {
	list, err := m.made()
	if err != nil {
		m.t.Error(err)
		return
	}
	made := map[string]int{}
	for _, x := range list {
		made[x.deal]++
	}
	for deal, n := range made {
		if w := m.want[deal]; w == nil || n > w.wins {
			m.t.Errorf("the books had %d invoices of %q in all", n, deal)
		}
	}
	if len(made) == 0 {
		m.t.Error("the books had no invoice at all")
	}
}
