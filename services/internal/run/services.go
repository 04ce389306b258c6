package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Service is something that works until its context ends.
type Service struct {
	Name string
	Run  func(ctx context.Context) error
}

// Services runs all of them until ctx ends, and stops all when one fails. It
// returns when the last has drained.
func Services(ctx context.Context, services ...Service) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, s := range services {
		wait.Go(func() {
			if err := s.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
				mu.Unlock()
			}
			stop()
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
