package bubble

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
)

// settleWithin is virtual: longer than any backoff.
const settleWithin = 2 * time.Hour

// commands are what a script may say.
func commands() map[string]func(s *story, a words) error {
	return map[string]func(*story, words) error{
		"crm": (*story).crmCommand, "books": (*story).booksCommand, "kill": (*story).killCommand, "expect": (*story).expectCommand, "act": (*story).actCommand,
		"start":   func(s *story, a words) error { return s.start(a.first()) },
		"restart": func(s *story, a words) error { return s.start(a.first()) },
		"stop":    func(s *story, a words) error { return s.stop(a.first()) },
		"advance": func(s *story, a words) error {
			d, err := duration(a.first())
			if err != nil {
				return err
			}
			return s.sleep(d)
		},
		"think": func(s *story, a words) (err error) { // before each thing done in the CRM
			s.think, err = duration(a.first())
			return err
		},
		"injects": (*story).injectsCommand, "crashloop": (*story).crashLoop,
		"show":      func(s *story, _ words) error { return s.show() }, // for who looks for a mistake
		"settle":    func(s *story, _ words) error { return s.settle(settleWithin) },
		"reconcile": func(s *story, _ words) error { _, err := s.reconcile(); return err },
	}
}

// play runs a script, a command a line. What follows # is for the reader.
func (s *story) play(script string) error {
	all := commands()
	for n, line := range strings.Split(script, "\n") {
		w, err := split(line)
		if err == nil && len(w) > 0 {
			do := all[w[0]]
			if do == nil {
				err = errors.New("there is no such command")
			} else {
				err = do(s, w[1:])
			}
		}
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", n+1, strings.TrimSpace(line), err)
		}
	}
	return nil
}

// words are the arguments of a command.
type words []string

func (w words) first() string {
	if len(w) == 0 {
		return ""
	}
	return w[0]
}

// rest are the words from the nth on.
func (w words) rest(n int) words { return w[min(n, len(w)):] }

// named splits words into those of the form name=value and the others.
func (w words) named() (map[string]string, words) {
	named, other := map[string]string{}, words{}
	for _, x := range w {
		if name, value, ok := strings.Cut(x, "="); ok {
			named[name] = value
		} else {
			other = append(other, x)
		}
	}
	return named, other
}

// split divides a line at blanks that stand outside "quotes".
func split(line string) (words, error) {
	var out words
	var word strings.Builder
	inside, quoted := false, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted, inside = !quoted, true
		case c == '#' && !quoted && !inside:
			return out, nil
		case (c == ' ' || c == '\t') && !quoted:
			if inside {
				out = append(out, word.String())
				word.Reset()
				inside = false
			}
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	if inside {
		out = append(out, word.String())
	}
	return out, nil
}

// duration takes 2h, 30m and 3d.
func duration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// lines reads NAME*QUANTITY@PRICE[-DISCOUNT%].
func lines(text words) ([]crm.Line, error) {
	var out []crm.Line
	for _, t := range text {
		name, rest, ok := strings.Cut(t, "*")
		quantity, price, ok2 := strings.Cut(rest, "@")
		price, discount, _ := strings.Cut(price, "-")
		if !ok || !ok2 {
			return nil, fmt.Errorf("%q is not NAME*QUANTITY@PRICE", t)
		}
		out = append(out, crm.Line{Name: name, Quantity: quantity, Price: price, DiscountPercent: strings.TrimSuffix(discount, "%")})
	}
	return out, nil
}
