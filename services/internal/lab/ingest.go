package lab

import (
	"maps"
	"slices"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/writer/protocol"
)

// The routes to each site.
const (
	invoices  = "deals"
	customers = "companies"
)

// line is a lane at a site, or a record's way there.
type line struct {
	site int
	of   string
}

// admitted is an event with its place.
type admitted struct {
	id, route   string
	site        int // where the route leads
	ref         event.Ref
	rev, slotNo int64
	render      int64
	class       event.Class
	cause       event.Cause
	typ         event.Type
	lane        string
	seq         int64
	after       []event.LaneSeq
	losers      []string
	data        *state
	changed     micros
	admitted    micros
	published   micros // last
	outcome     string // "" while it is open
	life        int64  // of the writer: who spoke of it last
}

// ingest is the service around the core of admission: reads are numbered when
// they start, slots when they are admitted.
type ingest struct {
	w       *world
	reads   int64
	known   map[event.Ref]int64 // the newest read that says what is known
	objects map[event.Ref]admission.Object
	laneOf  map[event.Ref]string
	alias   map[string]string
	merged  map[string]int64 // the last read that had started when it was found merged away
	last    map[line]int64   // the last number given
	events  map[string]*admitted
	order   []*admitted
	newest  map[line]*admitted // by record, the last one admitted
	waiting map[event.Ref]int  // reads put off until the customer's was
	facts   []fact             // the trail, in order
	took    int                // how far it was taken

	published   int   // how far it was published
	incarnation int64 // fences reads from before a restore
	floor       int64 // what revisions go on above after one
	lifting     bool  // it was set back and does not know yet what the writer holds
	catching    catchUp
}

func (in *ingest) start(w *world) {
	*in = ingest{
		w: w, objects: map[event.Ref]admission.Object{}, laneOf: map[event.Ref]string{}, alias: map[string]string{}, merged: map[string]int64{}, last: map[line]int64{},
		events: map[string]*admitted{}, newest: map[line]*admitted{}, waiting: map[event.Ref]int{}, known: map[event.Ref]int64{},
	}
}

// hint has a record read. The read is numbered now and samples the record at
// some moment before it is admitted.
func (in *ingest) hint(ref event.Ref, cause event.Cause) {
	w, mine := in.w, in.incarnation
	in.catching.ask(ref)
	in.reads++
	no := in.reads
	sample, rest := w.exp(50*milli), w.exp(50*milli)
	if w.hits(w.f.slowRead, "read slow") {
		sample, rest = w.exp(30*second), w.exp(30*second)
	}
	w.after(sample, func() {
		s := w.look(ref)
		w.after(rest, func() {
			if in.incarnation == mine && !in.lifting && in.admit(admission.Read{No: no, Record: s.read, Cause: cause, Floor: in.floor}, s) {
				in.catching.read(ref)
			}
		})
	})
}

func (in *ingest) admit(r admission.Read, s *state) (decided bool) {
	before, begun, deferred := len(in.order), in.reads, in.waiting[r.Record.Ref]
	decided = in.decide(r, s)
	in.beside(before, func(b BesideIngest) ([]*event.Event, error) { return b.Admit(begun, deferred, r) })
	return decided
}

// decide reports whether the record need not be read again.
func (in *ingest) decide(r admission.Read, s *state) bool {
	ref := r.Record.Ref
	o := in.objects[ref]
	if into := in.alias[ref.String()]; into != "" && into != ref.String() {
		in.w.cover.Verdicts[string(admission.Duplicate)]++ // read before it was merged away
		return true
	}
	r.Record.MergedFrom, r.Merges = in.mergedFrom(r.Record)
	_, r.Merged = in.survivor(r.Record.Customer)
	d := admission.Decide(o, r)
	in.w.cover.Verdicts[string(d.Verdict)]++
	switch d.Verdict {
	case admission.Stale:
		in.hint(ref, r.Cause)
		return false
	case admission.Duplicate:
		if o.Rev > 0 {
			in.known[ref] = max(in.known[ref], r.No)
			in.objects[ref] = d.Object
		}
	case admission.Admit:
		customer := r.Record.Customer
		if customer != ref && customer != (event.Ref{}) && in.objects[customer].Rev == 0 && in.waiting[ref] < 5 {
			in.waiting[ref]++
			in.hint(customer, event.Change)
			in.w.after(second, func() { in.hint(ref, r.Cause) })
			return false
		}
		in.checkRead(r)
		in.checkNews(r, o)
		in.place(r, d, s)
	}
	return true
}

// mergedFrom are all that a record was ever merged from.
func (in *ingest) mergedFrom(r connector.Record) (out []event.Ref, news bool) {
	for _, x := range in.w.crm.records {
		at, _ := in.survivor(x.ref)
		told := slices.ContainsFunc(r.MergedFrom, func(m event.Ref) bool { return m.String() == at }) // with all that it was merged from
		if (at == r.Ref.String() || told && at != x.ref.String()) && x.ref != r.Ref && !slices.Contains(out, x.ref) {
			out = append(out, x.ref)
		}
	}
	for _, told := range r.MergedFrom {
		if !slices.Contains(out, told) && told != r.Ref {
			out, news = append(out, told), true
		}
	}
	return out, news
}

