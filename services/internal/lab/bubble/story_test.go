package bubble

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/cmd/tieout/books"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/idle"
)

// story is what a script or a seed does to a bubble. Records have the names
// that it gave them: the vendors' ids stay out of scripts.
type story struct {
	*bubble
	companies map[string]string // name -> id, which a merge changes
	deals     map[string]string
	order     []string // the deals in the order in which they were made
	armed     *armed
	kills     int
	hands     int // what people did in the books
	merges    int
	name      string // of the script
}

// armed is a process that ends when its trap springs.
type armed struct {
	process string
	*trap
}

func newStory(b *bubble) *story {
	return &story{bubble: b, companies: map[string]string{}, deals: map[string]string{}}
}

// sleep lets virtual time pass, and ends the process whose trap springs.
func (s *story) sleep(d time.Duration) error {
	until := time.Now().Add(d)
	for {
		left := time.Until(until)
		if s.armed == nil {
			time.Sleep(left)
			return nil
		}
		if !s.armed.wait(left) {
			return nil
		}
		if err := s.strike(); err != nil {
			return err
		}
	}
}

// strike ends the process whose trap has sprung.
func (s *story) strike() error {
	name := s.armed.process
	s.armed = nil
	s.kills++
	return s.kill(name)
}

// arm ends a process at the nth write to a port (0: any) that contains a text.
func (s *story) arm(name string, port int, text string, nth int, after bool) error {
	p := s.processes[name]
	if p == nil || s.armed != nil {
		return fmt.Errorf("%s does not run, or another process is about to be killed", name)
	}
	s.armed = &armed{name, newTrap(port, text, nth, after)}
	p.host.set(s.armed.trap)
	return nil
}

// disarm forgets a trap that did not spring.
func (s *story) disarm() {
	if s.armed != nil {
		if p := s.processes[s.armed.process]; p != nil {
			p.host.set(nil)
		}
		s.armed.open()
		s.armed = nil
	}
}

// settle waits until nothing moves: no hint is due, no event on its way, and
// what is open is held by an exception or waits.
func (s *story) settle(within time.Duration) error {
	start := time.Now()
	var polls *controlv1.PollResponse
	var last error
	for {
		waited := time.Since(start)
		if err := s.sleep(time.Second + waited/10); err != nil { // what was just asked for has its turn first
			return err
		}
		if last = s.atRest(&polls); last == nil {
			return nil
		}
		if waited > within {
			return fmt.Errorf("not at rest after %s: %w", within, last)
		}
	}
}

func (s *story) atRest(polls **controlv1.PollResponse) error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	if *polls == nil {
		p, err := s.ingest.Poll(ctx, &controlv1.PollRequest{})
		if err != nil {
			return err
		}
		*polls = p
	}
	in, err := s.ingest.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
	if err != nil {
		return err
	}
	w, err := s.writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
	if err != nil {
		return err
	}
	for i, p := range in.GetPolls() {
		switch asked := (*polls).GetPolls()[i].GetStarted(); {
		case p.GetStarted() < asked-1: // the database was set back
			*polls = nil
			return errors.New("ingest was set back")
		case p.GetCompleted() < asked:
			return fmt.Errorf("poll %d of %s is not complete: %s", asked, p.GetConnection(), p.GetError())
		}
	}
	var open, held int64
	for _, r := range in.GetRoutes() {
		open += r.GetOpen()
	}
	for _, r := range w.GetRoutes() {
		held += r.GetOpen()
	}
	if n := in.GetHints() + in.GetUnpublished() + w.GetMoving() + w.GetUnpublished(); n > 0 || open != held {
		return fmt.Errorf("%d hints, %d and %d unpublished, %d moving, %d open of which the writer holds %d",
			in.GetHints(), in.GetUnpublished(), w.GetUnpublished(), w.GetMoving(), open, held)
	}
	return nil
}

// win makes a deal of a company and wins it.
func (s *story) win(name, company, currency string, lines []crm.Line) error {
	if err := s.deal(name, company, currency, lines); err != nil {
		return err
	}
	return s.portal.Move(s.ctx, s.deals[name], crm.Won)
}

