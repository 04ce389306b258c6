package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
)

// probeView is what 'connections probe' prints; its names are promises.
type probeView struct {
	Connection string           `json:"connection"`
	Account    string           `json:"account"`
	OK         bool             `json:"ok"`
	Paused     bool             `json:"paused"`
	DryRun     bool             `json:"dry_run"`
	Kinds      []probedKindView `json:"kinds"`
}

type probedKindView struct {
	Kind      string            `json:"kind"`
	Claimed   string            `json:"claimed"`
	Measured  string            `json:"measured"`
	Verdict   string            `json:"verdict"`
	Findings  []probeFinding    `json:"findings"`
	Writes    string            `json:"writes"`
	TakesBack bool              `json:"takes_back"`
	Requests  int64             `json:"requests"`
	Made      int64             `json:"made"`
	Left      []probeLeftInView `json:"left"`
	Stopped   string            `json:"stopped"`
}

type probeFinding struct {
	Claim    string `json:"claim"`
	Claimed  string `json:"claimed"`
	Measured string `json:"measured"`
	Samples  int64  `json:"samples"`
	Verdict  string `json:"verdict"`
	Said     string `json:"said"`
	Who      string `json:"who"`
	Next     string `json:"next"`
}

type probeLeftInView struct {
	Ref  string `json:"ref"`
	Mark string `json:"mark"`
	Why  string `json:"why"`
}

// What the writer calls its verdicts, and the one kind that needs a record.
const (
	contradicted = "contradicted"
	notMeasured  = "not_measured"
	markerKind   = "MARKER"
)

// probing is one run of the command.
type probing struct {
	app     *app
	request *controlv1.ProbeConnectionRequest
	kinds   []string
	began   time.Time
}

func (a *app) connectionsProbe() *cobra.Command {
	p := &probing{app: a, request: &controlv1.ProbeConnectionRequest{Actor: actor()}}
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "probe ID", Short: "Measure what a connection claims, by small documents that are taken back; exit 5 if a claim is contradicted", Args: cobra.ExactArgs(1),
		Long: "Measure what a connection claims of each kind of document: what can be done when an answer was lost (class A to D), how long\n" +
			"a search may lag, how long a request may take. It writes a few documents of the smallest amount into the books, all named\n" +
			"\"Tieout probe …\", and takes them back. A claim that the books do not keep is refused: the connection is paused until a person\n" +
			"resumes it.",
		Example: "  tieout connections probe books --dry-run\n  tieout connections probe books --kinds customer,invoice --samples 2 --reason \"new company\" --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			p.request.Connection, p.request.KeyWaitMs = args[0], wait.Milliseconds()
			return p.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&p.kinds, "kinds", nil, "kinds of documents, such as customer,invoice; without it all that can be taken back")
	f.Int32Var(&p.request.Samples, "samples", 3, "how many documents the search lag is measured by, at most 20")
	f.DurationVar(&wait, "key-wait", 0, "use a key again after so long, where keys are claimed to be remembered")
	f.StringVar(&p.request.Ref, "record", "", "record without a marker whose marker may be written for a moment, such as deal/123; for markers")
	f.StringVar(&p.request.Reason, "reason", "", "why; it goes into the audit trail")
	f.BoolVar(&p.request.DryRun, "dry-run", false, "say what would be written, write nothing")
	return cmd
}

