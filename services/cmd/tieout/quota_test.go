package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// refused are the limits of a vendor that its log says we ran into.
func (o *outside) limited(system string) map[string]int {
	o.t.Helper()
	resp, err := http.Get(o.file.Sandboxes[system].BaseURL + "/_sandbox/requests?since=0")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]int{}
	for d := json.NewDecoder(resp.Body); ; {
		var r struct{ App, Fault string }
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			o.t.Fatal(err)
		}
		if limit, yes := strings.CutPrefix(r.Fault, "limit:"); yes && r.App == "app" {
			out[limit]++
		}
	}
}

// stalls is how many requests may arrive too close to others: a machine that stands
// still for longer than our slack has what left apart arrive together. Repeats that
// nothing paces are 13 and more.
const stalls = 3

// Tokens that end all the time have reads sent again: counted and paced like any
// other request.
func TestRepeatsKeepToTheQuota(t *testing.T) {
	t.Parallel()
	o := start(t)
	d := newDeals(o, 24)
	o.fault("quickbooks", `{"match":{"method":"GET","path":"/v3/**","probability":0.4,"app":"app"},"effect":"expire_token"}`)
	for i := range 24 {
		d.win(fmt.Sprintf("Deal %d", i))
	}
	o.settle(24)
	d.check("with tokens that end")
	got := o.limited("quickbooks")
	if got["per_second"] <= stalls {
		delete(got, "per_second")
	}
	if len(got) > 0 {
		t.Errorf("requests above the vendor's limits: %v", got)
	}
}
