package lab

import (
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/writer/protocol"
)

// process is a writer: what the shell around the core does, without its
// goroutines. It may die, freeze, and thaw as a zombie that still believes to
// own the target.
type process struct {
	w       *site
	no      int
	id      string
	life    int // of the process: what an earlier one let go answers nobody
	alive   bool
	lease   protocol.Lease
	memory  *protocol.Memory
	started micros
	thaws   micros // frozen until then
	in      protocol.Inputs
	turnAt  micros // the next turn that is planned
	hold    micros // the books want no request until then
	probed  micros // when it last tried a paused connection
	asked   bool   // since then a person asked for something
}

// batches is how many shared calls may leave in a turn.
const batches = 2

// assign gives a process the target: it takes the epoch, with an empty memory.
func (w *site) assign(p *process) {
	w.owner = p
	p.life++
	p.alive, p.memory, p.started, p.in, p.turnAt = true, protocol.NewMemory(), w.now, protocol.Inputs{}, 0
	p.hold, p.probed, p.asked = 0, 0, false
	w.db.lease = protocol.Lease{Epoch: w.db.lease.Epoch + 1, Owner: p.id + itoa(int64(p.life))}
	p.lease = w.db.lease
	w.books.vain = 0 // it does not know yet whether they answer
	w.log("%s takes the target: epoch %d", p.id, p.lease.Epoch)
	p.plan(milli)
}

// die ends the process, whatever it owns.
func (p *process) die(why string) {
	for _, s := range p.w.sites {
		if x := s.procs[p.no]; x == p || x.alive {
			x.lose(why)
		}
	}
}

// lose ends what the process is to one target.
func (p *process) lose(why string) {
	p.w.log("%s dies for %s: %s", p.id, p.w.target, why)
	p.alive, p.thaws = false, 0
	p.life++
	if p.w.owner == p {
		life := p.life
		p.w.after(second+p.w.exp(10*second), func() {
			if p.w.owner == p && p.life == life {
				p.w.assign(p.w.procs[p.w.n(len(p.w.procs))])
			}
		})
	}
}

// when runs something in this life of the process, once it is not frozen.
func (p *process) when(wait micros, do func()) {
	p.w.queue.add(due{at: p.w.now + wait, do: do, of: p, life: p.life})
}

// plan has a turn taken within a time.
func (p *process) plan(within micros) {
	at := p.w.now + max(within, milli)
	if p.turnAt > p.w.now && p.turnAt <= at {
		return
	}
	p.turnAt = at
	p.w.queue.add(due{at: at, of: p, life: p.life, turn: at})
}

// happens is the moment of something that a process does.
func (p *process) happens(d due) {
	switch {
	case p.life != d.life || !p.alive:
	case p.thaws > p.w.now:
		d.at = p.thaws
		p.w.queue.add(d)
	case d.do != nil:
		d.do()
	case p.turnAt == d.turn:
		p.turnAt = 0
		p.turn()
	}
}

// wakeOwner: there is something new to look at.
func (w *site) wakeOwner() {
	if w.owner != nil && w.owner.alive {
		w.owner.plan(milli)
	}
}

// turn gathers, steps, stores and lets go, as the shell does; it may die before
// the commit or after it.
func (p *process) turn() {
	w, db := p.w, p.w.db
	w.cover.Turns++
	w.room.turn()
	if w.hits(w.f.freeze, "freeze") {
		p.freeze()
		p.plan(milli)
		return
	}
	if !p.lease.Holds(db.lease) {
		w.cover.Faults["fenced"]++
		p.lose("fenced")
		return
	}
	in := p.in
	p.in = protocol.Inputs{Commands: nil}
	in.Commands = append(in.Commands, db.commands...)
	for _, a := range in.Answers {
		for _, o := range a.Outcomes {
			p.throttledBy(o.Err)
		}
	}
	before := told{paused: db.paused, held: db.held != "", asked: len(in.Commands) > 0}
	v := p.view()
	if err := protocol.Load(db, v, p.memory, in); err != nil {
		w.violated("core", "load: %v", err)
		return
	}
	p.compare(v, in)
	changes, effects := protocol.Step(v, p.memory, in)
	if w.hits(w.f.crash/2, "crash before commit") {
		p.die("before its commit")
		return
	}
	if p.lease != db.lease {
		w.violated("I1", "%s changed the tables, and the target is another's", p.id)
		return
	}
	db.apply(&changes)
	p.checkTurn(before, v, &effects)
	if w.hits(w.f.crash/2, "crash after commit") {
		p.die("after its commit, before anything left")
		return
	}
	p.carryOut(effects)
	p.next(effects)
}

