// Package story shows the main job working: deals are won through the CRM's
// own API, what moves is shown while it moves, then both sides with their sums.
package story

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	controlv1 "tieout.dev/proto/control/v1"

	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/idle"
)

// ErrUnexplained says that the two sides differ without a cause.
var ErrUnexplained = errors.New("the two sides differ, and not every difference has a cause")

const (
	// restWithin bounds how long the story waits for everything to come to rest.
	restWithin = 3 * time.Minute
	look       = 250 * time.Millisecond
)

// Teller tells the story.
type Teller struct {
	Out   io.Writer
	Live  bool // a terminal: the moving line is drawn over
	Seed  uint64
	Deals int
	Stay  bool // the process stays up afterwards

	portal     crm.Portal
	ingest     controlv1.IngestServiceClient
	writer     controlv1.WriterServiceClient
	reconciler controlv1.ReconcilerServiceClient
	started    time.Time
	won        []string // refs of the deals that were won
	live       live
}

// Tell plays the story on a running stack. Sandboxes that hold records already
// are not seeded again.
func (t *Teller) Tell(ctx context.Context, dir string, f *endpoints.File) error {
	conn, err := control.Dial(f.Control.Address, f.Control.Token, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	t.portal = crm.Portal{BaseURL: f.Sandboxes["hubspot"].BaseURL, Token: f.Sandboxes["hubspot"].ReaderToken}
	t.ingest, t.writer, t.reconciler = controlv1.NewIngestServiceClient(conn), controlv1.NewWriterServiceClient(conn), controlv1.NewReconcilerServiceClient(conn)
	t.started = time.Now()
	n, err := t.portal.Count(ctx, "companies")
	if err != nil {
		return err
	}
	if n > 0 {
		t.say("\nThe sandboxes hold records already; going on where it was.")
	} else if err := t.play(ctx, f); err != nil {
		return err
	}
	if err := t.rest(ctx); err != nil {
		return err
	}
	return t.summary(ctx, dir)
}

// play wins the deals, then records as real portals have them, then one whose
// answer from the books gets lost.
func (t *Teller) play(ctx context.Context, f *endpoints.File) error {
	t.say("\nA book of business: companies, contacts, a price list; then %d deals are won in HubSpot, through its API:", t.Deals)
	book := newBook(t.Seed)
	if err := book.seed(ctx, t.portal); err != nil {
		return fmt.Errorf("seed the CRM: %w", err)
	}
	for i := range t.Deals {
		d := book.deal(i)
		id, err := t.win(ctx, d)
		if err != nil {
			return err
		}
		t.won = append(t.won, f.Sandboxes["hubspot"].Account+"/deal/"+id)
		t.say("  won  %-38s %s", d.Name, d.Currency)
	}
	if err := t.rest(ctx); err != nil {
		return err
	}
	if err := t.dirty(ctx, book); err != nil {
		return err
	}
	return t.lostAnswer(ctx, f, book)
}

// dirty wins the deals that people get wrong.
func (t *Teller) dirty(ctx context.Context, book *book) error {
	t.say("\nRecords as people leave them:")
	list, err := book.nasties(ctx, t.portal)
	if err != nil {
		return err
	}
	for _, n := range list {
		if _, err := t.win(ctx, n.deal); err != nil {
			return err
		}
		t.say("  won  %-20s %s", n.deal.Name, n.why)
	}
	return t.rest(ctx)
}

func (t *Teller) win(ctx context.Context, d crm.Deal) (string, error) {
	id, err := t.portal.Deal(ctx, d)
	if err != nil {
		return "", fmt.Errorf("make deal %q: %w", d.Name, err)
	}
	if err := t.portal.Move(ctx, id, crm.Won); err != nil {
		return "", fmt.Errorf("win deal %q: %w", d.Name, err)
	}
	return id, nil
}

// lostAnswer cuts the connection after the books have posted an invoice and
// before they say so: the case in which others bill twice.
func (t *Teller) lostAnswer(ctx context.Context, f *endpoints.File, book *book) error {
	t.say("\nNow QuickBooks posts an invoice and its answer is lost on the way:")
	books := f.Sandboxes["quickbooks"].BaseURL
	if err := postFault(ctx, books+"/_sandbox/faults", `{"match":{"method":"POST","path":"/v3/company/*/invoice"},"effect":"reset_after","times":1}`); err != nil {
		return err
	}
	d := book.deal(t.Deals)
	d.Name = "Answer lost on purpose"
	id, err := t.win(ctx, d)
	if err != nil {
		return err
	}
	if err := t.rest(ctx); err != nil {
		return err
	}
	links, err := t.writer.ListLinks(ctx, &controlv1.ListLinksRequest{SourceRef: f.Sandboxes["hubspot"].Account + "/deal/" + id})
	if err != nil {
		return err
	}
	for _, l := range links.GetItems() {
		t.say("  one invoice all the same: number %s, found in the books by its mark before anything was sent again", l.GetNumber())
		t.say("  the proof: tieout journey %s", l.GetNumber())
	}
	return nil
}

// rest shows what moves until nothing does.
func (t *Teller) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	p, err := t.ingest.Poll(ctx, &controlv1.PollRequest{})
	if err != nil {
		return err
	}
	for {
		in, err := t.ingest.IngestStatus(ctx, &controlv1.IngestStatusRequest{})
		if err != nil {
			return err
		}
		w, err := t.writer.WriterStatus(ctx, &controlv1.WriterStatusRequest{})
		if err != nil {
			return err
		}
		t.moving(in, w)
		if atRest(in, w, p) {
			t.endMoving()
			return nil
		}
		if !idle.For(ctx, look) {
			return fmt.Errorf("things did not come to rest: %w", ctx.Err())
		}
	}
}

func atRest(in *controlv1.IngestStatusResponse, w *controlv1.WriterStatusResponse, p *controlv1.PollResponse) bool {
	for i, s := range in.GetPolls() {
		if s.GetCompleted() < p.GetPolls()[i].GetStarted() {
			return false
		}
	}
	var open, held int64
	for _, r := range in.GetRoutes() {
		open += r.GetOpen()
	}
	for _, r := range w.GetRoutes() {
		held += r.GetOpen()
	}
	return in.GetHints()+in.GetUnpublished()+w.GetMoving()+w.GetUnpublished() == 0 && open == held
}

func (t *Teller) say(format string, args ...any) { fmt.Fprintf(t.Out, format+"\n", args...) }

// table writes aligned rows.
func (t *Teller) table(rows func(w io.Writer)) {
	w := tabwriter.NewWriter(t.Out, 0, 4, 2, ' ', 0)
	rows(w)
	_ = w.Flush() // the story's own output: an error shows itself
}
