package bubble

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tieout.dev/services/internal/drill"
)

// injectsCommand: COUNTER FAULT…, with what counts them: kills, hands (what
// people did in the books), merges, or books=EFFECT or crm=EFFECT for requests
// that a fault in force has hit.
func (s *story) injectsCommand(a words) error {
	times, err := s.counted(a.first())
	if err != nil {
		return err
	}
	var faults []int
	for _, w := range a.rest(1) {
		n, err := strconv.Atoi(w)
		if err != nil {
			return err
		}
		faults = append(faults, n)
	}
	drill.InjectedBy(s.t, drill.Script(s.name), times, faults...)
	return nil
}

func (s *story) counted(what string) (int64, error) {
	switch what {
	case "kills":
		return int64(s.kills), nil
	case "hands":
		return int64(s.hands), nil
	case "merges":
		return int64(s.merges), nil
	}
	vendor, effect, ok := strings.Cut(what, "=")
	system := map[string]string{"books": "quickbooks", "crm": "hubspot"}[vendor]
	if !ok || system == "" {
		return 0, errors.New("injects kills|hands|merges|books=EFFECT|crm=EFFECT FAULT…")
	}
	var list struct {
		Items []struct {
			Effect string `json:"effect"`
			Hits   int64  `json:"hits"`
		} `json:"items"`
	}
	if err := s.control(http.MethodGet, system, "faults", nil, &list); err != nil {
		return 0, err
	}
	hits := int64(0)
	for _, f := range list.Items {
		if f.Effect == effect {
			hits += f.Hits
		}
	}
	return hits, nil
}

// crashLoop: PROCESS TIMES EVERY; the process ends and comes back.
func (s *story) crashLoop(a words) error {
	if len(a) < 3 {
		return errors.New("crashloop PROCESS TIMES EVERY")
	}
	n, err := strconv.Atoi(a[1])
	if err != nil {
		return err
	}
	every, err := time.ParseDuration(a[2])
	if err != nil {
		return err
	}
	for i := range n {
		if err := s.sleep(every); err != nil {
			return err
		}
		s.kills++
		if err := s.kill(a[0]); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		if err := s.start(a[0]); err != nil {
			return fmt.Errorf("start %d: %w", i+1, err)
		}
	}
	return nil
}