func (p *process) freeze() {
	thaws := p.w.now + p.w.exp(p.w.f.freezeMean)
	p.w.each(func(s *site) { s.procs[p.no].thaws = thaws })
	p.w.log("%s freezes until +%s", p.id, time.Duration(p.thaws-p.w.now)*time.Microsecond)
}

func (p *process) mono() time.Duration { return time.Duration(p.w.now-p.started) * time.Microsecond }

func (p *process) view() *protocol.View {
	w, db := p.w, p.w.db
	budget, realtime, bulk := 1+w.n(6), 1+w.n(6), 1+w.n(6)
	v := &w.room.view // of an earlier turn: Load fills it anew
	v.Now, v.Mono, v.Tenant, v.Target = w.now, p.mono(), tenant, w.target
	v.Paused, v.Reason, v.HeldBy, v.Alert = db.paused, db.reason, db.held, db.alert
	v.Claims, v.Budget, v.RealtimeMost, v.BulkMost, v.Batches = w.books.claims, budget, realtime, bulk, batches
	v.Encode, v.Symbol, v.Recovery, v.Gens = encode, symbol, db.recovery, db.gens
	return v
}

// symbol: every symbol of a mapping is its own in these books.
func symbol(_, _, symbol string) (string, bool) { return symbol, true }

// next plans the following turn as the shell does: when the core asked for it,
// soon if the budget may have cut this one short, and else after a rest, which
// is short while lanes wait. Whatever is new wakes the owner.
func (p *process) next(e protocol.Effects) {
	wait := p.w.f.rest
	if p.w.db.waits() {
		wait = min(wait, 5*second)
	}
	if e.WakeAt > 0 {
		wait = min(wait, e.WakeAt.Microseconds()-(p.w.now-p.started))
	}
	if len(e.Send)+len(e.Looks) > 0 {
		wait = min(wait, 200*milli)
	}
	p.plan(wait)
}

// carryOut lets requests leave. A frozen process keeps them until it thaws,
// and the guard then keeps them back; a dead one sends what left before.
func (p *process) carryOut(e protocol.Effects) {
	w, decided := p.w, p.w.now
	for _, c := range e.Send {
		call := connector.Call{Key: c.ID, Items: append([]connector.Item(nil), c.Items...)}
		p.when(w.exp(2*milli), func() { p.put(call, decided) })
	}
	if len(e.Send) > 0 && w.hits(w.f.freeze, "freeze before sending") {
		p.freeze()
	}
	for _, l := range e.Looks {
		p.when(w.exp(2*milli), func() { p.look(l) })
	}
	if len(e.Send) > 0 && w.hits(w.f.crash, "crash while sending") {
		p.when(w.exp(2*milli), func() { p.die("while it sends") })
	}
}

func (p *process) put(c connector.Call, decided micros) {
	w := p.w
	if !protocol.MayLeave(w.books.claims.Guard, time.Duration(w.now-decided)*time.Microsecond) && !w.hits(w.f.residual, "guard passed") {
		w.cover.Faults["guard"]++
		p.answer(protocol.Answer{Call: c.Key, NotSent: true})
		return
	}
	if w.hits(w.f.freeze, "freeze while sending") {
		p.freeze()
	}
	if w.trace != nil {
		w.log("%s sends %s: %d items, %s", p.id, c.Key[:8], len(c.Items), c.Items[0].Effect)
	}
	if b := w.backups.writer; b != nil && c.Items[0].Kind == document.InvoiceKind && w.hits(w.f.restoreSending, "restored while sending") {
		w.after(w.exp(2*second), func() { w.restoreWriter(b) })
	}
	w.books.request(c, func(outcomes []connector.Outcome) {
		p.when(0, func() { p.answer(protocol.Answer{Call: c.Key, Outcomes: outcomes}) })
	})
}

