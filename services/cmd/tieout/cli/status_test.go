package cli

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
)

// The oldest exception is the oldest of all services, whichever has any.
func TestTheOldestExceptionIsOfAllServices(t *testing.T) {
	early := timestamppb.New(time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC))
	late := timestamppb.New(early.AsTime().Add(time.Hour))
	for _, c := range []struct{ ingest, writer, want *timestamppb.Timestamp }{
		{nil, nil, nil}, {early, nil, early}, {nil, late, late}, {early, late, early}, {late, early, early},
	} {
		p := pulse{&controlv1.IngestStatusResponse{Oldest: c.ingest}, &controlv1.WriterStatusResponse{Oldest: c.writer}}
		if got := p.oldest(); got != c.want {
			t.Errorf("%v and %v: %v", c.ingest, c.writer, got)
		}
	}
}
