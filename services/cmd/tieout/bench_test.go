package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/crm"
)

// How much BenchmarkWonDeals plays; BENCH_OLD makes the backlog another size.
const (
	benchWon = 40
	benchOld = 5000
)

// BenchmarkWonDeals measures a running 'tieout dev' from outside: the time from
// a deal's win in the CRM to its invoice's creation in the books, idle and while
// a backlog is worked off in bulk, how fast that goes, and the share of the
// books' quota it reaches. The vendors' limits are on.
func BenchmarkWonDeals(b *testing.B) {
	for b.Loop() {
		started := time.Now()
		o := start(b)
		b.ReportMetric(time.Since(started).Seconds(), "start-s")
		companies := o.newCompanies("Quay Fittings", 8)
		o.settle(len(companies))
		report(b, o, "idle", o.winOneByOne(companies, benchWon, time.Second))
		old := sized("BENCH_OLD", benchOld)
		o.backlog(old)
		since := time.Now()
		report(b, o, "busy", o.winOneByOne(companies, benchWon, 2*time.Second))
		o.until10m("the backlog is posted", func() bool { return len(o.created()) >= old+2*benchWon })
		took := time.Since(since)
		b.ReportMetric(float64(old)/took.Seconds(), "bulk-docs/s")
		b.ReportMetric(100*o.share(since, took), "quota-%")
		o.kill()
		again := time.Now()
		o.up()
		b.ReportMetric(time.Since(again).Seconds(), "warm-start-s")
	}
}

// sized is how much a benchmark plays, unless a variable says otherwise.
func sized(variable string, n int) int {
	if other, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return other
	}
	return n
}

func report(b *testing.B, o *outside, name string, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2].Seconds(), name+"-p50-s")
	b.ReportMetric(times[len(times)*99/100].Seconds(), name+"-p99-s")
	o.t.Logf("%s: min %s, p50 %s, p90 %s, p99 %s", name, times[0], times[len(times)/2], times[len(times)*9/10], times[len(times)*99/100])
}

// winOneByOne wins deals of the companies in turn, one every so often, and
// returns how long each took until the books had its invoice.
func (o *outside) winOneByOne(companies []string, n int, every time.Duration) []time.Duration {
	won := map[string]time.Time{}
	ctx := context.Background()
	for i := range n {
		name := fmt.Sprintf("Won %s %d", time.Now().Format("150405"), i)
		id, err := o.portal.Deal(ctx, crm.Deal{Name: name, Company: companies[i%len(companies)], Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "3", Price: "33.33"}}})
		if err != nil {
			o.t.Fatal(err)
		}
		if err := o.portal.Move(ctx, id, crm.Won); err != nil {
			o.t.Fatal(err)
		}
		won[name] = time.Now()
		<-time.After(every)
	}
	var out []time.Duration
	o.until10m("every won deal has its invoice", func() bool {
		out = out[:0]
		for name, at := range o.created() {
			if from, mine := won[name]; mine {
				out = append(out, max(0, at.Sub(from)))
			}
		}
		return len(out) == n
	})
	return out
}

// created is when the books made each invoice, by the deal's name.
func (o *outside) created() map[string]time.Time {
	resp, err := http.Get(o.file.Sandboxes["quickbooks"].BaseURL + "/_sandbox/export")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var world struct {
		Objects []struct {
			Type      string
			CreatedAt time.Time `json:"created_at"`
			Versions  []struct {
				Data struct{ PrivateNote string }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&world); err != nil {
		o.t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, x := range world.Objects {
		if strings.EqualFold(x.Type, "invoice") && len(x.Versions) > 0 {
			_, name, _ := strings.Cut(x.Versions[0].Data.PrivateNote, " · ")
			out[name] = x.CreatedAt
		}
	}
	return out
}

// backlog wins deals while nothing reads them, at a portal without limits;
// then they are found all at once, with the limits on again.
func (o *outside) backlog(n int) {
	o.settings("hubspot", `{"limits":{"ten_secondly_rolling":0,"secondly":0},"webhooks":{"deliver":false}}`)
	o.fault("hubspot", `{"match":{"app":"app"},"effect":"status","status":503}`)
	ctx := context.Background()
	companies := o.newCompanies("Old customer", 40)
	work := make(chan int)
	failed := make(chan error, 8)
	for range 8 {
		go func() {
			var first error
			for i := range work {
				id, err := o.portal.Deal(ctx, crm.Deal{Name: fmt.Sprintf("Old %d", i), Company: companies[i%len(companies)], Currency: "EUR", Lines: []crm.Line{{Name: "Widget", Quantity: "2", Price: "19.99"}}})
				if err == nil {
					err = o.portal.Move(ctx, id, crm.Won)
				}
				if err != nil && first == nil {
					first = err
				}
			}
			failed <- first
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	for range 8 {
		if err := <-failed; err != nil {
			o.t.Fatal(err)
		}
	}
	o.clearFaults("hubspot")
	o.settings("hubspot", `{"limits":{"ten_secondly_rolling":100,"secondly":5},"webhooks":{"deliver":true}}`)
}

// newCompanies makes so many, numbered from 0.
func (o *outside) newCompanies(name string, n int) []string {
	var out []string
	for i := range n {
		id, err := o.portal.Company(context.Background(), map[string]string{"name": fmt.Sprintf("%s %d", name, i)})
		if err != nil {
			o.t.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

// share is the part of the books' limit of requests that was used in a time.
func (o *outside) share(since time.Time, took time.Duration) float64 {
	resp, err := http.Get(o.file.Sandboxes["quickbooks"].BaseURL + "/_sandbox/requests?since=0")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	n := 0
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		var r struct {
			At     time.Time
			App    string
			Status int
		}
		if json.Unmarshal(in.Bytes(), &r) == nil && r.At.After(since) && r.App != "reader" {
			n++
		}
	}
	return float64(n) / (500 * took.Minutes())
}

func (o *outside) until10m(what string, ok func() bool) {
	for deadline := time.Now().Add(20 * time.Minute); !ok(); <-time.After(time.Second) {
		if time.Now().After(deadline) {
			o.t.Fatalf("%s did not come", what)
		}
	}
}
