package lab

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"tieout.dev/services/internal/config"
)

// Signal sends a signal to a service's replica (from 1 on).
func (l *Lab) Signal(name string, replica int, sig syscall.Signal) error {
	s, err := l.replica(name, replica)
	if err != nil {
		return err
	}
	return s.signal(sig)
}

// Replicas is how many there are of a service.
func (l *Lab) Replicas(name string) (n int) {
	for _, s := range l.services {
		if s.name == name {
			n++
		}
	}
	return n
}

// PID of a service's replica, as of its last start.
func (l *Lab) PID(name string, replica int) int {
	s, err := l.replica(name, replica)
	if err != nil {
		return 0
	}
	return s.pid()
}

// Ready tells whether every replica of a service takes work.
func (l *Lab) Ready(ctx context.Context, name string) bool {
	for _, s := range l.services {
		if s.name == name && !s.ready(ctx) {
			return false
		}
	}
	return true
}

// readyFor bounds one look at a replica, which may be frozen.
const readyFor = time.Second

func (s *service) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readyFor)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.status+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func (l *Lab) replica(name string, replica int) (*service, error) {
	for _, s := range l.services {
		if s.name == name && s.replica == replica {
			return s, nil
		}
	}
	return nil, fmt.Errorf("there is no %s %d; services are %v", name, replica, config.Services())
}
