package bubble

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/drill"
)

// TestWonDealsDoNotWaitBehindABacklog: many deals are found all at once, and
// worked off within the vendors' limits; what is won meanwhile is in the books
// within seconds all the same. Virtual time shows the waiting alone, whatever
// else this machine does.
func TestWonDealsDoNotWaitBehindABacklog(t *testing.T) {
	t.Parallel()
	old := 150
	if n, err := strconv.Atoi(os.Getenv("TIEOUT_BUBBLE_BACKLOG")); err == nil {
		old = n
	}
	drill.Injected(t, int64(old), 93)
	inside(t, pace{pollEvery: time.Minute}, func(b *bubble) {
		s := newStory(b)
		took, err := s.backlog(old, 30)
		if err != nil {
			b.t.Error(err)
			_ = s.show()
			return
		}
		slices.Sort(took)
		p50, p90, worst := took[len(took)/2], took[len(took)*9/10], took[len(took)-1]
		b.t.Logf("beside a backlog of %d: p50 %s, p90 %s, worst %s", old, p50, p90, worst)
		if p50 > 3*time.Second || worst > 10*time.Second {
			b.t.Errorf("won deals wait: %v", took)
		}
	})
}

// backlog wins deals that nobody hears of, lets them be found, and returns how
// long each deal took that was won meanwhile.
func (s *story) backlog(old, won int) ([]time.Duration, error) {
	if err := s.control(http.MethodPost, "hubspot", "settings", map[string]any{
		"limits": map[string]int{"ten_secondly_rolling": 0, "secondly": 0}, "webhooks": map[string]any{"deliver": false}}, nil); err != nil {
		return nil, err
	}
	line := []crm.Line{{Name: "Widget", Quantity: "2", Price: "19.99"}}
	for i := range 20 {
		if err := s.makeCompany(words{fmt.Sprintf("old-%d", i)}); err != nil {
			return nil, err
		}
	}
	if err := s.makeCompany(words{"quay"}); err != nil {
		return nil, err
	}
	if err := s.control(http.MethodPost, "hubspot", "faults", map[string]any{"match": map[string]string{"app": "app"}, "effect": "status", "status": 503}, nil); err != nil {
		return nil, err
	}
	for i := range old {
		if err := s.win(fmt.Sprintf("old-%d", i), fmt.Sprintf("old-%d", i%20), "EUR", line); err != nil {
			return nil, err
		}
	}
	if err := s.control(http.MethodDelete, "hubspot", "faults", nil, nil); err != nil {
		return nil, err
	}
	if err := s.control(http.MethodPost, "hubspot", "settings", map[string]any{
		"limits": map[string]int{"ten_secondly_rolling": 100, "secondly": 5}, "webhooks": map[string]any{"deliver": true}}, nil); err != nil {
		return nil, err
	}
	at := map[string]time.Time{}
	for i := range won {
		name := fmt.Sprintf("won-%d", i)
		if err := s.win(name, "quay", "EUR", line); err != nil {
			return nil, err
		}
		at[name] = time.Now()
		if err := s.sleep(2 * time.Second); err != nil {
			return nil, err
		}
	}
	if err := s.settle(30 * time.Minute); err != nil {
		return nil, err
	}
	return s.waited(at, old+won)
}

// waited is how long each of these deals took until its invoice was made.
func (s *story) waited(at map[string]time.Time, all int) ([]time.Duration, error) {
	made, err := s.made()
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, x := range made {
		if from, mine := at[x.deal]; mine {
			took = append(took, x.at.Sub(from))
		}
	}
	n := len(made)
	if n != all || len(took) != len(at) {
		return nil, fmt.Errorf("%d invoices, %d wanted; %d of the %d that were won meanwhile", n, all, len(took), len(at))
	}
	return took, nil
}

// made is an invoice that the books were ever given: its deal, and when.
type made struct {
	deal string
	at   time.Time
}

// made lists the invoices that the books ever had, also those taken back.
func (s *story) made() ([]made, error) {
	var out struct {
		Objects []struct {
			Type      string
			CreatedAt time.Time `json:"created_at"`
			Versions  []struct {
				Data struct{ PrivateNote string }
			}
		}
	}
	if err := s.control(http.MethodGet, "quickbooks", "export", nil, &out); err != nil {
		return nil, err
	}
	var list []made
	for _, o := range out.Objects {
		if strings.EqualFold(o.Type, "invoice") && len(o.Versions) > 0 {
			_, deal, _ := strings.Cut(o.Versions[0].Data.PrivateNote, " · ")
			list = append(list, made{deal, o.CreatedAt})
		}
	}
	return list, nil
}
