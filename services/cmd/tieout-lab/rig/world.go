package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"tieout.dev/services/cmd/tieout/books"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/cmd/tieout/endpoints"
)

const (
	// everyEvent is how often something happens outside: what the vendors' limits
	// let through, with room for what is done again.
	everyEvent = 1100 * time.Millisecond
	// payAfter is how long an invoice is out before somebody pays it.
	payAfter = 30 * time.Second
	// outsideFor bounds one thing that happens outside.
	outsideFor = 20 * time.Second
	// Webhooks come in any order, some twice, some never; afterwards as they should.
	usualPortal = `{"search_lag":"0s","webhooks":{"deliver":true,"duplicate":0.2,"shuffle":true,"drop":0.1}}`
	calmPortal  = `{"search_lag":"0s","webhooks":{"deliver":true,"duplicate":0,"shuffle":false,"drop":0}}`
)

// deal is one that the world made, and what must come of it.
type deal struct {
	id, name string
	lines    int
	net      *big.Rat // what stands in the books while it is won
	won      bool
	done     bool // paid: left alone from then on
	touched  time.Time
}

// World is what happens outside of Tieout: at the CRM, and in the books.
type World struct {
	portal  crm.Portal
	company books.Company
	file    *endpoints.File

	mu        sync.Mutex
	dice      *rand.Rand
	companies []string
	deals     []*deal
	events    map[string]int
	pushes    int
}

func newWorld(ctx context.Context, f *endpoints.File, seed uint64) (*World, error) {
	h, q := f.Sandboxes["hubspot"], f.Sandboxes["quickbooks"]
	w := &World{
		portal: crm.Portal{BaseURL: h.BaseURL, Token: h.ReaderToken}, company: books.Company{BaseURL: q.BaseURL, Realm: q.RealmID, Token: q.ReaderToken},
		file: f, dice: rand.New(rand.NewPCG(seed, 3)), events: map[string]int{},
	}
	for n := range 15 {
		id, err := w.portal.Company(ctx, map[string]string{"name": fmt.Sprintf("Company %d & Söhne", n)})
		if err != nil {
			return nil, fmt.Errorf("make a company at the CRM: %w", err)
		}
		w.companies = append(w.companies, id)
	}
	return w, w.settings(ctx, usualPortal)
}

// Move lets things happen until ctx ends.
func (w *World) Move(ctx context.Context) {
	tick := time.NewTicker(everyEvent)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.once(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// once lets one thing happen. What it cannot do, because somebody else was
// faster or the vendor refuses, it leaves.
func (w *World) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outsideFor) // what was begun is known to its end
	defer cancel()
	w.mu.Lock()
	n := w.dice.IntN(100)
	w.mu.Unlock()
	switch {
	case n < 50:
		w.win(ctx)
	case n < 68:
		w.change(ctx)
	case n < 77:
		w.lose(ctx)
	case n < 82:
		w.winAgain(ctx)
	case n < 88:
		w.edit(ctx)
	case n < 92:
		w.pay(ctx)
	case n < 95:
		w.rename(ctx)
	default:
		w.harmVendor(ctx)
	}
}