// run asks what would be written, asks the person, and probes kind by kind: each
// is done before the next begins, so that a person sees how far it is.
func (p *probing) run(ctx context.Context) error {
	dry := p.request.GetDryRun()
	if !dry && strings.TrimSpace(p.request.GetReason()) == "" {
		return usage("--reason is mandatory: it goes into the audit trail")
	}
	c, err := p.app.clients()
	if err != nil {
		return err
	}
	p.request.DryRun = true
	plan, err := c.writer.ProbeConnection(ctx, p.request)
	if err != nil {
		return err
	}
	kinds, err := p.chosen(plan.GetKinds())
	if err != nil {
		return err
	}
	v := &probeView{Connection: p.request.GetConnection(), Account: plan.GetAccount(), OK: true, DryRun: dry, Kinds: []probedKindView{}}
	if dry {
		for _, k := range kinds {
			v.add(k)
		}
		return p.app.print(v, v.table)
	}
	if err := p.confirm(kinds); err != nil {
		return err
	}
	p.request.DryRun, p.began = false, time.Now()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	for i, k := range kinds {
		if err := p.one(ctx, c, v, k, fmt.Sprintf("%d of %d", i+1, len(kinds))); err != nil {
			return err
		}
	}
	if err := p.app.print(v, v.table); err != nil {
		return err
	}
	return v.failure()
}

// chosen are the kinds that were named, or all that leave nothing behind.
func (p *probing) chosen(all []*controlv1.ProbedKind) (out []*controlv1.ProbedKind, err error) {
	var names []string
	for i, k := range p.kinds {
		p.kinds[i] = strings.ToUpper(strings.TrimSpace(k))
	}
	for _, k := range all {
		names = append(names, strings.ToLower(k.GetKind()))
		if slices.Contains(p.kinds, k.GetKind()) || len(p.kinds) == 0 && k.GetTakesBack() {
			out = append(out, k)
		}
	}
	for _, k := range p.kinds {
		if !slices.Contains(names, strings.ToLower(k)) {
			return nil, usage("kind %q is not one of %s, which are written to connection %s", strings.ToLower(k), strings.Join(names, ", "), p.request.GetConnection())
		}
	}
	return out, nil
}

func (p *probing) confirm(kinds []*controlv1.ProbedKind) error {
	for _, k := range kinds {
		if k.GetKind() == markerKind && p.request.GetRef() == "" {
			return usage("markers are measured on a record that you name: say --record deal/123, one without a marker")
		}
		p.say("%s: %s", strings.ToLower(k.GetKind()), k.GetWrites())
	}
	return p.app.confirm("write this into the books of %s?", p.request.GetConnection())
}

// say tells a person how far it is; a program reads the result alone.
func (p *probing) say(format string, args ...any) {
	if p.app.output == "table" {
		fmt.Fprintf(p.app.err, format+"\n", args...)
	}
}

func (p *probing) one(ctx context.Context, c clients, v *probeView, k *controlv1.ProbedKind, which string) error {
	p.say("probing %s, %s; Ctrl-C ends it and what was made is taken back", strings.ToLower(k.GetKind()), which)
	p.request.Kind = k.GetKind()
	res, err := c.writer.ProbeConnection(ctx, p.request)
	if ctx.Err() != nil {
		return p.cancelled(context.WithoutCancel(ctx), c, v.Account)
	}
	if err != nil {
		return err
	}
	for _, done := range res.GetKinds() {
		done.Writes, done.TakesBack = k.GetWrites(), k.GetTakesBack()
		v.add(done)
	}
	if res.GetCommand() == "" {
		return nil
	}
	v.OK, v.Paused = false, true
	return c.hear(ctx, []string{res.GetCommand()}, &actView{}) // what is asked for next shows it
}

// cancelledWithin is how long a person waits to hear what a probe that they ended
// left behind.
const cancelledWithin = 30 * time.Second

// cancelled finds on the trail what the writer took back and what it could not.
func (p *probing) cancelled(ctx context.Context, c clients, account string) error {
	f := &failure{code: exitError, message: "cancelled: the writer takes back what was made", who: "operator", next: "tieout audit tail; connection.probed says what is left"}
	for end := time.Now().Add(cancelledWithin); time.Now().Before(end); <-time.After(look) {
		res, err := c.audit.Search(ctx, &controlv1.SearchRequest{Since: timestamppb.New(p.began.Add(-time.Minute)), Newest: true})
		if err != nil {
			return f
		}
		for _, e := range slices.Backward(res.GetItems()) {
			if e.GetWhat() == "connection.probed" && strings.Contains(e.GetStream(), account) && strings.Contains(e.GetDetail(), "it was cancelled") && e.GetAt().AsTime().After(p.began.Add(-time.Second)) {
				f.message, f.next = "cancelled: "+e.GetDetail(), "tieout connections probe "+p.request.GetConnection()
				return f
			}
		}
	}
	return f
}