func (s *story) deal(name, company, currency string, lines []crm.Line) error {
	if s.companies[company] == "" {
		return fmt.Errorf("there is no company %s", company)
	}
	id, err := s.portal.Deal(s.ctx, crm.Deal{Name: name, Company: s.companies[company], Currency: currency, Lines: lines})
	if err != nil {
		return err
	}
	s.deals[name] = id
	s.order = append(s.order, name)
	return nil
}

// control speaks to a sandbox as anybody on its machine can.
func (s *story) control(method, system, call string, body, into any) error {
	answer, err := s.ask(method, system, call, body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// each reads an answer of one JSON value a line.
func (s *story) each(method, system, call string, next func() any) error {
	answer, err := s.ask(method, system, call, nil)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(answer) {
		if err := json.Unmarshal(line, next()); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) ask(method, system, call string, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(s.ctx, method, s.world.Sandboxes[system].BaseURL+"/_sandbox/"+call, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s of %s: %s %s", method, call, system, resp.Status, answer)
	}
	return answer, err
}

// fault has a sandbox do something wrong and returns how to end it.
func (s *story) fault(system string, fault map[string]any) (end func() error, err error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := s.control(http.MethodPost, system, "faults", fault, &made); err != nil {
		return nil, err
	}
	return func() error { return s.control(http.MethodDelete, system, "faults/"+made.ID, nil, nil) }, nil
}

// later does something at its time, while the story goes on.
func (s *story) later(d time.Duration, do func() error) {
	s.running.Go(func() {
		if !idle.For(s.ctx, d) {
			return
		}
		if err := do(); err != nil && s.ctx.Err() == nil {
			s.t.Error(err)
		}
	})
}

// invoice is one of the books' documents, as a person reads it.
type invoice struct {
	books.Invoice
	TxnTaxDetail struct{ TotalTax json.Number }
	MetaData     struct{ CreateTime time.Time }
}

func (v invoice) void() bool { return strings.HasPrefix(v.PrivateNote, "Voided") }

// deal is the name of the deal that the memo carries.
func (v invoice) deal() string {
	_, name, _ := strings.Cut(v.PrivateNote, " · ")
	return name
}

// cents are gross and tax.
func (v invoice) cents() (gross, tax int64, err error) {
	if gross, err = cents(v.TotalAmt.String()); err != nil || v.TxnTaxDetail.TotalTax == "" {
		return gross, 0, err
	}
	tax, err = cents(v.TxnTaxDetail.TotalTax.String())
	return gross, tax, err
}

// cents reads a decimal of two places at most.
func cents(text string) (int64, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, fmt.Errorf("%q is no amount", text)
	}
	r.Mul(r, big.NewRat(100, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, fmt.Errorf("%s is not in whole cents", text)
	}
	return r.Num().Int64(), nil
}

// invoices reads the books, oldest first.
func (s *story) invoices() ([]invoice, error) {
	var all []invoice
	for {
		var page struct{ QueryResponse struct{ Invoice []invoice } }
		if err := s.query(fmt.Sprintf("select * from Invoice startposition %d maxresults 1000", len(all)+1), &page); err != nil {
			return nil, err
		}
		all = append(all, page.QueryResponse.Invoice...)
		if len(page.QueryResponse.Invoice) < 1000 {
			return all, nil
		}
	}
}

// query asks the books with the person's own token.
func (s *story) query(text string, into any) error {
	address := s.company.BaseURL + "/v3/company/" + s.company.Realm + "/query?" + url.Values{"minorversion": {"75"}, "query": {text}}.Encode()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.company.Token)
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s", address, resp.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// live returns the one invoice of a deal that is not void.
func (s *story) live(deal string) (*invoice, error) {
	list, err := s.invoices()
	if err != nil {
		return nil, err
	}
	var found *invoice
	for _, v := range list {
		if v.deal() != deal || v.void() {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("deal %s has two live invoices, %s and %s", deal, found.DocNumber, v.DocNumber)
		}
		found = &v
	}
	if found == nil {
		return nil, fmt.Errorf("deal %s has no live invoice", deal)
	}
	return found, nil
}
