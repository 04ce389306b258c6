package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/control"
)

// held are exceptions of one service; at says in which second each was opened.
type held struct {
	controlv1.UnimplementedWriterServiceServer
	prefix string
	at     []int
}

func (h *held) list(r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	p, err := control.PageOf(r.GetLimit(), r.GetNext(), 0)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListExceptionsResponse{}
	for i, s := range h.at {
		e := &controlv1.Exception{Id: fmt.Sprintf("%s-%d", h.prefix, i), OpenedAt: timestamppb.New(time.Unix(int64(s), 0))}
		if at, id := control.ExceptionPlace(e); at > p.At || at == p.At && id > p.ID {
			out.Items = append(out.Items, e)
		}
	}
	out.Items, out.Next = control.CutPage(p, out.Items, control.ExceptionPlace)
	return out, nil
}

func (h *held) ListExceptions(_ context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	return h.list(r)
}

// heldBefore are those of ingest.
type heldBefore struct {
	controlv1.UnimplementedIngestServiceServer
	held
}

func (h *heldBefore) ListExceptions(_ context.Context, r *controlv1.ListExceptionsRequest) (*controlv1.ListExceptionsResponse, error) {
	return h.list(r)
}

// The list joins what two services hold, oldest first, and goes on to its end
// with one token, whatever of it is whose.
func TestExceptionsOfTwoServicesAreOneList(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer("t")
	controlv1.RegisterWriterServiceServer(s, &held{prefix: "w", at: []int{1, 2, 2, 5}})
	controlv1.RegisterIngestServiceServer(s, &heldBefore{held: held{prefix: "i", at: []int{2, 3, 9}}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-served })
	for limit := 1; limit <= 8; limit++ {
		var seen []string
		for next := ""; ; {
			var out, errOut bytes.Buffer
			args := []string{"exceptions", "list", "--server", l.Addr().String(), "--token", "t", "--limit", fmt.Sprint(limit), "--next", next}
			if code := Main(t.Context(), append(args, "-o", "json"), &out, &errOut); code != exitOK {
				t.Fatalf("exit %d: %s", code, &errOut)
			}
			var p page[exceptionView]
			if err := json.Unmarshal(out.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Items {
				seen = append(seen, e.ID)
			}
			out.Reset()
			if code := Main(t.Context(), args, &out, &errOut); code != exitOK || strings.Contains(out.String(), "--next "+p.Next) != (p.Next != "") {
				t.Errorf("in words, exit %d: %s", code, &out)
			}
			if next = p.Next; next == "" || len(seen) > 7 {
				break
			}
		}
		if fmt.Sprint(seen) != "[w-0 i-0 w-1 w-2 i-1 w-3 i-2]" {
			t.Errorf("%d at a time: %v", limit, seen)
		}
	}
}

func TestAListHoldsAtLeastOne(t *testing.T) {
	for _, list := range [][]string{{"exceptions", "list"}, {"runs", "list"}, {"notifications", "list"}, {"lanes", "show", "deal/1"}, {"audit", "search"}, {"events", "tail"}} {
		var out, errOut bytes.Buffer
		if code := Main(t.Context(), append(list, "--limit", "-5"), &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "--limit") {
			t.Errorf("%v: exit %d: %s", list, code, &errOut)
		}
	}
}
