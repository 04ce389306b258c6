package sandbox

import (
	"net/http"

	engine "tieout.dev/services/internal/sandbox"
)

// batchMax is HubSpot's limit of inputs for objects.
const batchMax = 100

// batch collects the results and errors of a request with many inputs; each
// input succeeds or fails alone.
type batch struct {
	c       *call
	results []any
	errors  []*problem
}

func newBatch(c *call) *batch { return &batch{c: c, results: []any{}} }

// do runs one input in a view of its own, whose writes count only if it succeeds.
func (b *batch) do(i int, f func(tx *engine.Tx) (any, *problem)) {
	if p := b.spoiled(i); p != nil {
		b.fail(p)
		return
	}
	child := b.c.tx.Child()
	result, p := f(child)
	if p != nil {
		b.fail(p)
		return
	}
	child.Merge()
	b.results = append(b.results, result)
}

// spoiled fails every second input of a request hit by partial_batch.
func (b *batch) spoiled(i int) *problem {
	if b.c.r.Effect != engine.EffectPartialBatch || i%2 == 0 {
		return nil
	}
	return &problem{status: http.StatusInternalServerError, category: "INTERNAL_ERROR", message: "internal error"}
}

func (b *batch) fail(p *problem) { b.errors = append(b.errors, p) }

// failMissing reports unknown ids as HubSpot does: one error that lists them.
func (b *batch) failMissing(ids []string) {
	if len(ids) == 0 {
		return
	}
	p := notFound()
	p.message = "Could not get some " + b.c.kind.plural + ", they may be deleted or not exist. Check that ids are valid."
	p.context = map[string][]string{"ids": ids}
	b.fail(p)
}

// answer is status, or 207 where some inputs failed.
func (b *batch) answer(status int) engine.Response {
	body := map[string]any{
		"status": "COMPLETE", "results": b.results,
		"startedAt": stamp(b.c.tx.Now()), "completedAt": stamp(b.c.tx.Now()),
	}
	if len(b.errors) > 0 {
		status = http.StatusMultiStatus
		var items []any
		for _, p := range b.errors {
			items = append(items, p.item())
		}
		body["errors"], body["numErrors"] = items, len(items)
	}
	return engine.JSON(status, body)
}

// answerWrites is answer, but where nothing succeeded the first error is the
// whole answer.
func (b *batch) answerWrites(status int) engine.Response {
	if len(b.results) == 0 && len(b.errors) > 0 {
		return b.errors[0].response(b.c.r)
	}
	return b.answer(status)
}

// batchInput is one input of the object batch routes.
type batchInput struct {
	ID         string             `json:"id"`
	IDProperty string             `json:"idProperty"`
	Properties map[string]*string `json:"properties"`
	Links      []newLink          `json:"associations"`
}

// batchBody is the body of the object batch routes.
type batchBody struct {
	Inputs     []batchInput `json:"inputs"`
	Properties []string     `json:"properties"`
	IDProperty string       `json:"idProperty"`
}

func (c *call) batch() (*batchBody, *problem) {
	var in batchBody
	if p := c.body(&in); p != nil {
		return nil, p
	}
	if n := len(in.Inputs); n == 0 || n > batchMax {
		return nil, invalid("The maximum number of inputs supported in a batch request for objects is %d, and at least one is needed", batchMax)
	}
	return &in, nil
}

func (v *vendor) batchRead(c *call) engine.Response {
	in, p := c.batch()
	if p != nil {
		return p.response(c.r)
	}
	asked := v.known(c.tx, c.kind, in.Properties)
	b := newBatch(c)
	var gone []string
	for i, x := range in.Inputs {
		if p := b.spoiled(i); p != nil {
			b.fail(p)
			continue
		}
		r := v.byID(c.tx, c.kind, x.ID, in.IDProperty)
		if r == nil || r.archived != c.archived() {
			gone = append(gone, x.ID)
			continue
		}
		b.results = append(b.results, r.answer(asked))
	}
	b.failMissing(gone)
	return b.answer(http.StatusOK)
}

func (v *vendor) batchCreate(c *call) engine.Response {
	in, p := c.batch()
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	for i, x := range in.Inputs {
		b.do(i, func(tx *engine.Tx) (any, *problem) {
			r, p := v.create(tx, c.kind, x.Properties, x.Links)
			if p != nil {
				return nil, p
			}
			return r.answer(r.names()), nil
		})
	}
	return b.answerWrites(http.StatusCreated)
}

func (v *vendor) batchUpdate(c *call) engine.Response {
	in, p := c.batch()
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	var gone []string
	for i, x := range in.Inputs {
		r := v.byID(c.tx, c.kind, x.ID, x.IDProperty)
		if r == nil || r.archived {
			gone = append(gone, x.ID)
			continue
		}
		b.do(i, func(tx *engine.Tx) (any, *problem) {
			r := live(tx, c.kind, r.id)
			if p := v.write(tx, r, given(x.Properties)); p != nil {
				return nil, p
			}
			return r.answer(v.shown(r, x.Properties)), nil
		})
	}
	b.failMissing(gone)
	return b.answerWrites(http.StatusOK)
}

func (v *vendor) batchUpsert(c *call) engine.Response {
	in, p := c.batch()
	if p != nil {
		return p.response(c.r)
	}
	b := newBatch(c)
	for i, x := range in.Inputs {
		b.do(i, func(tx *engine.Tx) (any, *problem) { return v.upsert(tx, c.kind, x) })
	}
	return b.answerWrites(http.StatusOK)
}

func (v *vendor) upsert(tx *engine.Tx, k *kind, x batchInput) (any, *problem) {
	d := v.definition(tx, k, x.IDProperty)
	if d == nil || !d.Unique {
		return nil, invalid("Property %q is not a unique property of %s", x.IDProperty, k.name)
	}
	props := given(x.Properties)
	props[x.IDProperty] = x.ID
	r := v.byID(tx, k, x.ID, x.IDProperty)
	isNew := r == nil || r.archived
	if isNew {
		r = newRecord(k, tx.NextID("object"))
	}
	if p := v.write(tx, r, props); p != nil {
		return nil, p
	}
	a := r.answer(r.names())
	a["new"] = isNew
	return a, nil
}

func (v *vendor) batchArchive(c *call) engine.Response {
	in, p := c.batch()
	if p != nil {
		return p.response(c.r)
	}
	for _, x := range in.Inputs {
		if r := live(c.tx, c.kind, x.ID); r != nil {
			v.archive(c.tx, r)
		}
	}
	return engine.Response{Status: http.StatusNoContent}
}
