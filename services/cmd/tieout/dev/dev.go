// Package dev runs everything in one process on embedded parts: the broker,
// the cache, a SQLite file for each service, and sandboxes of both vendors.
// The services are the same code as in five processes.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"tieout.dev/services/audit/notify"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/telemetry"
)

// Options are what the command line says.
type Options struct {
	Dir     string
	Version string
	// Listen fixes addresses by name: "control=127.0.0.1:7000,hubspot=…".
	Listen map[string]string
	// OTLP is where spans go; "" sends none.
	OTLP string
	Out  io.Writer // progress
	Err  io.Writer // what keeps it from working
	// Notify says who is told of exceptions; empty: nobody.
	Notify notify.Config
	// Story is played once everything answers; nil: none. Done is whether the
	// process ends with it.
	Story func(ctx context.Context, f *endpoints.File) error
	Once  bool
}

const (
	// readyWithin bounds how long the parts may take to answer.
	readyWithin = 60 * time.Second
	closeWithin = 10 * time.Second
)

// Run starts everything, plays the story, and works until ctx ends.
func Run(ctx context.Context, o Options) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	logFile, err := os.OpenFile(filepath.Join(o.Dir, "tieout.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer logFile.Close()
	log := slog.New(telemetry.Handler(slog.NewJSONHandler(logFile, &slog.HandlerOptions{Level: slog.LevelInfo})))
	s := &stack{options: o, log: log, started: time.Now()}
	defer s.close()
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.work(ctx)
}

// work runs the services and, beside them, the story.
func (s *stack) work(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run.Services(ctx, s.services...) }()
	go s.rt.Watch(ctx, s.status, s.noticed)
	if err := s.ready(ctx); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	if err := endpoints.Write(s.options.Dir, s.file); err != nil {
		stop()
		return errors.Join(err, <-ended)
	}
	s.say("ready after %s: %s", time.Since(s.started).Round(10*time.Millisecond), filepath.Join(s.options.Dir, endpoints.Name))
	s.say("console: %s", s.file.Console)
	told := s.tell(ctx)
	if s.options.Once {
		err := <-told
		stop()
		return errors.Join(err, <-ended)
	}
	select {
	case err := <-ended:
		return errors.Join(err, ignoreCancel(<-told))
	case err := <-told:
		if err != nil && ctx.Err() == nil {
			s.say("the story stopped: %v", err)
		}
		err = <-ended
		return err
	}
}

// tell plays the story in the background; without one it is told at once.
func (s *stack) tell(ctx context.Context) <-chan error {
	told := make(chan error, 1)
	if s.options.Story == nil {
		told <- nil
		return told
	}
	go func() { told <- s.options.Story(ctx, s.file) }()
	return told
}

func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// noticed says that a part went away or is there again, also to whoever started
// this: the log may lie on the very disk that is full.
func (s *stack) noticed(what, why string) {
	if why == "" {
		s.log.Info("a part is there again", "part", what)
		s.warn("%s: it works again", what)
		return
	}
	s.log.Warn("a part is away or refuses us", "part", what, "error", why)
	s.warn("%s: %s", what, why)
}

func (s *stack) warn(format string, args ...any) {
	if s.options.Err != nil {
		fmt.Fprintf(s.options.Err, "tieout: "+format+"\n", args...)
	}
}

// say prints a line of progress.
func (s *stack) say(format string, args ...any) {
	if s.options.Out != nil {
		fmt.Fprintf(s.options.Out, format+"\n", args...)
	}
}
