package bubble

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"tieout.dev/services/cmd/tieout/crm"
)

// crmCommand is what people do in the CRM.
func (s *story) crmCommand(a words) error {
	what, a := a.first(), a.rest(1)
	switch what {
	case "company":
		return s.makeCompany(a)
	case "win", "deal":
		return s.makeDeals(what, a)
	case "lose":
		return s.move(a.first(), crm.Lost)
	case "move":
		return s.move(a.first(), map[string]string{"won": crm.Won, "lost": crm.Lost, "open": crm.Open}[a.rest(1).first()])
	case "change":
		return s.change(a)
	case "rename":
		return s.portal.Change(s.ctx, "companies", s.companies[a.first()], map[string]string{"name": a.rest(1).first()})
	case "merge":
		return s.merge(a.first(), a.rest(1).first())
	case "webhooks":
		return s.webhookSettings(a)
	case "fault", "fail":
		return s.faultCommand("hubspot", what, a)
	}
	return errors.New("crm: company, win, deal, lose, move, change, rename, merge, webhooks, fault or fail")
}

// makeCompany: LABEL [NAME].
func (s *story) makeCompany(a words) error {
	name := a.first()
	if len(a) > 1 {
		name = a[1]
	}
	id, err := s.portal.Company(s.ctx, map[string]string{"name": name, "city": "Cork", "country": "IE"})
	s.companies[a.first()] = id
	return err
}

// makeDeals: DEAL COMPANY [CURRENCY] LINE… [count=N], which makes DEAL-1 to DEAL-N.
func (s *story) makeDeals(what string, a words) error {
	named, a := a.named()
	if len(a) < 3 {
		return errors.New("DEAL COMPANY [CURRENCY] LINE…")
	}
	currency, text := "EUR", a.rest(2)
	if len(text[0]) == 3 {
		currency, text = text[0], text.rest(1)
	}
	list, err := lines(text)
	if err != nil {
		return err
	}
	names := []string{a[0]}
	if n, _ := strconv.Atoi(named["count"]); n > 0 {
		names = nil
		for i := range n {
			names = append(names, fmt.Sprintf("%s-%d", a[0], i+1))
		}
	}
	make := s.deal
	if what == "win" {
		make = s.win
	}
	for _, name := range names {
		if err := make(name, a[1], currency, list); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) move(deal, stage string) error {
	if s.deals[deal] == "" || stage == "" {
		return fmt.Errorf("there is no deal %q, or no stage", deal)
	}
	return s.portal.Move(s.ctx, s.deals[deal], stage)
}

// change: DEAL PROPERTY=VALUE…; quantity and price are those of its first line.
func (s *story) change(a words) error {
	named, _ := a.named()
	id := s.deals[a.first()]
	if id == "" || len(named) == 0 {
		return errors.New("a deal, and what of it changes")
	}
	line := map[string]string{}
	for _, x := range []string{"quantity", "price"} {
		if v, ok := named[x]; ok {
			line[x] = v
			delete(named, x)
		}
	}
	if len(line) > 0 {
		ids, err := s.portal.Lines(s.ctx, id)
		if err != nil || len(ids) == 0 {
			return fmt.Errorf("lines of %s: %d, %w", a.first(), len(ids), err)
		}
		if err := s.portal.Change(s.ctx, "line_items", ids[0], line); err != nil {
			return err
		}
	}
	if len(named) == 0 {
		return nil
	}
	return s.portal.Change(s.ctx, "deals", id, named)
}

// merge leaves one company, under both names.
func (s *story) merge(a, b string) error {
	id, err := s.portal.Merge(s.ctx, "companies", s.companies[a], s.companies[b])
	if err != nil {
		return err
	}
	s.companies[a], s.companies[b] = id, id
	s.merges++
	return nil
}

// webhookSettings: drop=0.3 duplicate=0.2 shuffle=true seed=1 deliver=false.
func (s *story) webhookSettings(a words) error {
	named, _ := a.named()
	w := map[string]any{}
	for k, v := range named {
		switch k {
		case "shuffle", "deliver":
			w[k] = v == "true"
		default:
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return err
			}
			w[k] = n
		}
	}
	return s.control(http.MethodPost, "hubspot", "settings", map[string]any{"webhooks": w}, nil)
}
