package lab

import "context"

// Hold lets a service's replica drain and keeps it down until Resume, as one that
// was scaled to nothing.
func (l *Lab) Hold(name string, replica int) error {
	s, err := l.replica(name, replica)
	if err != nil {
		return err
	}
	return s.stop()
}

// Resume starts a replica that is held, and waits until it takes work.
func (l *Lab) Resume(ctx context.Context, name string, replica int) error {
	s, err := l.replica(name, replica)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.stopping, s.ended = false, make(chan struct{})
	s.mu.Unlock()
	go s.keep(l.configFile) // until stop, which waits for it
	return s.await(ctx)
}
