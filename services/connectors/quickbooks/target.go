package quickbooks

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
)

// pageSize is the most that a query answers.
const pageSize = 1000

// target writes the books of one company.
type target struct {
	client *client
	realm  string
}

// Put sends one create, update or void, or a batch of them.
func (t *target) Put(ctx context.Context, call connector.Call) []connector.Outcome {
	if len(call.Items) > 1 {
		return t.putBatch(ctx, call)
	}
	out := make([]connector.Outcome, len(call.Items))
	for i, item := range call.Items {
		operation := ""
		if item.Effect == connector.Void && item.Kind.Financial() { // else it is an update: out of use
			operation = "void"
		}
		body, err := t.client.write(ctx, pathOf(item.Kind), operation, call.Key, item.Body)
		if err != nil {
			out[i].Err = t.inactive(ctx, item, err)
			continue
		}
		out[i] = t.outcome(item.Kind, body)
	}
	return out
}

// outcome is what an answer without a fault confirms. One that cannot be read
// does not say whether the document is in the books.
func (t *target) outcome(kind document.Kind, body []byte) connector.Outcome {
	p, err := t.answer(kind, body)
	if err != nil {
		return connector.Outcome{Err: &fault.Error{Kind: fault.InDoubt, Text: "the answer is not readable", Err: err}}
	}
	return connector.Outcome{Posting: &p}
}

// answer reads {"Invoice":{…},"time":…}.
func (t *target) answer(kind document.Kind, body []byte) (connector.Posting, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return connector.Posting{}, err
	}
	var o object
	if err := json.Unmarshal(m[entityOf(kind)], &o); err != nil {
		return connector.Posting{}, fmt.Errorf("no %s in the answer: %w", entityOf(kind), err)
	}
	return t.posting(kind, &o)
}

// Get reads one document.
func (t *target) Get(ctx context.Context, kind document.Kind, ref event.Ref) (connector.Posting, error) {
	if ref.Account != t.realm || ref.System != System {
		return connector.Posting{}, fault.New(fault.Rejected, "%s is not of company %s", ref, t.realm)
	}
	var m map[string]json.RawMessage
	if err := t.client.read(ctx, pathOf(kind)+"/"+url.PathEscape(ref.ID), nil, &m); err != nil {
		return connector.Posting{}, fmt.Errorf("get %s: %w", ref, err)
	}
	var o object
	if err := json.Unmarshal(m[entityOf(kind)], &o); err != nil {
		return connector.Posting{}, &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
	}
	p, err := t.posting(kind, &o)
	if err == nil && p.Ref != ref {
		err = fmt.Errorf("it is of %s", p.Ref)
	}
	if err != nil {
		return connector.Posting{}, &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
	}
	return p, nil
}

// LockedThrough reads the day through which the books are closed.
func (t *target) LockedThrough(ctx context.Context) (string, error) {
	var answer struct {
		Preferences struct {
			AccountingInfoPrefs *struct {
				BookCloseDate string `json:"BookCloseDate"`
			} `json:"AccountingInfoPrefs"`
		} `json:"Preferences"`
	}
	if err := t.client.read(ctx, "preferences", nil, &answer); err != nil {
		return "", fmt.Errorf("read the closing date: %w", err)
	}
	prefs := answer.Preferences.AccountingInfoPrefs
	if prefs == nil { // not to know is not "the books are open"
		return "", fault.New(fault.Transient, "the answer has no accounting preferences: whether the books are closed is not known")
	}
	return prefs.BookCloseDate, nil
}

func (t *target) collect(ctx context.Context, kind document.Kind, where string, keep func(*connector.Posting) bool) ([]connector.Posting, error) {
	var out []connector.Posting
	for p, err := range t.query(ctx, kind, where) {
		if err != nil {
			return nil, err
		}
		if keep == nil || keep(&p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// List yields the documents of a kind; invoices and credit notes by their date.
func (t *target) List(ctx context.Context, kind document.Kind, from, to string) iter.Seq2[connector.Posting, error] {
	var conditions []string
	if kind.Financial() {
		if from != "" {
			conditions = append(conditions, "TxnDate >= "+quote(from))
		}
		if to != "" {
			conditions = append(conditions, "TxnDate < "+quote(to))
		}
	}
	where := ""
	if len(conditions) > 0 {
		where = "where " + strings.Join(conditions, " and ")
	}
	return t.query(ctx, kind, where)
}

// query pages through an answer; it ends at the first short page, and an error
// means that the scan is incomplete.
func (t *target) query(ctx context.Context, kind document.Kind, where string) iter.Seq2[connector.Posting, error] {
	return func(yield func(connector.Posting, error) bool) {
		for start := 1; ; start += pageSize {
			page, err := t.page(ctx, entityOf(kind), where, start)
			if err != nil {
				yield(connector.Posting{}, fmt.Errorf("query %s: %w", entityOf(kind), err))
				return
			}
			for i := range page {
				p, err := t.posting(kind, &page[i])
				if err != nil {
					err = &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
				}
				if !yield(p, err) || err != nil {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
		}
	}
}

func (t *target) page(ctx context.Context, entity, where string, start int) ([]object, error) {
	statement := "select * from " + entity
	if where != "" {
		statement += " " + where
	}
	statement += " orderby Id startposition " + strconv.Itoa(start) + " maxresults " + strconv.Itoa(pageSize)
	var answer struct {
		QueryResponse map[string]json.RawMessage `json:"QueryResponse"`
	}
	if err := t.client.read(ctx, "query", url.Values{"query": {statement}}, &answer); err != nil {
		return nil, err
	}
	out, err := rows(answer.QueryResponse, entity)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Transient, Text: "the answer is not readable", Err: err}
	}
	return out, nil
}

// References reads the tables that symbols are bound in, by name.
func (t *target) References(ctx context.Context) ([]connector.Reference, error) {
	var out []connector.Reference
	for entity, kind := range map[string]string{"Account": "account", "TaxCode": "tax", "Term": "term"} {
		for start := 1; ; start += pageSize {
			page, err := t.page(ctx, entity, "", start)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", entity, err)
			}
			for _, o := range page {
				out = append(out, connector.Reference{Kind: kind, Key: o.Name, ID: o.ID})
			}
			if len(page) < pageSize {
				break
			}
		}
	}
	return out, nil
}

// quote writes a literal of the query language: a backslash escapes a quote.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
