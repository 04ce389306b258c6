package run

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestReadinessSaysWhatIsWaitedFor(t *testing.T) {
	h := health.NewServer()
	s := NewStatus(h)
	look := func(code int, ready healthv1.HealthCheckResponse_ServingStatus, says ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != code {
			t.Errorf("/readyz answers %d, want %d", w.Code, code)
		}
		for _, want := range says {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("/readyz does not say %q: %s", want, w.Body)
			}
		}
		r, err := h.Check(t.Context(), &healthv1.HealthCheckRequest{Service: Readiness})
		if err != nil || r.GetStatus() != ready {
			t.Errorf("readiness %v, %v", r.GetStatus(), err)
		}
		if r, err := h.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("it lives: %v, %v", r.GetStatus(), err)
		}
	}
	look(503, healthv1.HealthCheckResponse_NOT_SERVING, "the service starts")
	s.Wait("database", "connection refused")
	s.Done("start")
	look(503, healthv1.HealthCheckResponse_NOT_SERVING, "database", "connection refused")
	s.Done("database")
	s.Degraded("broker", "no route")
	look(200, healthv1.HealthCheckResponse_SERVING, "broker", "no route")
	s.Degraded("broker", "")
	look(200, healthv1.HealthCheckResponse_SERVING, `"degraded":{}`)
}
