package bubble

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/cmd/tieout/books"
)

// booksCommand is what people do in the books by hand, and what goes wrong
// there.
func (s *story) booksCommand(a words) error {
	what, a := a.first(), a.rest(1)
	by := map[string]func(v *books.Invoice) error{
		"void":   func(v *books.Invoice) error { return s.company.Void(s.ctx, v) },
		"delete": func(v *books.Invoice) error { return s.company.Delete(s.ctx, v) },
		"pay":    func(v *books.Invoice) error { return s.company.Pay(s.ctx, v, a.rest(1).first()) },
		"edit": func(v *books.Invoice) error {
			named, _ := a.named()
			fields := map[string]any{}
			for k, x := range named {
				fields[k] = x
			}
			return s.company.Edit(s.ctx, v, fields)
		},
	}
	switch {
	case by[what] != nil:
		v, err := s.live(a.first())
		if err != nil {
			return err
		}
		s.hands++
		return by[what](&v.Invoice)
	case what == "close": // DATE, as a person does in the settings; none opens them
		return s.control(http.MethodPost, "quickbooks", "settings", map[string]string{"closing_date": a.first()}, nil)
	case what == "fault", what == "fail":
		return s.faultCommand("quickbooks", what, a)
	}
	return errors.New("books: void, delete, pay, edit, close, fault or fail")
}

// faultCommand: fail STATUS for DURATION, or fault EFFECT [N times]
// [for DURATION] [on METHOD PATH] [delay=D] [nth=N] [probability=P] [status=N].
func (s *story) faultCommand(system, what string, a words) error {
	named, a := a.named()
	match, fault := map[string]any{}, map[string]any{"effect": a.first()}
	if what == "fail" {
		status, err := strconv.Atoi(a.first())
		if err != nil {
			return fmt.Errorf("fail with which status: %w", err)
		}
		fault["effect"], fault["status"] = "status", status
	}
	if err := faultDetails(named, match, fault); err != nil {
		return err
	}
	var ends time.Duration
	for i := 1; i < len(a); i++ {
		var err error
		switch next := a.rest(i + 1).first(); a[i] {
		case "for":
			ends, err = duration(next)
			i++
		case "on":
			match["method"], match["path"] = next, a.rest(i+2).first()
			i += 2
		case "times":
		default:
			fault["times"], err = strconv.Atoi(a[i])
		}
		if err != nil {
			return err
		}
	}
	fault["match"] = match
	end, err := s.fault(system, fault)
	if err == nil && ends > 0 {
		s.later(ends, end)
	}
	return err
}

func faultDetails(named map[string]string, match, fault map[string]any) error {
	for k, v := range named {
		switch k {
		case "delay":
			fault[k] = v
		case "body":
			match["body_contains"] = v
		case "status", "nth":
			n, err := strconv.Atoi(v)
			if err != nil {
				return err
			}
			if k == "nth" {
				match[k] = n
			} else {
				fault[k] = n
			}
		case "probability":
			p, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return err
			}
			match[k] = p
		default:
			return fmt.Errorf("a fault has no %s", strings.TrimSpace(k))
		}
	}
	return nil
}

// killCommand: PROCESS [before|after send] [N], where send is a request that
// writes an invoice; without it the process ends now.
func (s *story) killCommand(a words) error {
	if len(a) == 1 {
		s.kills++
		return s.kill(a[0])
	}
	if len(a) < 3 || a[1] != "before" && a[1] != "after" || a[2] != "send" {
		return errors.New("kill PROCESS [before|after send] [N]")
	}
	nth := 1
	if len(a) > 3 {
		var err error
		if nth, err = strconv.Atoi(a[3]); err != nil {
			return err
		}
	}
	return s.arm(a[0], s.ports["quickbooks"], "POST /v3/company/", nth, a[1] == "after")
}
