package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/internal/idle"
)

// look is how often the state is asked for while waiting.
const look = 150 * time.Millisecond

// lastLook is what asking may take when the time to wait has run out: whoever
// waited, or did not want to, hears what is still open.
const lastLook = 5 * time.Second

// waiting is what a caller waits for.
type waiting struct {
	settled bool
	refs    []string // REF=state
	atLeast int64
	timeout time.Duration
}

func (a *app) wait() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "wait", Short: "Wait until everything, or a record, has come to rest", Args: cobra.NoArgs,
		Example: "  tieout wait --settled --timeout 60s\n  tieout wait --at-least 1 --settled",
		Long: `Wait until everything, or a record, has come to rest.

--settled waits until no record is due to be read, no slot is open but those that
somebody holds, and one complete poll of each connection that started after the
call has ended. Exit code 10 says that the time ran out, with what is still open.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWait(cmd.Context(), w) },
	}
	f := cmd.Flags()
	f.BoolVar(&w.settled, "settled", false, "until nothing moves")
	f.StringArrayVar(&w.refs, "for", nil, "until a record is posted, parked or voided: REF=posted")
	f.Int64Var(&w.atLeast, "at-least", 0, "until so many records of source routes were admitted since the state was made")
	f.DurationVar(&w.timeout, "timeout", time.Minute, "how long to wait")
	return cmd
}

func (a *app) runWait(ctx context.Context, w waiting) error {
	if !w.settled && len(w.refs) == 0 && w.atLeast == 0 {
		w.settled = true
	}
	c, err := a.clients()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	asking, stop := context.WithTimeout(context.WithoutCancel(ctx), w.timeout+lastLook)
	defer stop()
	polls := map[string]int64{}
	if w.settled {
		if err := askPolls(asking, c, polls); err != nil {
			return err
		}
	}
	for {
		var open []string
		err := patiently(asking, func() (err error) {
			open, err = a.stillOpen(asking, c, w, polls)
			return err
		})
		if err == nil && (len(open) == 0 || ctx.Err() != nil) || asking.Err() != nil {
			return a.waited(open, err)
		}
		if err != nil {
			return err
		}
		if !idle.For(ctx, look) {
			return a.waited(open, nil)
		}
	}
}

// askPolls asks for polls, and notes the numbers of those that start after that.
func askPolls(ctx context.Context, c clients, polls map[string]int64) error {
	return patiently(ctx, func() error {
		p, err := c.ingest.Poll(ctx, &controlv1.PollRequest{})
		for _, s := range p.GetPolls() {
			polls[s.GetConnection()] = s.GetStarted()
		}
		return err
	})
}

// patience is how long a service may be away before there is none: whoever keeps
// services running starts a dead one again within seconds.
const patience = 10 * time.Second

// patiently asks again while a service is being started.
func patiently(ctx context.Context, ask func() error) error {
	for end := time.Now().Add(patience); ; {
		err := ask()
		if err == nil || status.Code(err) != codes.Unavailable || time.Now().After(end) {
			return err
		}
		if !idle.For(ctx, look) {
			return err
		}
	}
}

func (a *app) waited(open []string, err error) error {
	if len(open) == 0 && err == nil {
		return a.print(map[string]any{"settled": true, "open": []string{}}, func(w io.Writer) { fmt.Fprintln(w, "settled") })
	}
	message := "the time ran out; still open: " + strings.Join(open, ", ")
	if len(open) == 0 {
		message = "the time ran out while asking"
	}
	return &failure{code: exitAgain, message: message, who: "tieout", next: "tieout status"}
}

// stillOpen says what the caller still waits for.
func (a *app) stillOpen(ctx context.Context, c clients, w waiting, polls map[string]int64) ([]string, error) {
	p, err := c.pulse(ctx)
	if err != nil {
		return nil, err
	}
	var open []string
	if w.settled {
		for _, s := range p.ingest.GetPolls() {
			if s.GetStarted() < polls[s.GetConnection()]-1 { // the database was set back
				if err := askPolls(ctx, c, polls); err != nil {
					return nil, err
				}
			}
			if s.GetCompleted() < polls[s.GetConnection()] {
				open = append(open, strings.TrimSpace("a complete poll of "+s.GetConnection()+" "+s.GetError()))
			}
		}
		open = append(open, p.unsettled()...)
	}
	if n := p.ingest.GetRecords(); n < w.atLeast {
		open = append(open, fmt.Sprintf("%d of %d records", n, w.atLeast))
	}
	for _, want := range w.refs {
		ok, err := reached(ctx, c, want)
		if err != nil {
			return nil, err
		}
		if !ok {
			open = append(open, want)
		}
	}
	return open, nil
}

// reached reports whether REF=state holds; a record that nobody knows yet may
// still come.
func reached(ctx context.Context, c clients, want string) (bool, error) {
	ref, state, ok := strings.Cut(want, "=")
	if !ok || state != "posted" && state != "parked" && state != "voided" {
		return false, usage("--for %q is not REF=posted, REF=parked or REF=voided", want)
	}
	ref, err := c.record(ctx, ref)
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	cause, err := c.openFor(ctx, ref)
	if err != nil {
		return false, err
	}
	if state == "parked" || cause != "" {
		return state == cause, nil
	}
	links, err := c.writer.ListLinks(ctx, &controlv1.ListLinksRequest{SourceRef: ref})
	if err != nil {
		return false, err
	}
	last := ""
	for _, l := range links.GetItems() {
		if l.GetKind() == "INVOICE" {
			last = l.GetState() // in the order of n
		}
	}
	return state == "posted" && last == "primary" || state == "voided" && (last == "void" || last == "credited"), nil
}

// openFor says why a record has not come to rest, "" if it has. One that a person
// must look at before it gets a lane is ingest's to know.
func (c clients) openFor(ctx context.Context, ref string) (cause string, err error) {
	open, err := c.writer.OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return "", err
	}
	for _, r := range open.GetItems() {
		if r.GetRef() == ref && r.GetCause() != "discarded" {
			cause = r.GetCause()
		}
	}
	due, err := c.ingest.OpenRefs(ctx, &controlv1.OpenRefsRequest{})
	if err != nil {
		return "", err
	}
	for _, r := range due.GetItems() {
		if r.GetRef() == ref && r.GetCause() == "parked" {
			cause = "parked"
		}
	}
	return cause, nil
}
