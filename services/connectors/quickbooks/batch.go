package quickbooks

import (
	"context"
	"encoding/json"
	"strconv"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

// putBatch sends several items in one request. The books work them off one
// after the other and answer each by its bId, in any order; an item without an
// answer of its own, or with two, is in doubt.
func (t *target) putBatch(ctx context.Context, call connector.Call) []connector.Outcome {
	out := make([]connector.Outcome, len(call.Items))
	body, err := batchBody(call.Items)
	if err == nil {
		body, err = t.client.write(ctx, "batch", "", call.Key, body)
	}
	if err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	var answer struct {
		Items []json.RawMessage `json:"BatchItemResponse"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		answer.Items = nil
	}
	answers := map[string][]json.RawMessage{}
	for _, raw := range answer.Items {
		var id struct {
			BID string `json:"bId"`
		}
		if json.Unmarshal(raw, &id) == nil {
			answers[id.BID] = append(answers[id.BID], raw)
		}
	}
	for i, item := range call.Items {
		own := answers[batchID(i)]
		if len(own) != 1 {
			out[i].Err = fault.New(fault.InDoubt, "%d answers for item %d of the batch", len(own), i+1)
			continue
		}
		if err := t.itemFault(own[0]); err != nil {
			out[i].Err = t.inactive(ctx, item, err)
			continue
		}
		out[i] = t.outcome(item.Kind, own[0])
	}
	return out
}

// batchID is an item's place in its batch: Intuit takes 10 characters.
func batchID(i int) string { return strconv.Itoa(i + 1) }

func batchBody(items []connector.Item) ([]byte, error) {
	requests := make([]map[string]any, 0, len(items))
	for i, item := range items {
		x := map[string]any{"bId": batchID(i), "operation": "create", entityOf(item.Kind): json.RawMessage(item.Body)}
		if item.Effect == connector.Update || item.Effect == connector.Void {
			x["operation"] = "update"
		}
		if item.Effect == connector.Void && item.Kind.Financial() {
			x["optionsData"] = "void"
		}
		requests = append(requests, x)
	}
	b, err := json.Marshal(map[string]any{"BatchItemRequest": requests})
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Err: err}
	}
	return b, nil
}

// itemFault reads the fault of one item, nil if it has none.
func (t *target) itemFault(raw []byte) error {
	var r refusal
	if err := json.Unmarshal(raw, &r); err != nil {
		return &fault.Error{Kind: fault.InDoubt, Text: "the item's answer is not readable", Err: err}
	}
	if r.Fault == nil {
		return nil
	}
	e := r.fault(0, writing)
	if e.Kind == fault.RateLimited {
		e.RetryAfter = t.client.wait
	}
	return e
}
