package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/user"
	"strings"
	"time"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/internal/idle"
)

// outcomeWithin is how long a person waits to hear what became of an action: the
// owner's next turn applies it, after a read of the books where one is needed.
const outcomeWithin = 5 * time.Second

// actView is what an action prints; its names are promises.
type actView struct {
	Action     string        `json:"action"`
	DryRun     bool          `json:"dry_run"`
	Exceptions []string      `json:"exceptions"`
	Proposed   []string      `json:"proposed"`
	Refused    []refusedView `json:"refused"`
	Pending    []string      `json:"pending"`
}

// refusedView is an exception that an action did not change, and why.
type refusedView struct {
	Exception string `json:"exception"`
	Reason    string `json:"reason"`
}

func (a *app) act(ctx context.Context, r *controlv1.ActRequest) error {
	if strings.TrimSpace(r.GetReason()) == "" {
		return usage("--reason is mandatory: it goes into the audit trail")
	}
	if r.GetId() == "" && !r.GetAll() {
		return usage("name an exception, or say --all")
	}
	if err := knownKind(r.GetKind()); err != nil {
		return err
	}
	if r.GetAll() && !r.GetDryRun() || r.GetAction() == "discard" {
		if err := a.confirm("%s %s?", r.GetAction(), cmp.Or(r.GetId(), "every open exception that allows it")); err != nil {
			return err
		}
	}
	c, err := a.clients()
	if err != nil {
		return err
	}
	v := &actView{Action: r.GetAction(), DryRun: r.GetDryRun(), Exceptions: []string{}, Proposed: []string{}, Refused: []refusedView{}, Pending: []string{}}
	var commands []string
	for _, act := range c.actors(r) {
		res, err := act(ctx, r)
		if err != nil {
			return err
		}
		v.Exceptions, v.Proposed = append(v.Exceptions, res.GetExceptions()...), append(v.Proposed, res.GetProposed()...)
		commands = append(commands, res.GetCommands()...)
	}
	if err := c.hear(ctx, commands, v); err != nil {
		return err
	}
	if err := a.print(v, v.table); err != nil {
		return err
	}
	return v.failure()
}

// hear waits, but not for long, for what became of the actions.
func (c clients) hear(ctx context.Context, commands []string, v *actView) error {
	for end := time.Now().Add(outcomeWithin); len(commands) > 0; {
		res, err := c.writer.ListCommands(ctx, &controlv1.ListCommandsRequest{Ids: commands})
		if err != nil {
			return err
		}
		commands, v.Pending = nil, v.Pending[:0]
		for _, x := range res.GetItems() {
			switch {
			case x.GetState() == "waiting":
				commands, v.Pending = append(commands, x.GetId()), append(v.Pending, x.GetException())
			case x.GetRefused() != "" && x.GetState() == "applied":
				v.Refused = append(v.Refused, refusedView{x.GetException(), x.GetRefused()})
			}
		}
		if len(commands) == 0 || time.Now().After(end) {
			return nil
		}
		if !idle.For(ctx, look) {
			return ctx.Err()
		}
	}
	return nil
}

func (v *actView) table(w io.Writer) {
	says := map[string]string{}
	for _, id := range v.Proposed {
		says[id] = "proposed " + v.Action + "; a second person must ask for the same"
	}
	for _, id := range v.Pending {
		says[id] = v.Action + ", not applied yet; 'tieout exceptions show' says what became of it"
	}
	for _, x := range v.Refused {
		says[x.Exception] = "refused " + v.Action + ": " + x.Reason
	}
	done := v.Action
	if v.DryRun {
		done = "would " + v.Action
	}
	for _, id := range v.Exceptions {
		fmt.Fprintf(w, "%s\t%s\n", cmp.Or(says[id], done), id)
	}
	if len(v.Exceptions) == 0 {
		fmt.Fprintln(w, "nothing to act on")
	}
}

// failure says that something was refused: the first reason, and how many.
func (v *actView) failure() error {
	if len(v.Refused) == 0 {
		return nil
	}
	first := v.Refused[0]
	f := &failure{code: exitError, message: fmt.Sprintf("%s of %s was refused, and nothing was changed: %s", v.Action, first.Exception, first.Reason), who: "operator", next: "tieout exceptions show " + first.Exception}
	if more := len(v.Refused) - 1; more > 0 {
		f.message += fmt.Sprintf("; %d more were refused", more)
	}
	return f
}

// actors are the services that hold the exceptions meant.
func (c clients) actors(r *controlv1.ActRequest) []func(context.Context, *controlv1.ActRequest) (*controlv1.ActResponse, error) {
	writer := func(ctx context.Context, r *controlv1.ActRequest) (*controlv1.ActResponse, error) {
		return c.writer.Act(ctx, r)
	}
	ingest := func(ctx context.Context, r *controlv1.ActRequest) (*controlv1.ActResponse, error) {
		return c.ingest.Act(ctx, r)
	}
	var out []func(context.Context, *controlv1.ActRequest) (*controlv1.ActResponse, error)
	if r.GetAll() || !strings.HasPrefix(r.GetId(), "i-") {
		out = append(out, writer)
	}
	if r.GetAll() && r.GetAction() == "retry" || strings.HasPrefix(r.GetId(), "i-") {
		out = append(out, ingest)
	}
	return out
}

// actor is who acts: the account on this machine.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
