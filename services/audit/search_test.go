package audit_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/trail"
)

// A search is in the order of time, whatever order the streams were heard in,
// and page by page the same.
func TestASearchIsInTheOrderOfTime(t *testing.T) {
	w := newWorld(t)
	w.run()
	fact := func(stream string, second int) trail.Fact {
		return trail.Fact{Stream: stream, Type: "event.admitted", Subject: deal, Outcome: strconv.Itoa(second), Time: at(second)}
	}
	for n, f := range []trail.Fact{fact("writer/b/e", 4), fact("writer/b/e", 6), fact("writer/b/e", 6), fact("ingest/a/e", 1), fact("transform/a/e", 2), fact("ingest/a/e", 5), fact("transform/a/e", 3)} {
		w.send(w.write(f)...)
		w.taken(int64(n + 1)) // one after another: audit takes them in this order
	}
	search := func(r *controlv1.SearchRequest) (told []string, next string) {
		t.Helper()
		res, err := w.audit.Server().Search(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range res.GetItems() {
			told = append(told, e.GetOutcome()+"/"+strconv.FormatInt(e.GetSeq(), 10))
		}
		return told, res.GetNext()
	}
	want := []string{"1/1", "2/1", "3/2", "4/1", "5/2", "6/2", "6/3"}
	if got, _ := search(&controlv1.SearchRequest{}); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var pages []string
	for next := ""; ; {
		var page []string
		page, next = search(&controlv1.SearchRequest{Limit: 2, Next: next})
		if pages = append(pages, page...); next == "" {
			break
		}
		next = "1764000000000000/" + next // as it was handed out before
	}
	if !slices.Equal(pages, want) {
		t.Errorf("in pages %v", pages)
	}
	if got, _ := search(&controlv1.SearchRequest{Since: timestamppb.New(at(4))}); !slices.Equal(got, want[3:]) {
		t.Errorf("since the fourth second: %v", got)
	}
	if got, next := search(&controlv1.SearchRequest{Newest: true, Limit: 2}); !slices.Equal(got, []string{"3/2", "5/2"}) || next != "" {
		t.Errorf("recorded last are %v, next %q", got, next)
	}
	if _, err := w.audit.Server().Search(t.Context(), &controlv1.SearchRequest{Next: "9/none"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a token of nothing: %v", err)
	}
}

// A late entry does not move what a page has shown.
func TestAPageKeepsItsPlace(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.send(w.write(trail.Fact{Stream: "a/b/c", Type: "x", Time: at(1)}, trail.Fact{Stream: "a/b/c", Type: "x", Time: at(3)})...)
	w.taken(2)
	first, err := w.audit.Server().Search(t.Context(), &controlv1.SearchRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.send(w.write(trail.Fact{Stream: "d/b/c", Type: "x", Time: at(0)}, trail.Fact{Stream: "d/b/c", Type: "x", Time: at(2)})...)
	w.taken(4)
	rest, err := w.audit.Server().Search(t.Context(), &controlv1.SearchRequest{Next: first.GetNext()})
	if err != nil {
		t.Fatal(err)
	}
	var seconds []time.Duration
	for _, e := range rest.GetItems() {
		seconds = append(seconds, e.GetAt().AsTime().Sub(at(0)))
	}
	if !slices.Equal(seconds, []time.Duration{2 * time.Second, 3 * time.Second}) {
		t.Errorf("after the first page: %v", seconds)
	}
}
