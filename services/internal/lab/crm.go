package lab

import (
	"cmp"
	"slices"
	"strconv"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
)

// record is a company or a deal of the CRM.
type record struct {
	ref       event.Ref
	name      string
	company   *record // of a deal
	won, lost bool
	amount    int64
	day       int
	note      int
	tax       int  // which tax code its line has
	shipping  bool // a second invoice
	unclear   bool // no mapping can render it
	matchOnly bool
	strict    bool    // its customer is made by the company's own record alone
	payer     *record // a company that is billed instead
	site      int     // whose books the deal is for
	product   string  // what it is about; "": what all are about
	deleted   bool
	into      *record // merged away
	losers    []event.Ref
	version   int
	seen      *state // as it was last read
}

// crm is the system of record.
type crm struct {
	records []*record
	named   int
}

func (w *world) newRecord(typ string) *record {
	w.crm.named++
	r := &record{ref: event.Ref{System: "crm", Account: "1", Type: typ, ID: strconv.Itoa(w.crm.named)}, version: 1}
	w.crm.records = append(w.crm.records, r)
	return r
}

// survivor is what a company became.
func (r *record) survivor() *record {
	for r.into != nil {
		r = r.into
	}
	return r
}

func (r *record) isDeal() bool { return r.ref.Type == "deal" }

// populate makes the first records and plans what people will do.
func (w *world) populate() {
	names := []string{"Acme", "Bolt", "Acme", "Cork"} // two customers may be called alike
	strict := w.chance(w.f.strict)
	if strict {
		names[2] = "Dunn" // nobody links by name alone there
	}
	for i := range w.f.companies {
		if i > 0 && !w.changes("another company") {
			continue
		}
		r := w.newRecord("company")
		r.name, r.strict = names[i%len(names)], strict
		switch {
		case w.f.alike:
			r.name = names[0]
		case w.f.winsWithin > 0: // nobody is called alike
			r.name += " " + strconv.Itoa(i)
		}
		w.edited(r)
	}
	companies := len(w.crm.records)
	for range w.f.deals {
		own := w.fork()
		if w.changes("deal") {
			w.by(own, func() { w.newDeal(companies, strict) })
		}
	}
	for range w.f.edits {
		own := w.fork()
		w.after(micros(own.IntN(int(w.f.lasts))), func() {
			if w.changes("edit") {
				w.by(own, w.edit)
			}
		})
	}
}

// newDeal is one that will be won.
func (w *world) newDeal(companies int, strict bool) {
	r := w.newRecord("deal")
	r.company, r.amount, r.day, r.shipping = w.crm.records[w.n(companies)], int64(1+w.n(9)), 1+w.n(3), w.chance(0.15)
	if w.f.products {
		r.product = r.ref.ID
	}
	r.matchOnly, r.strict = w.chance(w.f.matchOnly), strict
	if w.f.targets > 1 {
		r.site = w.n(w.f.targets)
	}
	if strict && w.chance(0.5) {
		r.payer = w.crm.records[w.n(companies)]
	}
	w.after(micros(w.n(int(cmp.Or(w.f.winsWithin, w.f.lasts/3)))), func() {
		r.won = true
		w.edited(r)
		if w.chance(w.f.renames) && w.changes("renamed meanwhile") { // while it is made in the books
			w.after(w.exp(10*second), func() {
				c := r.company.survivor()
				c.name += "x"
				w.edited(c)
			})
		}
	})
}

// edit is a person changing something in the CRM.
func (w *world) edit() {
	r := w.crm.records[w.n(len(w.crm.records))]
	if w.chance(w.f.renames) {
		r = w.crm.records[0]
	}
	if r.deleted || r.into != nil {
		return
	}
	if !r.isDeal() {
		w.editCompany(r)
		return
	}
	if w.chance(w.f.merges * 0.3) {
		w.mergeDeals(r)
		return
	}
	what := w.n(10)
	if w.chance(w.f.moves) {
		what = 5 + w.n(2)
	}
	switch what {
	case 0, 1:
		r.amount = 1 + int64(w.n(9))
	case 2:
		r.won, r.lost = false, w.chance(0.7)
	case 3:
		r.won, r.lost = true, false
	case 4:
		r.note++
	case 5:
		r.shipping = !r.shipping
	case 6:
		if w.f.targets > 1 && w.chance(0.3) { // to other books
			r.site = w.n(w.f.targets)
			break
		}
		r.company = w.companies()[w.n(len(w.companies()))]
	case 7:
		r.unclear = w.chance(w.f.rejects * 3)
		r.day = 1 + w.n(3)
	case 8:
		if w.chance(max(0.3, w.f.deletes)) {
			r.deleted = true
		}
	case 9:
		r.tax = 1 - r.tax
	}
	w.edited(r)
	if w.chance(w.f.bursts) && w.changes("edit again") { // and again, before the first change has settled
		w.after(w.exp(10*second), func() {
			r.amount = 1 + int64(w.n(9))
			w.edited(r)
		})
	}
}

func (w *world) editCompany(r *record) {
	list := w.companies()
	if len(list) > 1 && w.chance(w.f.merges) {
		w.mergeCompanies(r, list[w.n(len(list))])
		return
	}
	if w.chance(0.5) {
		r.name += "x"
		w.edited(r)
	}
}

