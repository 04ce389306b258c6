package assembly

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/telemetry"
)

// Exit codes of a service.
const (
	exitDrained = 0
	exitFailed  = 1
	exitConfig  = 2
)

// Main is a service's whole program; it returns the exit code.
func Main(name string, build Builder) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return mainWith(ctx, name, build, os.Args[1:], os.Environ(), os.Stderr)
}

func mainWith(ctx context.Context, name string, build Builder, args, environment []string, errOut io.Writer) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(errOut)
	file := flags.String("config", "", "YAML file; "+config.Env("kafka.brokers")+" and the like say more")
	if err := flags.Parse(args); err != nil {
		return exitConfig
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(errOut, "%s: unexpected %q: everything is said by --config and the environment\n", name, flags.Args())
		return exitConfig
	}
	cfg, err := config.Load(*file, name, environment)
	if problems, ok := config.IsProblems(err); ok {
		for _, p := range problems {
			fmt.Fprintf(errOut, "%s: %s\n", name, p)
		}
		return exitConfig
	}
	if err != nil {
		fmt.Fprintf(errOut, "%s: %v\n", name, err)
		return exitConfig
	}
	log := slog.New(telemetry.Handler(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: cfg.Level})))
	p := &process{name: name, cfg: cfg, base: log, log: log.With("service", name), version: Version(), build: build}
	if err := p.run(ctx); err != nil {
		p.log.Error("the service ends with an error", "error", err)
		return exitFailed
	}
	p.log.Info("drained")
	return exitDrained
}

// Version is the build's revision.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// wait doubles from first to last.
type wait struct{ now time.Duration }

const (
	firstWait = 200 * time.Millisecond
	lastWait  = 5 * time.Second
)

// again waits before the next try, and returns false when ctx ends.
func (w *wait) again(ctx context.Context) bool {
	w.now = min(max(2*w.now, firstWait), lastWait)
	return idle.For(ctx, w.now)
}
