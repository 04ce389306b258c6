package run

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Readiness is the name under which gRPC health tells whether a service takes work.
const Readiness = "readiness"

// Status says whether a process lives and whether it takes work, over HTTP and
// gRPC. What it waits for is said by name, so that nobody has to look into logs.
type Status struct {
	health *health.Server

	mu       sync.Mutex
	waiting  map[string]string // what -> why
	degraded map[string]string
}

// NewStatus returns the status of a process that waits for its start.
func NewStatus(h *health.Server) *Status {
	s := &Status{health: h, waiting: map[string]string{"start": "the service starts"}, degraded: map[string]string{}}
	h.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	h.SetServingStatus(Readiness, healthv1.HealthCheckResponse_NOT_SERVING)
	return s
}

// Wait says that something is waited for, and why.
func (s *Status) Wait(what, why string) { s.set(what, why) }

// Done says that it is waited for no more.
func (s *Status) Done(what string) { s.set(what, "") }

// Degraded says that something is away while work is still taken: a webhook is
// accepted also while the broker is away. No why: it is there again.
func (s *Status) Degraded(what, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" {
		delete(s.degraded, what)
		return
	}
	s.degraded[what] = why
}

func (s *Status) set(what, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" {
		delete(s.waiting, what)
	} else {
		s.waiting[what] = why
	}
	serving := healthv1.HealthCheckResponse_NOT_SERVING
	if len(s.waiting) == 0 {
		serving = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus(Readiness, serving)
}

// Waiting returns what is waited for.
func (s *Status) Waiting() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.waiting)
}

// Handler serves /livez, /readyz and /metrics.
func (s *Status) Handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"live": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		body := map[string]any{"ready": len(s.waiting) == 0, "waiting": maps.Clone(s.waiting), "degraded": maps.Clone(s.degraded)}
		code := http.StatusOK
		if len(s.waiting) > 0 {
			code = http.StatusServiceUnavailable
		}
		s.mu.Unlock()
		answer(w, code, body)
	})
	return mux
}

func answer(w http.ResponseWriter, code int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
