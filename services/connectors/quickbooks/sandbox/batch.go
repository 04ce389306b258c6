package sandbox

import (
	"fmt"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// batch does up to BatchMax items in turn; each fails alone.
func (x *call) batch(body fields) (fields, error) {
	items, ok := body["BatchItemRequest"].([]any)
	if !ok || len(items) == 0 {
		return nil, missing("BatchItemRequest")
	}
	if len(items) > x.c.settings.BatchMax {
		return nil, &fault{code: "1040", message: "The request exceeds the maximum number of batch items",
			detail: fmt.Sprintf("Maximum batch items: %d. Supplied: %d", x.c.settings.BatchMax, len(items))}
	}
	seen := map[string]bool{}
	var answers []any
	for i, v := range items {
		item, _ := v.(fields)
		id := text(item, "bId")
		if id == "" || len(id) > 10 || seen[id] {
			return nil, invalidProperty("bId")
		}
		seen[id] = true
		answer := x.item(i, item)
		if answer == nil {
			continue
		}
		answer["bId"] = id
		answers = append(answers, answer)
	}
	return fields{"BatchItemResponse": answers}, nil
}

// item does one item. Under a partial_batch fault the first of four fails, the
// second is done, the third fails, and the fourth is done but not answered.
func (x *call) item(i int, item fields) fields {
	partial := x.r.Effect == engine.EffectPartialBatch
	if partial && i%2 == 0 {
		return fields{"Fault": applicationError().body()}
	}
	one := *x
	one.tx = x.tx.Child()
	answer, err := one.perform(item)
	if err != nil {
		f, ok := err.(*fault)
		if !ok {
			f = applicationError()
		}
		answer = fields{"Fault": f.body()}
	} else {
		one.tx.Merge()
	}
	if partial && i%4 == 3 {
		return nil
	}
	return answer
}

// perform finds out what an item is and does it.
func (x *call) perform(item fields) (fields, error) {
	if q, ok := item["Query"].(string); ok {
		return x.query(q)
	}
	operation := strings.ToLower(text(item, "operation"))
	for part := range strings.SplitSeq(strings.ToLower(text(item, "optionsData")), ",") {
		switch strings.TrimSpace(part) {
		case "void":
			operation = "void"
		case "allowduplicatedocnum":
			x.allowDuplicate = true
		}
	}
	if operation == "" {
		return nil, missing("operation")
	}
	for name, v := range item {
		k := x.c.kinds[strings.ToLower(name)]
		body, ok := v.(fields)
		if k == nil || !ok {
			continue
		}
		if k.check == nil || k.name != name {
			return nil, unsupported(name)
		}
		return x.operate(k, operation, body)
	}
	return nil, missing("entity")
}
