package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// maxEntries bounds a journey; that of a busy customer is cut at its end.
const maxEntries = 5000

// taken is an entry of the index.
type taken struct {
	at   time.Time // when audit took it
	fact *trail.Fact
}

// journey collects what happened to the records that an id leads to.
type journey struct {
	tx      *store.Tx
	scope   registry.Scope
	page    func(string) string
	refs    []string
	entries map[string]*taken
	ops     map[string]bool // ops of these records
}

func newJourney(tx *store.Tx, id string, scope registry.Scope, page func(string) string) (*journey, error) {
	j := &journey{tx: tx, scope: scope, page: page, entries: map[string]*taken{}, ops: map[string]bool{}}
	var err error
	if j.refs, err = find(tx, id, scope); err != nil {
		return nil, err
	}
	if err := j.collect(id); err != nil {
		return nil, err
	}
	if len(j.entries) == 0 {
		return nil, status.Errorf(codes.NotFound, "nothing is known of %s: give a source ref (deal/123), a customer, a document number, a reference (TO-…), an op, an event, an exception or a trace; "+
			"what happened in the last seconds may still be on its way", id)
	}
	return j, nil
}

// collect loads the entries: of the records themselves, of what is written back
// about their documents, and of the calls that carried their ops.
func (j *journey) collect(id string) error {
	for _, ref := range j.refs {
		for _, query := range []string{ofSubject, ofSource, ofBooks, ofCustomer} {
			if err := j.load(query, ref); err != nil {
				return err
			}
		}
	}
	if len(j.refs) == 0 {
		for _, query := range []string{ofException, ofEvent, ofOp} {
			if err := j.load(query, id); err != nil {
				return err
			}
		}
	}
	for _, t := range j.entries {
		if t.fact.Type != "call.sent" { // a call may carry ops of other records too
			for _, op := range t.fact.OpIDs {
				j.ops[op] = true
			}
		}
	}
	for op := range j.ops {
		if err := j.load(ofOp, op); err != nil {
			return err
		}
	}
	return nil
}

func (j *journey) load(query, arg string) error {
	rows, err := j.tx.Query(query, arg, max(maxEntries-len(j.entries), 0))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		var at int64
		var body []byte
		if err := rows.Scan(&id, &at, &body); err != nil {
			return err
		}
		f, err := trail.Decode(body)
		if err != nil {
			return fmt.Errorf("entry %s: %w", id, err)
		}
		if !j.scope.Has(f.Tenant, f.Entity) {
			continue
		}
		j.entries[id] = &taken{store.Time(at), f}
	}
	return rows.Err()
}

// ordered returns the entries by time; within a stream its numbers decide.
func (j *journey) ordered() []*taken {
	out := make([]*taken, 0, len(j.entries))
	for _, t := range j.entries {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *taken) int {
		return cmp.Or(a.fact.Time.Compare(b.fact.Time), cmp.Compare(a.fact.Stream, b.fact.Stream),
			cmp.Compare(a.fact.Incarnation, b.fact.Incarnation), cmp.Compare(a.fact.Seq, b.fact.Seq))
	})
	return out
}

// response is the journey as it is told.
func (j *journey) response() (*controlv1.JourneyResponse, error) {
	out := &controlv1.JourneyResponse{}
	if len(j.refs) > 0 {
		out.Subject = j.refs[0]
	}
	if err := j.documents(out); err != nil {
		return nil, err
	}
	list := j.ordered()
	var recorded time.Time
	for _, t := range list {
		if t.fact.Customer != "" {
			out.Customer = t.fact.Customer // the last one holds: a record may change its customer
		}
		if s := j.change(t.fact); s != nil {
			out.Steps = append(out.Steps, s)
		}
		out.Steps = append(out.Steps, j.step(t.fact))
		if t.at.After(recorded) {
			recorded = t.at
		}
	}
	slices.SortStableFunc(out.Steps, func(a, b *controlv1.Step) int { return a.At.AsTime().Compare(b.At.AsTime()) })
	last := out.Steps[len(out.Steps)-1]
	if recorded.Before(last.At.AsTime()) {
		recorded = last.At.AsTime() // another machine's clock is ahead of ours
	}
	out.Steps = append(out.Steps, &controlv1.Step{
		At: timestamppb.New(recorded), Service: Name, What: "audit.recorded", Ref: out.Subject, TraceId: last.TraceId,
		Outcome: "recorded", Detail: fmt.Sprintf("%d facts are in the audit trail", len(list)),
	})
	return out, nil
}

// change is the step before the first of ours: the record changed at its source.
func (j *journey) change(f *trail.Fact) *controlv1.Step {
	ref, err := event.ParseRef(f.Subject)
	if f.Type != "event.admitted" || f.OccurredAt.IsZero() || f.Outcome == string(event.Posted) || err != nil {
		return nil
	}
	s := &controlv1.Step{At: timestamppb.New(f.OccurredAt), Service: ref.System, What: "record.changed", Ref: f.Subject, Outcome: f.Outcome, TraceId: f.TraceID}
	if j.page != nil {
		s.Detail = j.page(f.Subject)
	}
	return s
}

func (j *journey) step(f *trail.Fact) *controlv1.Step {
	service, _, _ := strings.Cut(f.Stream, "/")
	s := &controlv1.Step{
		At: timestamppb.New(f.Time), Service: service, What: f.Type, Ref: f.Subject, Outcome: f.Outcome, Detail: f.Detail, TraceId: f.TraceID,
	}
	if s.Ref == "" {
		s.Ref = f.Target
	}
	for _, op := range f.OpIDs {
		if s.OpId == "" || j.ops[op] && !j.ops[s.OpId] {
			s.OpId = op
		}
	}
	if f.Type == "call.sent" && len(f.OpIDs) > 1 {
		s.Detail = strings.TrimPrefix(s.Detail+fmt.Sprintf("; one request with %d ops", len(f.OpIDs)), "; ")
	}
	return s
}

// documents are the invoices of the records, or of the customer, in their
// latest state. The number is told where all are of one record: the last one's.
func (j *journey) documents(out *controlv1.JourneyResponse) error {
	seen := map[string]bool{}
	sources := map[string]bool{}
	for _, ref := range j.refs {
		for _, query := range []string{docsOf, docsFor} {
			if err := j.loadDocuments(query, ref, out, seen, sources); err != nil {
				return err
			}
		}
	}
	if len(sources) == 1 {
		out.InvoiceNumber = out.Documents[len(out.Documents)-1].Number
	}
	return nil
}

func (j *journey) loadDocuments(query, ref string, out *controlv1.JourneyResponse, seen, sources map[string]bool) error {
	rows, err := j.tx.Query(query, ref, maxEntries)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		d := &controlv1.JourneyDocument{}
		var currency, source string
		var net, tax, gross int64
		if err := rows.Scan(&d.Ref, &d.Number, &d.State, &currency, &net, &tax, &gross, &source); err != nil {
			return err
		}
		if seen[d.Ref] {
			continue
		}
		seen[d.Ref], sources[source] = true, true
		money := func(minor int64) *auditv1.Money { return &auditv1.Money{Minor: minor, Currency: currency} }
		d.Net, d.Tax, d.Gross = money(net), money(tax), money(gross)
		out.Documents = append(out.Documents, d)
	}
	return rows.Err()
}
