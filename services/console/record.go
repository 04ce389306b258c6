package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

// stepsMost bounds a timeline.
const stepsMost = 300

// marker is the kind of what is written back about a document.
const marker = "MARKER"

type recordPage struct {
	ID        string
	Journey   *controlv1.JourneyResponse
	Steps     []step
	More      int
	Source    []pair
	SourceURL string
	Documents []documentPage
	Breaks    []*controlv1.Break
	Waits     []wait
	Traces    []string
}

type pair struct{ Name, Value string }

// documentPage is a document in the books, field by field with its rule.
type documentPage struct {
	*controlv1.DocumentPart
	Rows []row
}

type row struct{ Field, Value, Rule, From string }

type step struct {
	*controlv1.Step
	After string
}

func (c *Console) record(ctx context.Context, r *http.Request) (*view, error) {
	id := r.PathValue("id")
	j, err := c.audit.Journey(ctx, &controlv1.JourneyRequest{Id: id})
	if err != nil {
		return nil, err
	}
	p := &recordPage{ID: id, Journey: j}
	p.timeline()
	if err := c.atSource(ctx, p, j.GetSubject()); err != nil {
		return nil, err
	}
	if err := c.inBooks(ctx, p, j.GetSubject()); err != nil {
		return nil, err
	}
	if err := c.differs(ctx, p, j.GetSubject()); err != nil {
		return nil, err
	}
	if err := c.waits(ctx, p, j.GetSubject()); err != nil {
		return nil, err
	}
	return &view{Title: "Record " + id, Section: "record", Search: id, Body: p}, nil
}

// timeline says how long each step took after the one before it.
func (p *recordPage) timeline() {
	steps := p.Journey.GetSteps()
	for i, s := range steps {
		if i >= stepsMost {
			p.More = len(steps) - stepsMost
			break
		}
		after := ""
		if i > 0 {
			d := s.GetAt().AsTime().Sub(steps[i-1].GetAt().AsTime())
			after = fmt.Sprintf("+%d ms", d.Milliseconds())
			if d.Seconds() >= 10 {
				after = "+" + span(d)
			}
		}
		p.Steps = append(p.Steps, step{s, after})
		if t := s.GetTraceId(); t != "" && !slices.Contains(p.Traces, t) {
			p.Traces = append(p.Traces, t)
		}
	}
}

// atSource is the record as it was last admitted.
func (c *Console) atSource(ctx context.Context, p *recordPage, ref string) error {
	res, err := c.ingest.GetRecord(ctx, &controlv1.GetRecordRequest{Ref: ref})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	p.SourceURL = res.GetSourceUrl()
	var data map[string]any
	if json.Unmarshal(res.GetData(), &data) == nil {
		p.Source = flatten("", data)
	}
	return nil
}

// flatten makes names with dots of what is nested, in order.
func flatten(prefix string, v any) []pair {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		var out []pair
		for _, name := range names {
			out = append(out, flatten(strings.TrimPrefix(prefix+"."+name, "."), v[name])...)
		}
		return out
	case []any:
		var out []pair
		for i, x := range v {
			out = append(out, flatten(fmt.Sprintf("%s.%d", prefix, i+1), x)...)
		}
		return out
	case nil:
		return nil
	}
	return []pair{{prefix, fmt.Sprint(v)}}
}

// inBooks are the record's documents, each field with the rule that made it.
func (c *Console) inBooks(ctx context.Context, p *recordPage, ref string) error {
	res, err := c.writer.GetDocument(ctx, &controlv1.GetDocumentRequest{Ref: ref})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	rules := map[string][]*controlv1.MappingRule{}
	for _, d := range res.GetItems() {
		if d.GetKind() == marker {
			continue // what was written back stands at the source
		}
		if _, known := rules[d.GetMapping()]; !known {
			m, err := c.transform.GetMapping(ctx, &controlv1.GetMappingRequest{Name: d.GetMapping()})
			if err != nil && status.Code(err) != codes.NotFound {
				return err
			}
			rules[d.GetMapping()] = m.GetRules()
		}
		page := documentPage{DocumentPart: d}
		for _, f := range d.GetFields() {
			page.Rows = append(page.Rows, explain(d.GetPart(), f, rules[d.GetMapping()]))
		}
		p.Documents = append(p.Documents, page)
	}
	return nil
}

// explain finds the rule of a field in the books. The connectors' normal form
// numbers lines; the mapping has one rule for all of them.
func explain(part string, f *controlv1.DocumentField, rules []*controlv1.MappingRule) row {
	out := row{Field: f.GetName(), Value: f.GetValue()}
	part, _, _ = strings.Cut(part, ":")
	field := f.GetName()
	if s := strings.Split(field, "."); len(s) == 3 && s[0] == "line" {
		field = "lines." + s[2]
	}
	if field == "name" {
		field = "display_name"
	}
	for _, r := range rules {
		if r.GetName() == part+"."+field || r.GetName() == part+"."+f.GetName() {
			out.Rule, out.From = r.GetExpression(), strings.Join(r.GetSources(), ", ")
			return out
		}
	}
	return out
}