func (w *world) companies() []*record {
	var out []*record
	for _, r := range w.crm.records {
		if !r.isDeal() && r.into == nil && !r.deleted {
			out = append(out, r)
		}
	}
	return out
}

// mergeCompanies makes one of two: under the first one's id, or a new one.
func (w *world) mergeCompanies(a, b *record) {
	if a == b {
		return
	}
	to := a
	if w.chance(0.5) {
		to = w.newRecord("company")
		to.name, to.strict = a.name, a.strict
		to.losers = append(append(to.losers, a.losers...), a.ref)
		a.into = to
	}
	to.losers = append(append(to.losers, b.losers...), b.ref)
	b.into = to
	w.merged(to, a, b)
	for _, r := range w.crm.records {
		if r.isDeal() && r.company != nil && r.company.into != nil {
			r.company = r.company.survivor()
			w.edited(r)
		}
	}
}

// mergeDeals makes one of a deal and another of the same kind, under its id or a
// new one. What the deal said stands.
func (w *world) mergeDeals(a *record) {
	list := w.dealsLike(a)
	if len(list) == 0 || !w.changes("deals merge") {
		return
	}
	b, to := list[w.n(len(list))], a
	if w.chance(0.5) {
		to = w.newRecord("deal")
		ref, version := to.ref, to.version
		*to = *a
		to.ref, to.version, to.losers, to.seen = ref, version, append(slices.Clone(a.losers), a.ref), nil
		a.into = to
	}
	w.mergeDeal(b, to)
}

// dealsLike are those that a deal can be merged with.
func (w *world) dealsLike(a *record) (list []*record) {
	for _, r := range w.crm.records {
		if r.isDeal() && r != a && r.into == nil && !r.deleted && r.strict == a.strict {
			list = append(list, r)
		}
	}
	return list
}

func (w *world) mergeDeal(b, to *record) {
	to.losers = append(append(to.losers, b.losers...), b.ref)
	to.matchOnly = to.matchOnly && b.matchOnly
	b.into = to
	w.merged(to, to, b)
}

func (w *world) merged(to, a, b *record) {
	w.cover.Faults["merge"]++
	w.log("crm: %s %s and %s become %s", to.ref.Type, a.ref.ID, b.ref.ID, to.ref.ID)
	w.edited(to)
}

// edited: the record has a new version, and a webhook tells of it unless it is lost.
func (w *world) edited(r *record) {
	r.version++
	if w.trace != nil {
		w.log("crm: %s %s v%d won=%v lost=%v amount=%d day=%d note=%d tax=%d shipping=%v unclear=%v company=%s books=%d deleted=%v", r.ref.Type, r.ref.ID, r.version, r.won, r.lost, r.amount, r.day, r.note, r.tax, r.shipping, r.unclear, companyID(r), r.site+1, r.deleted)
	}
	if w.hits(w.f.lostHint, "hint lost") {
		return
	}
	for range 1 + b2i(w.hits(w.f.doubledHint, "hint doubled")) {
		w.after(w.exp(2*second), func() { w.ingest.hint(r.ref, event.Change) })
	}
}

func companyID(r *record) string {
	if r.company == nil {
		return ""
	}
	return r.company.ref.ID
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// forgetMerge: a source that tells once what a record was merged from.
func (w *world) forgetMerge(ref event.Ref, told []event.Ref) {
	for _, r := range w.crm.records {
		if r.ref == ref { // a read has the former slice
			r.losers = slices.DeleteFunc(slices.Clone(r.losers), func(l event.Ref) bool { return slices.Contains(told, l) })
		}
	}
}

// state is what a read of a record brings: a copy, and a hash of its content.
type state struct {
	record
	read connector.Record
}

// look reads a record as it is now; one that was merged away is answered by
// its survivor.
func (w *world) look(ref event.Ref) *state {
	for _, r := range w.crm.records {
		if r.ref == ref {
			return stateOf(r.survivor())
		}
	}
	return nil
}

// stateOf is one state until the record changes, or a company that it names is
// merged away.
func stateOf(r *record) *state {
	company, payer := r.company, r.payer
	if company != nil {
		company = company.survivor()
		if payer != nil {
			payer = payer.survivor()
		}
	}
	if s := r.seen; s != nil && s.version == r.version && s.company == company && s.payer == payer {
		return s
	}
	s := &state{record: *r}
	s.seen, s.company, s.payer = nil, company, payer
	s.read = connector.Record{Ref: r.ref, Deleted: r.deleted, Version: strconv.Itoa(r.version), MergedFrom: r.losers}
	b := make([]byte, 0, 64)
	b = append(b, r.name...)
	b = append(b, '|')
	if company != nil {
		b = append(b, company.ref.ID...)
	}
	switch {
	case r.deleted: // what is archived names no customer
	case company != nil:
		s.read.Customer = company.ref
	default:
		s.read.Customer = r.ref
	}
	for _, x := range []int64{r.amount, int64(r.day), int64(r.note), int64(r.tax), int64(b2i(r.won)), int64(b2i(r.lost)), int64(b2i(r.shipping)), int64(b2i(r.unclear)), int64(r.site)} {
		b = strconv.AppendInt(append(b, '|'), x, 10)
	}
	for _, l := range r.losers {
		b = append(append(b, '+'), l.ID...)
	}
	s.read.Hash = string(b)
	r.seen = s
	return s
}
