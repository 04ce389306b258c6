package bubble

import (
	"fmt"
	"strings"

	controlv1 "tieout.dev/proto/control/v1"
)

// trace tells what happened to each deal, hop by hop, as the audit trail has
// it: without ids and times, which vary.
func (s *story) trace() (string, error) {
	var out strings.Builder
	for _, name := range s.order {
		j, err := s.audit.Journey(s.ctx, &controlv1.JourneyRequest{Id: s.bubble.world.Sandboxes["hubspot"].Account + "/deal/" + s.deals[name]})
		if err != nil {
			return "", fmt.Errorf("journey of %s: %w", name, err)
		}
		fmt.Fprintf(&out, "%s\n", name)
		for _, x := range j.GetSteps() {
			fmt.Fprintf(&out, "  %s %s %s %s | %s\n", x.GetService(), x.GetWhat(), x.GetOutcome(), x.GetRef(), x.GetDetail())
		}
	}
	return out.String(), nil
}
