package lab

import (
	"strconv"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/writer/protocol"
)

// doc is a record of the books.
type doc struct {
	id                        string
	kind                      document.Kind
	mark, subject             string
	customer, day, note       string
	net, tax                  string
	name                      string
	version                   int
	status                    connector.Status
	credits                   string // the invoice that it takes back
	inactive, deleted, byHand bool   // byHand: a person touched it
	sent                      bool
	visible                   micros // when a search shows it
	// when a person changed what it says, and when one had it paid or sent
	editedAt, settledAt micros
	agreed              map[string]string // what the writer last saw it say
}

// remembered is a call whose key the books know.
type remembered struct {
	at       micros
	outcomes []connector.Outcome
	done     []bool
}

// books are a vendor of one class. What they acknowledged they keep.
type books struct {
	w        *site
	claims   connector.Claims
	tokens   bool // updates carry a version
	docs     []*doc
	byID     map[string]*doc
	keys     map[string]*remembered
	applied  map[string]int64   // subject -> newest revision applied
	effects  map[string]int     // op -> how often it took effect
	lanes    map[string]int64   // lane -> newest slot applied
	dislikes map[string]bool    // item of a call -> it is rejected
	stale    map[string]refusal // op -> as what it was refused
	bodies   map[string]string  // call -> what it asked for first
	down     micros             // until then
	refuses  micros             // the grant is gone until then
	vain     int                // requests of this owner in this outage
	large    int                // calls that carried more
	most     int                // items that a call may carry, whatever is claimed
	locked   string             // the day through which they are closed
}

func newBooks(w *site) *books {
	b := &books{w: w, byID: map[string]*doc{}, keys: map[string]*remembered{}, applied: map[string]int64{}, effects: map[string]int{}, lanes: map[string]int64{}, stale: map[string]refusal{}, dislikes: map[string]bool{}, bodies: map[string]string{}}
	financial, masters := w.class, connector.UniqueReference
	if (w.class == connector.Searchable || w.class == connector.Opaque) && (w.chance(0.4) || w.f.hasty > 0) {
		masters = connector.Searchable // two customers may bear one name there
	}
	if w.class == connector.Opaque && w.f.hasty > 0 {
		masters = connector.Opaque
	}
	b.tokens = w.class != connector.Opaque && w.chance(0.6)
	b.claims = connector.Claims{
		Ambiguity: map[document.Kind]connector.Ambiguity{document.InvoiceKind: financial, document.CreditNoteKind: financial, document.CustomerKind: masters, document.ItemKind: masters},
		KeyLife:   2 * time.Minute, SearchLag: time.Duration(w.n(3)) * time.Second, LongestRequest: time.Duration(2+w.n(20)) * time.Second, Guard: 2 * time.Second,
		BatchSize: w.f.batch, LockDates: w.f.lock,
		Match: map[document.Kind][]string{document.CustomerKind: {connector.ByName}, document.ItemKind: {connector.ByName}, document.InvoiceKind: {connector.ByMark}},
	}
	b.most = max(1, w.f.batch)
	if _, draw := w.luck.of("fewer items"); draw < 0.3 {
		b.most = max(1, w.f.batch/2)
	}
	if w.class == connector.KeyRemembered {
		b.claims.KeyLife = 24 * time.Hour
		if w.chance(0.5) {
			b.claims.KeyLife = 2 * time.Minute
		}
	}
	return b
}

// tooMany is what the books say of a call that carries too many items.
const tooMany = "too many items"