func (v *probeView) add(k *controlv1.ProbedKind) {
	x := probedKindView{
		Kind: k.GetKind(), Claimed: k.GetClaimed(), Measured: k.GetMeasured(), Verdict: k.GetVerdict(), Findings: []probeFinding{}, Writes: k.GetWrites(), TakesBack: k.GetTakesBack(),
		Requests: k.GetRequests(), Made: k.GetMade(), Left: []probeLeftInView{}, Stopped: k.GetStopped(),
	}
	for _, f := range k.GetFindings() {
		x.Findings = append(x.Findings, probeFinding{f.GetClaim(), f.GetClaimed(), f.GetMeasured(), f.GetSamples(), f.GetVerdict(), f.GetSaid(), f.GetWho(), f.GetNext()})
	}
	for _, l := range k.GetLeft() {
		x.Left = append(x.Left, probeLeftInView{l.GetRef(), l.GetMark(), l.GetWhy()})
	}
	v.Kinds = append(v.Kinds, x)
}

func (v *probeView) table(w io.Writer) {
	if v.DryRun {
		for _, k := range v.Kinds {
			fmt.Fprintf(w, "%s\tclaimed %s\twould write: %s\n", strings.ToLower(k.Kind), k.Claimed, k.Writes)
		}
		return
	}
	fmt.Fprintln(w, "KIND\tCLAIM\tCLAIMED\tMEASURED\tVERDICT\tSEEN")
	for _, k := range v.Kinds {
		for _, f := range k.Findings {
			shown := f.Measured
			if shown == "" {
				shown = "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", strings.ToLower(k.Kind), f.Claim, f.Claimed, shown, strings.ReplaceAll(f.Verdict, "_", " "), f.Said)
		}
	}
	for _, k := range v.Kinds {
		fmt.Fprintf(w, "%s: %d made in the books with %d requests, %d left\n", strings.ToLower(k.Kind), k.Made, k.Requests, len(k.Left))
		for _, l := range k.Left {
			fmt.Fprintf(w, "left\t%s\t%s\t%s\n", l.Ref, l.Mark, l.Why)
		}
	}
}

// failure is a contradiction, or else that something was not measured.
func (v *probeView) failure() error {
	var what, next []string
	who := ""
	for _, k := range v.Kinds {
		for _, f := range k.Findings {
			if f.Verdict != contradicted {
				continue
			}
			what = append(what, fmt.Sprintf("%s of %s is claimed as %s and was measured as %s: %s", f.Claim, strings.ToLower(k.Kind), f.Claimed, f.Measured, f.Said))
			next, who = append(next, f.Next), max(who, f.Who) // the operator can only wait where tieout has to act
		}
	}
	if len(what) > 0 {
		if who == "operator" {
			next = append(next, "then tieout connections resume "+v.Connection+` --reason "…"`)
		}
		return &failure{
			code: exitDifference, message: strings.Join(what, "; ") + ". Connection " + v.Connection + " is paused: nothing leaves under a claim that is false", who: who,
			next: strings.Join(slices.Compact(next), "; "),
		}
	}
	for _, k := range v.Kinds {
		if k.Verdict == notMeasured {
			return &failure{code: exitError, message: strings.ToLower(k.Kind) + " was not measured: " + k.Findings[0].Said, who: "operator", next: "tieout connections test " + v.Connection}
		}
	}
	return nil
}