// pick returns a deal that may still change, and is in the state.
func (w *World) pick(won bool) *deal {
	var able []*deal
	for _, d := range w.deals {
		if d.won == won && !d.done {
			able = append(able, d)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return able[w.dice.IntN(len(able))]
}

func (w *World) win(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := &deal{name: fmt.Sprintf("Deal %d", len(w.deals)+1), net: new(big.Rat), lines: 1 + w.dice.IntN(3)}
	ask := crm.Deal{Name: d.name, Company: w.companies[w.dice.IntN(len(w.companies))], Currency: []string{"EUR", "EUR", "USD", "GBP"}[w.dice.IntN(4)]}
	for range d.lines {
		cents, quantity := 1+w.dice.IntN(99999), 1+w.dice.IntN(20)
		ask.Lines = append(ask.Lines, crm.Line{Name: fmt.Sprintf("Item %d", w.dice.IntN(8)), Quantity: fmt.Sprint(quantity), Price: major(cents)})
		d.net.Add(d.net, big.NewRat(int64(cents*quantity), 100))
	}
	id, err := w.portal.Deal(ctx, ask)
	if err != nil {
		return // made in part and never won: nothing is wanted of it
	}
	d.id = id
	w.deals = append(w.deals, d)
	w.move(ctx, d, crm.Won, true)
}

func major(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// move sets a deal's stage; the CRM runs beside us and answers.
func (w *World) move(ctx context.Context, d *deal, stage string, won bool) {
	if err := w.portal.Move(ctx, d.id, stage); err == nil {
		d.won, d.touched = won, time.Now()
		w.events["deal "+stage]++
	}
}

func (w *World) lose(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.pick(true); d != nil {
		w.move(ctx, d, crm.Lost, false)
	}
}

func (w *World) winAgain(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.pick(false); d != nil {
		w.move(ctx, d, crm.Won, true)
	}
}

// change sets another price on each line, one after the other.
func (w *World) change(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.pick(true)
	if d == nil {
		return
	}
	lines, err := w.portal.Lines(ctx, d.id)
	if err != nil || len(lines) != d.lines {
		return
	}
	cents, quantity := 1+w.dice.IntN(99999), 1+w.dice.IntN(20)
	for _, l := range lines {
		if err := w.portal.Change(ctx, "line_items", l, map[string]string{"price": major(cents), "quantity": fmt.Sprint(quantity)}); err != nil {
			d.done, d.net = true, nil // changed in part: nobody says any more what it is worth
			return
		}
	}
	d.net, d.touched = big.NewRat(int64(cents*quantity*d.lines), 100), time.Now()
	w.events["deal changed"]++
}

// invoice is the one that a deal shows.
func (w *World) invoice(ctx context.Context, d *deal) *books.Invoice {
	p, err := w.portal.Record(ctx, "deals", d.id, "tieout_invoice_number")
	if err != nil || p["tieout_invoice_number"] == "" {
		return nil
	}
	v, err := w.company.Find(ctx, p["tieout_invoice_number"])
	if err != nil {
		return nil
	}
	return v
}

// edit has a person write a message on an invoice, which is theirs to write.
func (w *World) edit(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.pick(true)
	if d == nil {
		return
	}
	if v := w.invoice(ctx, d); v != nil && w.company.Edit(ctx, v, map[string]any{"CustomerMemo": map[string]string{"value": "Thank you for your business"}}) == nil {
		w.events["invoice edited"]++
	}
}

// pay has a customer pay an invoice that is as its deal says; the deal is left
// alone from then on.
func (w *World) pay(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.pick(true)
	if d == nil || time.Since(d.touched) < payAfter {
		return
	}
	v := w.invoice(ctx, d)
	if v == nil || strings.HasPrefix(v.PrivateNote, "Voided") {
		return
	}
	if got, ok := new(big.Rat).SetString(v.TotalAmt.String()); !ok || got.Cmp(d.net) < 0 || v.Balance != v.TotalAmt {
		return
	}
	if w.company.Pay(ctx, v, "") == nil {
		d.done = true
		w.events["invoice paid"]++
	}
}

func (w *World) rename(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.dice.IntN(len(w.companies))
	if w.portal.Change(ctx, "companies", w.companies[n], map[string]string{"name": fmt.Sprintf("Company %d & Söhne %d", n, w.dice.IntN(1000))}) == nil {
		w.events["company renamed"]++
	}
}

// harmVendor has a vendor fail once, in one of the ways that vendors fail.
func (w *World) harmVendor(ctx context.Context) {
	type harm struct{ system, rule string }
	all := []harm{
		{"quickbooks", `{"match":{"app":"app","method":"POST"},"effect":"reset_after","times":1}`},
		{"quickbooks", `{"match":{"app":"app","method":"POST","path":"/v3/company/*/invoice"},"effect":"late_commit","delay":"2s","times":1}`},
		{"quickbooks", `{"match":{"app":"app"},"effect":"status","status":503,"times":2}`},
		{"quickbooks", `{"match":{"app":"app"},"effect":"delay","delay":"2s","times":2}`},
		{"quickbooks", `{"match":{"app":"app","method":"POST"},"effect":"truncate","times":1}`},
		{"quickbooks", `{"match":{"app":"app"},"effect":"expire_token","times":1}`},
		{"hubspot", `{"match":{"app":"app"},"effect":"reset_before","times":2}`},
		{"hubspot", `{"match":{"app":"app"},"effect":"status","status":500,"times":2}`},
		{"hubspot", `{"match":{"app":"app"},"effect":"delay","delay":"2s","times":2}`},
		{"hubspot", `{"match":{"app":"app"},"effect":"reset_after","times":1}`},
	}
	w.mu.Lock()
	h := all[w.dice.IntN(len(all))]
	w.mu.Unlock()
	if w.fault(ctx, h.system, h.rule) == nil {
		w.mu.Lock()
		w.events["vendor harmed"]++
		w.mu.Unlock()
	}
}

// push hands a record over by the HTTP API: an open deal of a script, of which
// nothing is wanted in the books.
func (w *World) push(ctx context.Context) {
	w.mu.Lock()
	w.pushes++
	body := fmt.Sprintf(`{"connection":"crm","type":"deal","id":"pushed-%d","data":{"dealname":"Pushed","dealstage":"contractsent"}}`, w.pushes)
	w.mu.Unlock()
	_ = w.post(ctx, w.file.API.BaseURL+"/v1/events", body, "Authorization", "Bearer "+w.file.API.Key) // whoever answers may be dead
}

// fault tells a sandbox how to fail.
func (w *World) fault(ctx context.Context, system, rule string) error {
	return w.post(ctx, w.file.Sandboxes[system].BaseURL+"/_sandbox/faults", rule)
}

// settings tells the CRM how to behave.
func (w *World) settings(ctx context.Context, how string) error {
	return w.post(ctx, w.file.Sandboxes["hubspot"].BaseURL+"/_sandbox/settings", how)
}

// hide has the CRM tell nobody of what changes, or tells it again: no webhook,
// and a search that is behind.
func (w *World) hide(ctx context.Context, hidden bool) error {
	if hidden {
		return w.settings(ctx, `{"search_lag":"90s","webhooks":{"deliver":false}}`)
	}
	return w.settings(ctx, usualPortal)
}

// Calm ends what the vendors were told to do wrong.
func (w *World) Calm(ctx context.Context) error {
	for _, sb := range w.file.Sandboxes {
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, sb.BaseURL+"/_sandbox/faults", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
	}
	return w.settings(ctx, calmPortal)
}

func (w *World) post(ctx context.Context, url, body string, headers ...string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)); resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, bytes.TrimSpace(text))
	}
	return nil
}

// Events says what happened, by what it is.
func (w *World) Events() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, _ := json.Marshal(w.events) // a map of numbers
	return string(b)
}
