package hubspot

import (
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/connector/probe"
	"tieout.dev/services/internal/document"
)

// What the connector claims of markers holds at its own sandbox. They are measured
// on a deal that a person names, and only on one that has none.
func TestClaimsHoldAtTheSandbox(t *testing.T) {
	s := newStage(t, map[string]string{settingSearchLag: "200ms", settingLongestRequest: "500ms"})
	if err := s.conn.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := s.world()
	measured := func(record string) *probe.Report {
		return probe.Run(t.Context(), probe.Setup{Target: s.conn.Target, Claims: s.conn.Claims, Run: "r", Record: record, Samples: 2, Now: time.Now}, document.MarkerKind)
	}
	marker := func() string {
		p, err := s.conn.Target.Get(t.Context(), document.MarkerKind, s.ref("deal", w.deal))
		if err != nil {
			t.Fatal(err)
		}
		return p.Number
	}
	deal := s.ref("deal", w.deal).String()
	if r := measured(deal); r.Verdict != probe.Holds || r.Measured != connector.Searchable || len(r.Left) > 0 || marker() != "" {
		t.Errorf("the deal has %q: %+v", marker(), r)
	}
	if r := measured(""); r.Verdict != probe.NotMeasured || !strings.Contains(r.Stopped, "name one without a marker") || r.Requests > 0 {
		t.Errorf("%+v", r)
	}
	if out := s.conn.Target.Put(t.Context(), s.markers("1001", w.deal))[0]; out.Err != nil {
		t.Fatal(out.Err)
	}
	if r := measured(deal); r.Verdict != probe.NotMeasured || marker() != "1001" {
		t.Errorf("the deal has %q: %+v", marker(), r)
	}
	if r := measured(s.ref("deal", "77").String()); r.Verdict != probe.NotMeasured || !strings.Contains(r.Stopped, "not_found") {
		t.Errorf("%+v", r)
	}
}