func (p *process) answer(a protocol.Answer) {
	p.in.Answers = append(p.in.Answers, a)
	p.plan(milli)
}

func (p *process) look(l protocol.Look) {
	w := p.w
	p.when(w.exp(30*milli), func() {
		a := w.books.look(l)
		if w.hits(w.f.freeze, "freeze while reading") {
			p.freeze()
		}
		if w.trace != nil {
			w.log("%s looks %s: %d found, %v", p.id, l.Key[:min(len(l.Key), 24)], len(a.Postings), a.Err)
		}
		p.when(0, func() {
			p.in.Looks = append(p.in.Looks, a)
			p.plan(milli)
		})
	})
}

// rebalance: the broker gives the target to a process; the former owner learns
// of it when its next turn is refused.
func (w *site) rebalance() {
	if !w.disturbs("rebalance") {
		return
	}
	to := w.procs[w.n(len(w.procs))]
	if to == w.owner && to.alive {
		return
	}
	if to.alive && to.thaws > w.now {
		return // a frozen process joins nobody
	}
	w.log("kafka: the target moves to %s", to.id)
	w.assign(to)
}

// watch gives the target to somebody if its owner lost it and nobody noticed.
func (w *site) watch() {
	if w.owner == nil || !w.owner.alive || w.owner.thaws > w.now+20*second {
		for _, p := range w.procs {
			if p != w.owner && (!p.alive || p.thaws <= w.now) {
				w.assign(p)
				return
			}
		}
	}
}

// encode says a part in the books' words. It is pure.
func encode(d connector.Draft) (connector.Encoded, error) {
	p := d.Part
	f := map[string]string{}
	switch {
	case p.Kind == document.InvoiceKind && p.Invoice != nil:
		customer, ok := d.Linked(document.Need{Ref: p.Invoice.Customer, Kind: document.CustomerKind, Part: p.Invoice.CustomerPart})
		if !ok {
			return connector.Encoded{}, &fault.Error{Kind: fault.NotFound, Field: "customer", Text: "the customer has no link"}
		}
		f["customer"], f["issue_date"], f["note"], f["line.1.net"] = customer.String(), p.Invoice.IssueDate, d.Mark+" · "+p.Invoice.Note, itoa(p.Invoice.Totals.Net.Minor)
		f["line.1.tax"] = p.Invoice.Lines[0].Tax
	case p.CreditNote != nil:
		for _, k := range []string{"customer", "line.1.net", "line.1.tax"} {
			f[k] = d.Current.Fields[k]
		}
		f["issue_date"], f["note"] = p.CreditNote.IssueDate, d.Mark+" · credit"
	case p.Party != nil:
		f["name"] = p.Party.DisplayName
	case p.Item != nil:
		f["name"] = p.Item.Name
	}
	body := request{Effect: d.Effect, Kind: p.Kind, Mark: d.Mark, Fields: f, Subject: p.Subject}
	if d.Current != nil {
		body.Ref, body.Version = d.Current.Ref.ID, d.Current.Version
	}
	return connector.Encoded{Body: body.bytes(), Fields: f}, nil
}

// refOf is a record of the books.
func (w *site) refOf(k document.Kind, id string) event.Ref {
	typ := map[document.Kind]string{document.InvoiceKind: "invoice", document.CustomerKind: "customer", document.ItemKind: "item", document.CreditNoteKind: "credit_note"}[k]
	return event.Ref{System: booksSystem, Account: w.account, Type: typ, ID: id}
}