// request is one call on its way: what becomes of it is decided here, and each
// item takes effect within the longest request or never.
func (b *books) request(c connector.Call, answer func([]connector.Outcome)) {
	b.checkFrozen(c)
	b.checkVain()
	w, f := b.w, &b.w.f
	longest := b.claims.LongestRequest.Microseconds()
	soon := w.exp(40 * milli)
	all := func(err error) []connector.Outcome {
		out := make([]connector.Outcome, len(c.Items))
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	lost := func() { w.after(longest+5*second, func() { answer(all(fault.New(fault.InDoubt, "no answer"))) }) }
	switch {
	case b.down > w.now && w.chance(0.5), w.hits(f.refused, "no connection"):
		w.after(soon, func() { answer(all(fault.New(fault.Transient, "no connection"))) })
	case b.down > w.now:
		w.after(soon, func() { answer(all(fault.New(fault.InDoubt, "503"))) })
	case b.refuses > w.now:
		w.after(soon, func() { answer(all(fault.New(fault.Unauthorized, "the grant is gone"))) })
	case len(c.Items) > b.most && w.hits(1, "batch too large"):
		b.checkLarge()
		w.after(soon, func() { answer(all(&fault.Error{Kind: fault.Rejected, Field: fault.FieldBatch, Text: tooMany})) })
	case w.hits(f.throttle, "throttled"):
		w.after(soon, func() {
			answer(all(&fault.Error{Kind: fault.RateLimited, RetryAfter: time.Duration(1+w.n(30)) * time.Second}))
		})
	case w.hits(f.lostRequest, "request lost"):
		lost()
	case w.hits(f.late, "request late"): // an error comes at once or much later; what was asked for is done meanwhile
		b.effect(c, micros(w.n(int(longest))), nil)
		if w.chance(max(0.5, f.hasty)) {
			w.after(soon, func() { answer(all(fault.New(fault.InDoubt, "504"))) })
			return
		}
		lost()
	case w.hits(f.lostAnswer, "answer lost"):
		b.effect(c, soon, nil)
		lost()
	default:
		if b.protected(c) && w.hits(f.doubled, "request doubled") {
			b.effect(c, micros(w.n(int(longest))), nil)
		}
		b.effect(c, soon, answer)
	}
}

// protected: a copy that nobody counted does no harm here. Where it would, none
// may be made: the client never sends a request again by itself.
func (b *books) protected(c connector.Call) bool {
	for _, item := range c.Items {
		switch {
		case item.Effect != connector.Create && !b.tokens:
			return false
		case !item.Kind.Financial() && b.w.class != connector.KeyRemembered: // a name may be given up meanwhile
			return false
		}
	}
	return true
}

// effect carries a call out at a moment, item by item: in any order, and of a
// batch perhaps only some. A key that is remembered finishes what was begun and
// repeats what was done.
func (b *books) effect(c connector.Call, wait micros, answer func([]connector.Outcome)) {
	w := b.w
	w.after(wait, func() {
		k := b.keys[c.Key]
		if k == nil || w.class != connector.KeyRemembered || time.Duration(w.now-k.at)*time.Microsecond >= b.claims.KeyLife {
			k = &remembered{w.now, make([]connector.Outcome, len(c.Items)), make([]bool, len(c.Items))}
			b.keys[c.Key] = k
		}
		half := len(c.Items) > 1 && w.hits(w.f.half, "batch half answered")
		told := make([]connector.Outcome, len(c.Items))
		for _, i := range b.order(len(c.Items)) {
			if half && w.chance(0.5) {
				told[i].Err = fault.New(fault.InDoubt, "no answer for the item")
				if w.chance(0.5) {
					continue
				}
				b.carry(k, c, i)
				continue
			}
			told[i] = b.carry(k, c, i)
		}
		if answer != nil {
			answer(told)
		}
	})
}

func (b *books) carry(k *remembered, c connector.Call, i int) connector.Outcome {
	if !k.done[i] {
		k.done[i], k.outcomes[i] = true, refused(fault.Rejected, "", "not acceptable")
		if !b.rejects(c, i) {
			k.outcomes[i] = b.apply(c.Items[i])
		}
		b.checkStale(c, i, k.outcomes[i].Err)
	}
	return k.outcomes[i]
}

// rejects: the books do not like an item of a call, however often it is sent.
func (b *books) rejects(c connector.Call, i int) bool {
	key := c.Key + itoa(int64(i))
	no, known := b.dislikes[key]
	if !known {
		no = b.w.hits(b.w.f.rejected, "rejected")
		b.dislikes[key] = no
	}
	return no
}

// order is that in which the items of a batch are worked.
func (b *books) order(n int) []int {
	if n > 1 && b.w.hits(b.w.f.shuffled, "batch shuffled") {
		return b.w.rng.Perm(n)
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// apply is one item taking effect.
func (b *books) apply(item connector.Item) connector.Outcome {
	r := readRequest(item.Body)
	if r.Kind.Financial() && b.locked != "" && (r.Effect == connector.Create && r.day <= b.locked || r.Effect != connector.Create && b.byID[r.Ref] != nil && b.byID[r.Ref].day <= b.locked) {
		return refused(fault.Rejected, "period", "the period is closed")
	}
	switch r.Effect {
	case connector.Create:
		return b.create(r, item)
	case connector.Void:
		return b.change(r, item, func(d *doc) { d.status = connector.Voided })
	}
	return b.change(r, item, func(d *doc) {
		if d.kind.Financial() {
			d.customer, d.day, d.note, d.net, d.tax = r.customer, r.day, r.note, r.net, r.tax
			return
		}
		d.name = r.name
	})
}

// enter gives a document the next id.
func (b *books) enter(d *doc) {
	d.id = strconv.Itoa(len(b.docs) + 1)
	b.docs = append(b.docs, d)
	b.byID[d.id] = d
}

func refused(k fault.Kind, field, text string) connector.Outcome {
	return connector.Outcome{Err: &fault.Error{Kind: k, Field: field, Text: text}}
}

func (b *books) create(r request, item connector.Item) connector.Outcome {
	if !r.Kind.Financial() && b.claims.Ambiguity[r.Kind] == connector.UniqueReference {
		for _, d := range b.docs {
			if d.kind == r.Kind && d.name == r.name && !d.deleted && !d.inactive {
				return refused(fault.Conflict, "name", "the name is taken")
			}
		}
	} else if r.Kind.Financial() && b.w.class == connector.UniqueReference {
		for _, d := range b.docs {
			if d.mark == r.Mark && d.deleted {
				return refused(fault.Rejected, "reference", "the reference was used") // it stays used
			}
			if d.mark == r.Mark { // refused, and read back by the connector
				return connector.Outcome{Posting: b.posting(d)}
			}
		}
	}
	d := &doc{
		kind: r.Kind, mark: r.Mark, subject: r.Subject, customer: r.customer, day: r.day, note: r.note, net: r.net, tax: r.tax, name: r.name,
		version: 1, status: connector.Open, visible: b.w.now + micros(b.w.n(int(b.claims.SearchLag.Microseconds())+1)),
	}
	b.enter(d)
	if b.w.trace != nil {
		b.w.log("books: %s %s made, %s net %s", d.kind, d.id, d.mark, d.net)
	}
	if d.kind == document.CreditNoteKind {
		d.credits = r.Ref
	}
	b.checkOne(d)
	if d.kind == document.InvoiceKind {
		b.checkNeeds(d)
	}
	b.checkOrder(item, d)
	return connector.Outcome{Posting: b.posting(d)}
}

func (b *books) change(r request, item connector.Item, do func(*doc)) connector.Outcome {
	d := b.byID[r.Ref]
	switch {
	case d == nil || d.deleted:
		return refused(fault.NotFound, "", "there is no such document")
	case b.tokens && b.w.hits(b.w.f.meddles, "touched meanwhile"): // by whom changes nothing that we write
		d.version++
		return refused(fault.Conflict, "", "the version moved")
	case b.tokens && r.Version != strconv.Itoa(d.version):
		return refused(fault.Conflict, "", "the version moved")
	case d.status == connector.Voided && r.Effect == connector.Update:
		return refused(fault.Rejected, "", "the document is void")
	}
	b.checkHand(item, r, d)
	do(d)
	d.version++
	if b.w.trace != nil {
		b.w.log("books: %s %s %s, net %s %s", d.kind, d.id, r.Effect, d.net, d.status)
	}
	b.checkOrder(item, d)
	return connector.Outcome{Posting: b.posting(d)}
}

func (b *books) posting(d *doc) *connector.Posting {
	f := map[string]string{}
	if d.kind.Financial() {
		f["customer"], f["issue_date"], f["note"], f["line.1.net"], f["line.1.tax"] = d.customer, d.day, d.note, d.net, d.tax
	} else {
		f["name"] = d.name
	}
	return &connector.Posting{
		Ref: b.w.refOf(d.kind, d.id), Kind: d.kind, Mark: d.mark, Number: d.id, Version: strconv.Itoa(d.version), Status: d.status, Active: !d.inactive, Sent: d.sent,
		Name: d.name, IssueDate: d.day, Currency: "EUR", Fields: f,
	}
}

// look answers a read: by id at once, by search as far as it shows by now.
func (b *books) look(l protocol.Look) protocol.LookAnswer {
	w := b.w
	a := protocol.LookAnswer{Key: l.Key}
	b.checkVain()
	switch {
	case b.down > w.now, w.hits(w.f.lookFails, "look failed"):
		a.Err = fault.New(fault.Transient, "no answer")
	case b.refuses > w.now:
		a.Err = fault.New(fault.Unauthorized, "the grant is gone")
	case l.Lock:
		a.LockedThrough = b.locked
	case l.Probe != nil:
		a.Postings = b.find(l.Probe)
	default:
		d := b.byID[l.Ref.ID]
		if d == nil || d.deleted || b.w.refOf(d.kind, d.id) != l.Ref {
			a.Err = fault.New(fault.NotFound, "it is gone")
			break
		}
		a.Postings = []connector.Posting{*b.posting(d)}
	}
	return a
}

func (b *books) find(p *connector.Probe) []connector.Posting {
	var out []connector.Posting
	if b.claims.Ambiguity[p.Kind] == connector.Opaque {
		return nil // nothing can be searched there
	}
	for _, d := range b.docs {
		if d.deleted || d.visible > b.w.now || d.kind != p.Kind {
			continue
		}
		if p.Name == "" && d.mark == p.Mark || p.Name != "" && d.name == p.Name {
			out = append(out, *b.posting(d))
		}
	}
	return out
}
