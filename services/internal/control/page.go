package control

import (
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

const (
	pageUsual = 100
	// PageMost is the longest page of a list.
	PageMost = 1000
)

// Page is a part of a list that is ordered by time, then by id: what comes
// after a place in it. A token names that place, so nothing shifts while the
// list grows.
type Page struct {
	Limit int
	At    int64 // of the last one seen, in microseconds
	ID    string
}

// PageOf is the page that is asked for; the first one begins at start.
func PageOf(limit int32, next string, start int64) (Page, error) {
	p := Page{Limit: int(limit), At: start}
	switch {
	case limit < 0:
		return p, status.Errorf(codes.InvalidArgument, "a list of at most %d is none: say a number from 1 to %d, or 0 for %d", limit, PageMost, pageUsual)
	case limit == 0:
		p.Limit = pageUsual
	case limit > PageMost:
		p.Limit = PageMost
	}
	if next == "" {
		return p, nil
	}
	at, id, ok := strings.Cut(next, "/")
	var err error
	if p.At, err = strconv.ParseInt(at, 10, 64); !ok || err != nil {
		return p, status.Errorf(codes.InvalidArgument, "%q is no token of a page: give the one that the page before ended with", next)
	}
	p.ID = id
	return p, nil
}

// PageToken names a place in a list.
func PageToken(at int64, id string) string { return strconv.FormatInt(at, 10) + "/" + id }

// CutPage takes what is one too many off a page that was asked for with one more
// than its limit, and names the place where the next one goes on, if there is one.
func CutPage[T any](p Page, items []T, place func(T) (at int64, id string)) ([]T, string) {
	if len(items) <= p.Limit {
		return items, ""
	}
	items = items[:p.Limit]
	return items, PageToken(place(items[p.Limit-1]))
}

// ExceptionPlace is where an exception stands in a list: the same in the lists of
// every service that holds some, so that one token goes on in all of them.
func ExceptionPlace(e *controlv1.Exception) (at int64, id string) {
	return e.GetOpenedAt().AsTime().UnixMicro(), e.GetId()
}
