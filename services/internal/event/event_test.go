package event

import (
	"reflect"
	"testing"
	"time"
)

func sample() *Event {
	return &Event{
		ID: ID("hubspot/48213/deal/7", 3, "won", 1), Tenant: "acme", Entity: "acme-ie", Connection: "crm", Route: "won",
		Mapping: "m", Target: "quickbooks/46", Lane: "hubspot/48213/company/5", Seq: 4, Class: Bulk,
		Ref: Ref{"hubspot", "48213", "deal", "7"}, Rev: 3, SlotNo: 1, Render: 2, Cause: Requeue, Approval: "a", Type: Merge,
		MergedFrom: []string{"hubspot/48213/deal/6"}, MatchOnly: true, After: []LaneSeq{{"l", 9}}, OccurredAt: time.UnixMicro(1_700_000_000_123_456).UTC(),
		Data: []byte(`{"a":"1"}`), Related: []byte(`{}`), DataHash: "h", Customer: "hubspot/48213/company/5",
	}
}

func TestCodecKeepsEveryField(t *testing.T) {
	e := sample()
	b, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Fatalf("got %+v (%v)\nwant %+v", got, err, e)
	}
	v := reflect.ValueOf(*e)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the sample leaves %s empty, so the test does not see it", v.Type().Field(i).Name)
		}
	}
}

func TestDecodeRefusesWhatHasNoPlace(t *testing.T) {
	for name, breakIt := range map[string]func(*Event){
		"id": func(e *Event) { e.ID = "" }, "lane": func(e *Event) { e.Lane = "" }, "seq": func(e *Event) { e.Seq = 0 },
		"class": func(e *Event) { e.Class = "slow" }, "ref": func(e *Event) { e.Ref = Ref{} }, "type": func(e *Event) { e.Type = "" },
	} {
		e := sample()
		breakIt(e)
		b, _ := Encode(e)
		if _, err := Decode(b); err == nil {
			t.Errorf("an event without %s was decoded", name)
		}
	}
	if _, err := Decode([]byte{0xff, 0x01}); err == nil {
		t.Error("garbage was decoded")
	}
}

// The identity is a promise: it may never change.
func TestIDGolden(t *testing.T) {
	if got := ID("hubspot/48213/deal/7", 3, "won", 1); got != "1f2e05413eaac580a323fd7458dff1d5a0c3cc2314760b95f3b4bf82b11ded6f" {
		t.Fatalf("id %s", got)
	}
}

func TestParseRef(t *testing.T) {
	r, err := ParseRef("hubspot/48213/deal/a/b")
	if err != nil || r.ID != "a/b" || r.AccountRef() != "hubspot/48213" || r.String() != "hubspot/48213/deal/a/b" {
		t.Fatalf("%v %v", r, err)
	}
	for _, bad := range []string{"", "a/b/c", "a//c/d", "a/b/c/"} {
		if _, err := ParseRef(bad); err == nil {
			t.Errorf("%q was taken for a ref", bad)
		}
	}
	if (Ref{}).String() != "" {
		t.Error("the zero ref has a text")
	}
}
