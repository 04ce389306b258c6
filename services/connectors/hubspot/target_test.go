package hubspot

import (
	"net/http"
	"strings"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/fault"
)

// markers encodes one marker for each deal.
func (s *stage) markers(number string, deals ...string) connector.Call {
	s.t.Helper()
	call := connector.Call{Key: "k"}
	for _, id := range deals {
		e, err := s.conn.Target.Encode(connector.Draft{Part: &document.Part{Kind: document.MarkerKind,
			Marker: &document.Marker{Record: s.ref("deal", id).String(), Number: number, ID: "invoice/12", Status: "open"}}})
		if err != nil {
			s.t.Fatal(err)
		}
		call.Items = append(call.Items, connector.Item{OpID: id, Kind: document.MarkerKind, Body: e.Body})
	}
	return call
}

func TestAMarkerIsWrittenAndRead(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	first := s.conn.Target.Put(t.Context(), s.markers("1001", w.deal))[0]
	if f := fault.As(first.Err); f.Kind != fault.Unresolved || f.Field != "tieout_invoice_id" {
		t.Fatalf("before setup: %v", first.Err)
	}
	for range 2 {
		if err := s.conn.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out := s.conn.Target.Put(t.Context(), s.markers("1001", w.deal))[0]
	if out.Err != nil || out.Posting.Number != "1001" || out.Posting.Status != connector.Open || out.Posting.Ref != s.ref("deal", w.deal) {
		t.Fatalf("%+v", out)
	}
	p, err := s.conn.Target.Get(t.Context(), document.MarkerKind, s.ref("deal", w.deal))
	if err != nil || p.Fields["tieout_invoice_id"] != "invoice/12" || p.Version != out.Posting.Version || !p.Active {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err := s.conn.Target.Get(t.Context(), document.MarkerKind, s.ref("deal", "77")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a deal that is not there: %v", err)
	}
}

func TestABatchOfMarkersHasAnOutcomeEach(t *testing.T) {
	s := newStage(t, nil)
	if err := s.conn.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b, c := s.create("deals", props{"dealname": "a"}), s.create("deals", props{"dealname": "b"}), s.create("deals", props{"dealname": "c"})
	out := s.conn.Target.Put(t.Context(), s.markers("1", a, "77", b))
	if out[0].Err != nil || out[2].Err != nil || fault.KindOf(out[1].Err) != fault.NotFound {
		t.Fatalf("%+v", out)
	}
	s.control("faults", map[string]any{"effect": "partial_batch", "times": 1})
	out = s.conn.Target.Put(t.Context(), s.markers("2", a, b, c))
	if out[0].Err != nil || fault.KindOf(out[1].Err) != fault.InDoubt || out[2].Err != nil {
		t.Fatalf("%+v", out)
	}
	seen := map[string]string{}
	for p, err := range s.conn.Target.List(t.Context(), document.MarkerKind, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		seen[p.Ref.ID] = p.Number
	}
	if len(seen) != 3 || seen[a] != "2" || seen[b] != "1" || seen[c] != "2" {
		t.Errorf("listed %v", seen)
	}
}

func TestALostAnswerIsDoubtAndGetSettlesIt(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	if err := s.conn.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, effect := range []string{"reset_after", "truncate", "corrupt", "status", "reset_before"} {
		s.control("faults", map[string]any{"effect": effect, "times": 1, "match": map[string]any{"method": "PATCH"}})
		before := len(s.requests())
		out := s.conn.Target.Put(t.Context(), s.markers(effect, w.deal))
		if fault.KindOf(out[0].Err) != fault.InDoubt {
			t.Errorf("%s: %v", effect, out[0].Err)
		}
		if n := len(s.requests()) - before; n != 1 {
			t.Errorf("%s: sent %d times", effect, n)
		}
		p, err := s.conn.Target.Get(t.Context(), document.MarkerKind, s.ref("deal", w.deal))
		landed := effect != "status" && effect != "reset_before"
		if err != nil || (p.Number == effect) != landed {
			t.Errorf("%s: the deal says %q (%v)", effect, p.Number, err)
		}
	}
}

func TestAWriteIsNeverSentTwice(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	s.tokens.now = "pat-eu1-old"
	before := len(s.requests())
	out := s.conn.Target.Put(t.Context(), s.markers("1", w.deal))
	if fault.KindOf(out[0].Err) != fault.Unauthorized || len(s.requests())-before != 1 || s.tokens.refused != 1 {
		t.Errorf("%v after %d requests", out[0].Err, len(s.requests())-before)
	}
	n := 0
	away := roundTrip(func(*http.Request) *http.Response {
		n++
		resp := respond(http.StatusTemporaryRedirect, strings.NewReader(""))
		resp.Header.Set("Location", "https://elsewhere.example/")
		return resp
	})
	conn := with(t, away)
	if out := conn.Target.Put(t.Context(), s.markers("1", w.deal)); fault.KindOf(out[0].Err) != fault.InDoubt || n != 1 {
		t.Errorf("a redirect: %v after %d requests", out[0].Err, n)
	}
}

func TestEncodeRefusesOtherRecords(t *testing.T) {
	s := newStage(t, nil)
	for _, record := range []string{"hubspot/1/deal/7", "hubspot/48213/company/7", "deal/7", ""} {
		_, err := s.conn.Target.Encode(connector.Draft{Part: &document.Part{Kind: document.MarkerKind, Marker: &document.Marker{Record: record}}})
		if fault.KindOf(err) != fault.Rejected {
			t.Errorf("%q: %v", record, err)
		}
	}
	if _, err := s.conn.Target.Encode(connector.Draft{Part: &document.Part{Kind: document.InvoiceKind}}); fault.KindOf(err) != fault.Rejected {
		t.Errorf("an invoice: %v", err)
	}
	emptied, err := s.conn.Target.Encode(connector.Draft{Effect: connector.Void, Part: &document.Part{Kind: document.MarkerKind}, Current: &connector.Posting{Ref: s.ref("deal", "7")}})
	if err != nil || string(emptied.Body) != `{"id":"7","properties":{"tieout_invoice_id":"","tieout_invoice_number":"","tieout_invoice_status":""}}` {
		t.Errorf("%s %v", emptied.Body, err)
	}
}