func (in *ingest) place(r admission.Read, d admission.Decision, s *state) {
	ref := r.Record.Ref
	lane := in.lane(r.Record)
	var losers []string
	for _, l := range r.Record.MergedFrom {
		losers = append(losers, l.String())
		if l != ref && in.alias[l.String()] != ref.String() {
			in.alias[l.String()], in.merged[l.String()] = ref.String(), in.reads
		}
	}
	if in.w.f.mergesOnce && len(losers) > 0 {
		in.w.forgetMerge(ref, r.Record.MergedFrom)
	}
	in.objects[ref] = d.Object
	e := admitted{
		route: customers, ref: ref, rev: d.Object.Rev, slotNo: 1, render: 1, class: event.Realtime, cause: r.Cause, typ: d.Type, lane: lane,
		losers: losers, data: s, changed: in.w.now, admitted: in.w.now,
	}
	if ref.Type == "deal" {
		e.route = invoices
	}
	if in.w.chance(in.w.f.bulk) {
		e.class = event.Bulk
	}
	for _, to := range in.w.sites {
		at := e
		at.site, at.after = to.no, in.after(to.no, r.Record)
		at.route += to.account
		in.give(&at)
	}
}

// after are the last slots at a site of what a record was merged from.
func (in *ingest) after(site int, r connector.Record) (out []event.LaneSeq) {
	for _, l := range r.MergedFrom {
		if l == r.Ref {
			continue
		}
		if last, known := in.last[line{site, l.String()}]; known {
			out = append(out, event.LaneSeq{Lane: l.String(), Seq: last})
		}
		out = append(out, in.elsewhere(site, l)...)
	}
	return out
}

// elsewhere is a record's last slot in each lane but its own.
func (in *ingest) elsewhere(site int, ref event.Ref) (out []event.LaneSeq) {
	last := map[string]int64{}
	for _, e := range in.order {
		if e.site == site && e.ref == ref && e.lane != ref.String() {
			last[e.lane] = max(last[e.lane], e.seq)
		}
	}
	for _, lane := range slices.Sorted(maps.Keys(last)) {
		out = append(out, event.LaneSeq{Lane: lane, Seq: last[lane]})
	}
	return out
}

// give is the next number of the lane, and the event on its way.
func (in *ingest) give(e *admitted) {
	e.id = event.ID(e.ref.String(), e.rev, e.route, e.slotNo)
	in.last[line{e.site, e.lane}]++
	e.seq = in.last[line{e.site, e.lane}]
	in.laneOf[e.ref] = e.lane
	in.events[e.id], in.newest[line{e.site, e.ref.String()}] = e, e
	in.order = append(in.order, e)
	if in.w.trace != nil {
		in.w.log("ingest: %s %s rev %d.%d -> books %d lane %s slot %d (%s, %s) after %v", e.ref.Type, e.ref.ID, e.rev, e.slotNo, e.site+1, laneID(e.lane), e.seq, e.typ, e.cause, e.after)
	}
	in.publish(e)
	if b := in.w.backups.ingest; b != nil && e.cause == event.Change && in.w.hits(in.w.f.restoreSending/2, "restored while admitting") {
		in.w.after(in.w.exp(5*second), func() { in.w.restoreIngest(b) })
	}
}

// publish sends an event to where its route leads.
func (in *ingest) publish(e *admitted) { in.w.sites[e.site].bus.publish(e) }

// lane is the record's customer, followed through merges. What is archived names none:
// it keeps the lane that it last had, or is its own.
func (in *ingest) lane(r connector.Record) string {
	if r.Customer != (event.Ref{}) {
		at, _ := in.survivor(r.Customer)
		return at
	}
	if last := in.laneOf[r.Ref]; last != "" {
		return last
	}
	return r.Ref.String()
}

// survivor is what a record became, and the last read that had started when that
// was found.
func (in *ingest) survivor(ref event.Ref) (at string, read int64) {
	at = ref.String()
	for in.alias[at] != "" && in.alias[at] != at {
		at, read = in.alias[at], max(read, in.merged[at])
	}
	return at, read
}

// poll lists what changed; records whose webhook was lost are found.
func (in *ingest) poll() {
	for _, r := range in.w.crm.records {
		s := stateOf(r.survivor())
		if !in.knows(s) || in.w.chance(0.1) {
			in.hint(r.ref, event.Change)
		}
	}
}

