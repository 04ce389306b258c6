package probe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/money"
)

// latency is how long a request takes there, and back.
const latency = 50 * time.Millisecond

// books are a target that keeps what it is told to keep.
type books struct {
	keyLife time.Duration         // how long keys are remembered
	unique  bool                  // a name is taken once
	blind   bool                  // nothing is found
	lag     time.Duration         // of searches
	late    map[int]time.Duration // the nth write takes effect so late, and is answered with a failure
	lasting document.Kind         // cannot be voided
	refuse  document.Kind

	mu       sync.Mutex
	requests int
	writes   int
	records  []*record
	keys     map[string]remembered
}

type record struct {
	connector.Posting
	since time.Time
}

type remembered struct {
	record *record
	at     time.Time
}

// request is what a call is frozen as.
type request struct{ Name, Mark, Void string }

func (b *books) Encode(d connector.Draft) (connector.Encoded, error) {
	if d.Effect == connector.Void {
		if d.Part.Kind == b.lasting {
			return connector.Encoded{}, fault.New(fault.Rejected, "a %s cannot be voided", d.Part.Kind)
		}
		body, err := json.Marshal(request{Void: d.Current.Ref.ID})
		return connector.Encoded{Body: body}, err
	}
	r := request{Name: d.Part.Subject, Mark: d.Mark}
	body, err := json.Marshal(r)
	return connector.Encoded{Body: body, Fields: map[string]string{"name": r.Name}}, err
}

func (b *books) Put(ctx context.Context, call connector.Call) []connector.Outcome {
	if err := b.leave(ctx); err != nil {
		return []connector.Outcome{{Err: &fault.Error{Kind: fault.Transient, Err: err}}}
	}
	if !idle.For(ctx, latency) {
		return []connector.Outcome{{Err: fault.New(fault.InDoubt, "no answer")}}
	}
	b.mu.Lock()
	b.writes++
	late, slow := b.late[b.writes]
	b.mu.Unlock()
	if slow {
		time.AfterFunc(late, func() { b.do(call) })
		return []connector.Outcome{{Err: fault.New(fault.InDoubt, "503")}}
	}
	p, err := b.do(call)
	if !idle.For(ctx, latency) {
		return []connector.Outcome{{Err: fault.New(fault.InDoubt, "no answer")}}
	}
	if err != nil {
		return []connector.Outcome{{Err: err}}
	}
	return []connector.Outcome{{Posting: p}}
}

func (b *books) do(call connector.Call) (*connector.Posting, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var r request
	item := call.Items[0]
	if err := json.Unmarshal(item.Body, &r); err != nil {
		return nil, err
	}
	if k, ok := b.keys[call.Key]; ok && time.Since(k.at) < b.keyLife {
		return copied(k.record), nil
	}
	for _, x := range b.records {
		if x.Ref.ID == r.Void {
			x.Active, x.Status = false, connector.Voided
			return copied(x), nil
		}
		if b.unique && !item.Kind.Financial() && x.Kind == item.Kind && x.Active && x.Name == r.Name {
			return nil, fault.New(fault.Conflict, "the name is taken")
		}
	}
	if item.Kind == b.refuse {
		return nil, fault.New(fault.Rejected, "the period is closed")
	}
	x := &record{connector.Posting{
		Ref: event.Ref{System: "books", Account: "1", Type: "record", ID: fmt.Sprint(len(b.records) + 1)}, Kind: item.Kind, Mark: r.Mark, Name: r.Name,
		Active: true, Status: connector.Open, Gross: money.Amount{Minor: 1, Currency: "EUR"},
	}, time.Now()}
	b.records = append(b.records, x)
	if b.keys == nil {
		b.keys = map[string]remembered{}
	}
	b.keys[call.Key] = remembered{x, time.Now()}
	return copied(x), nil
}

func copied(x *record) *connector.Posting {
	p := x.Posting
	return &p
}

func (b *books) leave(ctx context.Context) error {
	if err := connector.CountRequest(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	return nil
}

func (b *books) Find(ctx context.Context, p connector.Probe) (out []connector.Posting, err error) {
	if err := b.leave(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.records {
		if !b.blind && x.Kind == p.Kind && x.Name == p.Name && time.Since(x.since) >= b.lag {
			out = append(out, x.Posting)
		}
	}
	return out, nil
}

func (b *books) Get(ctx context.Context, kind document.Kind, ref event.Ref) (connector.Posting, error) {
	if err := b.leave(ctx); err != nil {
		return connector.Posting{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.records {
		if x.Ref == ref && x.Kind == kind {
			return x.Posting, nil
		}
	}
	return connector.Posting{}, fault.New(fault.NotFound, "%s is not there", ref)
}

func (b *books) List(context.Context, document.Kind, string, string) iter.Seq2[connector.Posting, error] {
	return func(func(connector.Posting, error) bool) {}
}

// standing are the records that nobody took back.
func (b *books) standing() (out []*record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.records {
		if x.Active {
			out = append(out, x)
		}
	}
	return out
}
