package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tieout.dev/services/audit/notify"
	"tieout.dev/services/cmd/tieout/dev"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/story"
	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/embedded"
)

func (a *app) dev() *cobra.Command {
	var once, noStory bool
	var seed uint64
	var deals int
	cmd := &cobra.Command{
		Use: "dev", Short: "Run everything in one process on embedded parts, with sandboxes of the vendors", Args: cobra.NoArgs,
		Long: `Run everything in one process on embedded parts, with sandboxes of the vendors.

State lives in --dir; started again on it, it goes on where it was. Ctrl-C drains.
TIEOUT_DEV_LISTEN fixes addresses ("control=127.0.0.1:7700,hubspot=127.0.0.1:7701";
names: control, ingest, console, hubspot, quickbooks, and writer-metrics and the
like for the scrape of a service), otherwise all are free ports.
OTEL_EXPORTER_OTLP_ENDPOINT sends every span there (gRPC).
TIEOUT_NOTIFY_WEBHOOK_URL, or TIEOUT_NOTIFY_SMTP_ADDRESS with _SMTP_FROM and
_SMTP_TO, tell people of exceptions ('tieout notifications test' tries it).`,
		Example: "  tieout dev\n  tieout dev --once --dir /tmp/story\n  tieout dev --no-story",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if deals < 0 {
				return usage("--deals %d: the story cannot win fewer deals than none", deals)
			}
			listen, err := addresses(os.Getenv("TIEOUT_DEV_LISTEN"))
			if err != nil {
				return err
			}
			people, err := notify.FromEnv(os.Getenv, os.ReadFile)
			if err != nil {
				return usage("%v", err)
			}
			o := dev.Options{Dir: a.dir, Version: Version(), Listen: listen, Notify: people, OTLP: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), Out: a.out, Err: a.err, Once: once}
			if !noStory {
				teller := &story.Teller{Out: a.out, Live: isTerminal(a.out), Seed: seed, Deals: deals, Stay: !once}
				o.Story = func(ctx context.Context, f *endpoints.File) error { return teller.Tell(ctx, a.dir, f) }
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.devEnded(ctx, dev.Run(ctx, o))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "play the story and end; exit 5 while anything is unexplained")
	f.BoolVar(&noStory, "no-story", false, "start with what new vendor accounts have, and nothing else")
	f.Uint64Var(&seed, "seed", 1, "of the story's choices")
	f.IntVar(&deals, "deals", 12, "deals that the story wins; with 0 only those that show what goes wrong")
	return cmd
}

func (a *app) devEnded(ctx context.Context, err error) error {
	var used *embedded.InUseError
	switch {
	case errors.As(err, &used):
		return &failure{code: exitError, message: err.Error(), who: "operator", next: "stop the other process, or choose another --dir"}
	case errors.Is(err, story.ErrUnexplained):
		return &failure{code: exitDifference, message: err.Error(), who: "finance", next: "tieout reconcile"}
	case err == nil && ctx.Err() != nil:
		fmt.Fprintln(a.out, "drained; start again to go on where it was")
	}
	return err
}

// addresses reads "name=host:port,…".
func addresses(text string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, address, ok := strings.Cut(part, "=")
		service, scraped := strings.CutSuffix(name, "-metrics")
		known := slices.Contains([]string{"control", "ingest", "console", "hubspot", "quickbooks"}, name) || scraped && slices.Contains(config.Services(), service)
		if !ok || !known || address == "" {
			return nil, usage("TIEOUT_DEV_LISTEN: %q is not control=, ingest=, console=, hubspot=, quickbooks= or SERVICE-metrics=HOST:PORT", part)
		}
		out[name] = address
	}
	return out, nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