// knows: the newest revision is what the record is now. One that is gone, and was never
// read, matters where it took in what is known.
func (in *ingest) knows(s *state) bool {
	o := in.objects[s.ref]
	unread := o.Rev == 0 && in.floor == 0 && !slices.ContainsFunc(s.read.MergedFrom, func(r event.Ref) bool { return in.objects[r].Rev > 0 })
	return s.read.Deleted && (unread || o.Deleted && o.Hash != "") || !s.read.Deleted && o.Rev > 0 && o.Hash == s.read.Hash && !o.Deleted
}

// complete sends again what the writer does not have, and facts that were lost.
func (in *ingest) complete() {
	in.fill()
	in.w.each(func(s *site) {
		var lanes []string
		for _, e := range in.order {
			if e.site == s.no && !slices.Contains(lanes, e.lane) {
				lanes = append(lanes, e.lane)
			}
		}
		heads := s.db.heads(lanes)
		for _, e := range in.order {
			if e.site == s.no && in.missing(e, heads[e.lane]) {
				in.publish(e)
			}
		}
	})
}

// missing: the writer lacks an event that has not ended, or that it is owed; or it
// holds the number since before ingest was set back, perhaps for another one.
func (in *ingest) missing(e *admitted, head int64) bool {
	if e.seq <= head {
		return in.floor > 0 && e.outcome == "" && 2*e.published < in.w.now-10*minute+e.admitted
	}
	next, _, _ := in.w.sites[e.site].db.Next(e.lane)
	return e.outcome == "" || e.seq >= next
}

// take is a fact of the writer's trail, in order and once.
func (in *ingest) take(f fact) {
	before := len(in.order)
	in.learn(f)
	in.beside(before, func(b BesideIngest) ([]*event.Event, error) { return b.Hear(f.heard(in.w.sites[f.site].target)) })
}

func (in *ingest) learn(f fact) {
	in.displaced(f)
	switch f.kind {
	case "slot.ended", "slot.requeued", "slot.collided", "slot.rerender":
		in.hear(in.events[f.event], f)
	case "link.gone":
		if f.outcome == "reissue" {
			in.hint(f.source, event.Reissue)
		}
	case "link.created":
		if into, _ := in.survivor(f.source); into != f.subject && (f.source.Type == "company" || into != f.source.String()) {
			ref, _ := event.ParseRef(into)
			in.hint(ref, event.Linked)
		}
	}
}

// hear takes a word about an event, if it counts.
func (in *ingest) hear(e *admitted, f fact) {
	if e == nil || !admission.Believed(e.outcome != "", e.life, f.life) {
		return
	}
	if e.outcome != "" {
		in.w.cover.Faults["ended in a lost life"]++
	}
	e.life = f.life
	switch f.kind {
	case "slot.ended":
		e.outcome = f.outcome
	case "slot.requeued":
		in.move(e)
	case "slot.collided":
		in.collided(e)
	case "slot.rerender":
		e.outcome, e.render = "", max(e.render, f.render)+1
		in.publish(e)
	}
}

// move gives the same revision another place, after the same slots, unless a
// later one is on its way.
func (in *ingest) move(e *admitted) {
	merged := in.alias[e.ref.String()] != ""
	if n := in.newest[line{e.site, e.ref.String()}]; merged || n.rev > e.rev || n.rev == e.rev && n.slotNo > e.slotNo {
		e.outcome = "superseded"
		return
	}
	if in.alias[e.lane] != "" { // its customer was merged away: it names another one now
		e.outcome = "superseded"
		in.hint(e.ref, event.Requeue)
		return
	}
	e.outcome = "moved"
	again := *e
	again.outcome, again.life, again.slotNo, again.render, again.cause = "", 0, e.slotNo+1, 1, event.Requeue
	in.give(&again)
}

// tell puts a writer's fact on its way; facts of one stream stay in order.
func (in *ingest) tell(f fact) {
	in.facts = append(in.facts, f)
	wait := 20*milli + in.w.exp(100*milli)
	if in.w.hits(in.w.f.slowFact, "fact slow") {
		wait = in.w.exp(3 * minute)
	}
	n := len(in.facts)
	in.w.after(wait, func() { in.deliver(n) })
}

// deliver hands over facts up to the n-th that was told.
func (in *ingest) deliver(n int) {
	in.published = max(in.published, n)
	for !in.lifting && in.took < n {
		f := in.facts[in.took]
		in.took++
		if f.lostAt == 0 {
			in.take(f)
		}
	}
}

// open are events that have not ended, in order of admission.
func (in *ingest) open() []*admitted {
	return slices.DeleteFunc(slices.Clone(in.order), func(e *admitted) bool { return e.outcome != "" })
}

// fact is what the writer tells ingest.
type fact struct {
	kind, event, subject, outcome string
	source                        event.Ref
	render                        int64
	life                          int64 // of the writer that says it
	site                          int   // about whose target
	at                            protocol.Place
	lostAt                        micros // with the outbox that it stood in; 0: it was not
	confirmed                     *protocol.Confirmed
}

func laneID(lane string) string {
	if r, err := event.ParseRef(lane); err == nil {
		return r.ID
	}
	return lane
}
