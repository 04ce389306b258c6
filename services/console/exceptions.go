package console

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

// listMost bounds a list of exceptions.
const listMost = 500

// list joins what the writer and ingest hold, oldest first, and says whether
// there is more than was asked for.
func (c *Console) list(ctx context.Context, r *controlv1.ListExceptionsRequest) (items []*controlv1.Exception, more bool, err error) {
	w, err := c.writer.ListExceptions(ctx, r)
	if err != nil {
		return nil, false, err
	}
	in, err := c.ingest.ListExceptions(ctx, r)
	if err != nil {
		return nil, false, err
	}
	more = w.GetNext() != "" || in.GetNext() != ""
	items = append(w.GetItems(), in.GetItems()...)
	slices.SortStableFunc(items, func(a, b *controlv1.Exception) int { return a.GetOpenedAt().AsTime().Compare(b.GetOpenedAt().AsTime()) })
	return items, more, nil
}

type exceptionList struct {
	Kind, Owner, State string
	Kinds, Owners      []string
	Items              []*controlv1.Exception
	More               bool
}

func (c *Console) exceptions(ctx context.Context, r *http.Request) (*view, error) {
	q := r.URL.Query()
	l := &exceptionList{Kind: q.Get("kind"), Owner: q.Get("owner"), State: q.Get("state")}
	items, more, err := c.list(ctx, &controlv1.ListExceptionsRequest{State: l.State, Limit: listMost})
	if err != nil {
		return nil, err
	}
	for _, e := range items {
		l.Kinds, l.Owners = add(l.Kinds, e.GetKind()), add(l.Owners, e.GetOwner())
	}
	if more && l.Kind != "" { // the oldest of all may be of other kinds
		if items, more, err = c.list(ctx, &controlv1.ListExceptionsRequest{State: l.State, Kind: l.Kind, Limit: listMost}); err != nil {
			return nil, err
		}
	}
	l.More = more
	for _, e := range items {
		if (l.Kind == "" || l.Kind == e.GetKind()) && (l.Owner == "" || l.Owner == e.GetOwner()) {
			l.Items = append(l.Items, e)
		}
	}
	return &view{Title: "Exceptions", Section: "exceptions", Body: l}, nil
}

func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	list = append(list, s)
	slices.Sort(list)
	return list
}

// acting is what an action does, in a sentence.
type acting struct{ Name, Does, Command string }

type exceptionPage struct {
	*controlv1.Exception
	Acts []acting
}

func (c *Console) exception(ctx context.Context, r *http.Request) (*view, error) {
	id := r.PathValue("id")
	req := &controlv1.ListExceptionsRequest{Id: id}
	var items []*controlv1.Exception
	if strings.HasPrefix(id, "i-") {
		res, err := c.ingest.ListExceptions(ctx, req)
		if err != nil {
			return nil, err
		}
		items = res.GetItems()
	} else {
		res, err := c.writer.ListExceptions(ctx, req)
		if err != nil {
			return nil, err
		}
		items = res.GetItems()
	}
	if len(items) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no exception %s", id)
	}
	p := &exceptionPage{Exception: items[0]}
	for _, name := range items[0].GetActions() {
		ref := ""
		if name == "link" {
			ref = " --ref …"
		}
		p.Acts = append(p.Acts, acting{name, does(name), "tieout exceptions " + name + " " + id + ref + ` --reason "…"`})
	}
	return &view{Title: "Exception " + id, Section: "exceptions", Search: items[0].GetSubject(), Body: p}, nil
}

func does(action string) string {
	switch action {
	case "retry":
		return "tries the same record again, after its cause was mended"
	case "rerender":
		return "renders the record again by the mapping that is in force now"
	case "requeue":
		return "moves the record behind what stands in its lane"
	case "link":
		return "says which record in the books it is"
	case "confirm-absent":
		return "says that a doubtful document is not in the books: somebody looked"
	case "reissue":
		return "makes a document once more, under another number: one that somebody deleted or voided, or, once it was voided or credited, one whose tax status changed or that changed after its period was closed"
	case "discard":
		return "gives up on this revision; the lane goes on and the reconciliation counts it"
	}
	return ""
}
