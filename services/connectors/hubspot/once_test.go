package hubspot

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"tieout.dev/services/internal/connector"
)

// arrived counts what the portal's log says came in; what is asked about tokens
// is outside its quotas.
func (s *stage) arrived() int {
	s.t.Helper()
	resp, err := http.Get(s.url + "/_sandbox/requests?since=0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	log, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(log, []byte("\n")) - bytes.Count(log, []byte(`"path":"/oauth/`))
}

// Whatever arrives was counted: a read that is repeated with another token too,
// and none that net/http repeats because a connection broke.
func TestEveryRequestThatArrivesWasCounted(t *testing.T) {
	for _, effect := range []string{"", "expire_token", "reset_after", "reset_before"} {
		s := newStage(t, nil)
		if effect != "" {
			s.control("faults", map[string]any{"effect": effect, "match": map[string]any{"probability": 0.5}})
		}
		before := s.arrived()
		ctx, counted := connector.WithMeter(t.Context())
		for range 20 {
			_ = s.conn.Check(ctx)
		}
		if n := s.arrived() - before; n == 0 || n != counted.Requests() {
			t.Errorf("%s: %d requests arrived, %d were counted", effect, n, counted.Requests())
		}
	}
}
