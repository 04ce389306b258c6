package quickbooks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
	sandboxed "tieout.dev/services/internal/sandbox"
)

// arrived is what the company's log says came in.
func (b *books) arrived() (out []sandboxed.Record) {
	b.t.Helper()
	resp, err := http.Get(b.url + "/_sandbox/requests?since=0")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var r sandboxed.Record
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, r)
	}
}

// Whatever arrives was counted: reads and writes, a read that is repeated with
// another token, and none that net/http repeats because a connection broke.
func TestEveryRequestThatArrivesWasCounted(t *testing.T) {
	for _, faults := range []string{"", `{"effect":"expire_token","match":{"nth":7}}`, `{"effect":"reset_after","match":{"probability":0.5}}`, `{"effect":"reset_before","match":{"probability":0.5}}`} {
		b := openBooks(t, "IE")
		if faults != "" {
			b.control("faults", faults)
		}
		b.tgt.(*target).client.tokens = anotherToken{b.tgt.(*target).client.tokens}
		before := len(b.arrived())
		ctx, counted := connector.WithMeter(t.Context())
		for range 20 {
			_, _ = b.tgt.(connector.Locker).LockedThrough(ctx)
			_, _ = b.tgt.Find(ctx, connector.Probe{Kind: document.CustomerKind, Name: "Nobody", Wide: true})
			_ = b.tgt.Put(ctx, connector.Call{Key: "k", Items: b.customers("Acme")})
		}
		if n := len(b.arrived()) - before; n != counted.Requests() {
			t.Errorf("%s: %d requests arrived, %d were counted", faults, n, counted.Requests())
		}
	}
}

// anotherToken gives the same token once more for one that is refused.
type anotherToken struct{ connector.Tokens }

func (a anotherToken) Refresh(ctx context.Context, _ string) (string, error) { return a.Token(ctx) }
