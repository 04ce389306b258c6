package cloudevent_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tieout.dev/services/audit/cloudevent"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

func event() *cloudevent.Event {
	f := &trail.Fact{
		EventID: "e1", Stream: "writer/quickbooks/1/acme", Incarnation: 1, Seq: 4, Type: "op.settled", Time: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC),
		Entity: "acme", Subject: "hubspot/1/deal/2", Customer: "hubspot/1/company/3", OpIDs: []string{"op"}, Outcome: "posted",
		Posting: &trail.Posting{Kind: "INVOICE", Part: "invoice", N: 1, OtherRef: "quickbooks/1/invoice/9", SourceRef: "hubspot/1/deal/2", Net: money.Amount{Minor: 0, Currency: "EUR"}},
	}
	return &cloudevent.Event{
		ID: f.EventID, Source: "tieout/" + f.Stream, Type: cloudevent.TypeOf(f.Type), Time: f.Time, Subject: f.Subject, DataSchema: cloudevent.SchemaURI(),
		Key: "acme/hubspot/1/company/3", Seq: 7, Incarnation: 1, TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: cloudevent.DataOf(f),
	}
}

func TestEventComesBack(t *testing.T) {
	want := event()
	r, err := want.Record()
	if err != nil {
		t.Fatal(err)
	}
	if r.Topic != "tieout.audit.v1" || r.Key != want.Key {
		t.Fatalf("record %+v", r)
	}
	got, err := cloudevent.Decode(&r)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	if !strings.Contains(string(r.Value), `"net":{"minor":0,"currency":"EUR"}`) || strings.Contains(string(r.Value), `"tax"`) {
		t.Fatalf("an amount of nothing and no amount are not told apart: %s", r.Value)
	}
}

func TestDecodeRefusesWhatIsNoEvent(t *testing.T) {
	for _, header := range []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_seq", "ce_incarnation", "content-type"} {
		r, err := event().Record()
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Headers {
			if r.Headers[i].Key == header {
				r.Headers[i].Value = ""
			}
		}
		if _, err := cloudevent.Decode(&r); err == nil {
			t.Errorf("it is an event without %s", header)
		}
	}
}

// The documented example is what a reader gets, and the schema names every
// field of it.
func TestDocumentedExampleDecodes(t *testing.T) {
	b, err := os.ReadFile("../../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels   map[string]struct{ Address string }
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Schema struct {
						Ref string `yaml:"$ref"`
					}
				}
				Headers  struct{ Required []string }
				Examples []struct {
					Headers map[string]string
					Payload map[string]any
				}
			}
		}
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Channels["audit"].Address != cloudevent.Topic {
		t.Fatalf("channels %+v", doc.Channels)
	}
	message := doc.Components.Messages["fact"]
	if len(message.Examples) == 0 {
		t.Fatal("there is no example")
	}
	schema := readSchema(t, "../../../docs/"+message.Payload.Schema.Ref)
	for _, x := range message.Examples {
		for _, name := range message.Headers.Required {
			if x.Headers[name] == "" {
				t.Errorf("the example lacks %s", name)
			}
		}
		value, err := json.Marshal(x.Payload)
		if err != nil {
			t.Fatal(err)
		}
		r := stream.Record{Topic: cloudevent.Topic, Key: x.Headers["ce_partitionkey"], Value: value}
		for k, v := range x.Headers {
			r.Headers = append(r.Headers, stream.Header{Key: k, Value: v})
		}
		e, err := cloudevent.Decode(&r)
		if err != nil {
			t.Fatal(err)
		}
		if e.ID != e.Data.EventID || e.Data.Posting == nil || e.Data.Posting.Gross.Minor != 12300 || e.DataSchema != cloudevent.SchemaURI() {
			t.Errorf("the example reads as %+v, its schema should be %s", e, cloudevent.SchemaURI())
		}
		known(t, "", x.Payload, schema)
	}
	known(t, "", jsonFields(reflect.TypeFor[cloudevent.Data]()), schema)
}

type property struct {
	Ref        string `json:"$ref"`
	Properties map[string]property
	AllOf      []property `json:"allOf"`
}

func readSchema(t *testing.T, path string) map[string]property {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties  map[string]property
		Definitions map[string]property
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	p := s.Properties["posting"]
	p.Properties = s.Definitions["posting"].Properties
	s.Properties["posting"] = p
	return s.Properties
}

// known checks that the schema describes every field.
func known(t *testing.T, path string, fields map[string]any, schema map[string]property) {
	t.Helper()
	for name, v := range fields {
		p, ok := schema[name]
		if !ok {
			t.Errorf("the schema does not know %s%s", path, name)
		}
		if sub, ok := v.(map[string]any); ok && p.Properties != nil {
			known(t, name+".", sub, p.Properties)
		}
	}
}

// jsonFields are the names that a struct has in JSON.
func jsonFields(typ reflect.Type) map[string]any {
	out := map[string]any{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out[name] = nil
		if ft.Kind() == reflect.Struct {
			out[name] = jsonFields(ft)
		}
	}
	return out
}
