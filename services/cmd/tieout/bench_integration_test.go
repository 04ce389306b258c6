//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/internal/config"
)

const (
	benchKilled = 2000
	killEvery   = 2 * time.Second
)

// BenchmarkWonDealsOnParts measures five processes on real parts as
// BenchmarkWonDeals does one: the time from a deal's win to its invoice, idle and
// beside a backlog, and what each service takes for it.
func BenchmarkWonDealsOnParts(b *testing.B) {
	for b.Loop() {
		o, l := onParts(b, func(*lab.Options) {})
		companies := o.newCompanies("Quay Fittings", 8)
		o.settle(len(companies))
		rest := taken(b, l)
		report(b, o, "idle", o.winOneByOne(companies, benchWon, time.Second))
		old := sized("BENCH_OLD", benchOld)
		o.backlog(old)
		before, since := taken(b, l), time.Now()
		report(b, o, "busy", o.winOneByOne(companies, benchWon, 2*time.Second))
		busy := taken(b, l)
		o.until10m("the backlog is posted", func() bool { return len(o.created()) >= old+2*benchWon })
		b.ReportMetric(float64(old)/time.Since(since).Seconds(), "bulk-docs/s")
		after := taken(b, l)
		for _, name := range config.Services() {
			b.ReportMetric(1000*(after[name].cpu-before[name].cpu).Seconds()/float64(old+benchWon), name+"-cpu-ms/doc")
			b.ReportMetric(float64(rest[name].resident)/1e6, name+"-rest-MB")
			b.ReportMetric(float64(max(busy[name].resident, after[name].resident))/1e6, name+"-load-MB")
		}
	}
}

// BenchmarkKillsOnParts kills a service at random every two seconds while deals
// are won, until each has its invoice. It measures how long after a kill the
// books take the next one, and how long until the service is ready again.
func BenchmarkKillsOnParts(b *testing.B) {
	for b.Loop() {
		o, l := onParts(b, func(*lab.Options) {})
		d := newDeals(o, 40)
		n := sized("BENCH_KILLED", benchKilled)
		won := make(chan struct{})
		started := time.Now()
		go func() {
			defer close(won)
			for i := range n {
				d.win(fmt.Sprintf("Deal %d", i))
			}
		}()
		kills := killing(b, o, l, won, n)
		b.ReportMetric(float64(n)/time.Since(started).Seconds(), "docs/s")
		b.ReportMetric(float64(len(kills)), "kills")
		o.run("wait", "--settled", "--at-least", fmt.Sprint(n), "--timeout", "300s")
		d.check("after the kills")
		o.run("reconcile", "--wait")
		report(b, o, "kill-to-progress", untilProgress(o, kills))
	}
}

// killing goes on until everything that was won is posted.
func killing(b *testing.B, o *outside, l *lab.Lab, won <-chan struct{}, n int) (kills []time.Time) {
	random := rand.New(rand.NewPCG(7, 11))
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	allWon := false
	for deadline := time.Now().Add(20 * time.Minute); ; {
		select {
		case <-won:
			won, allWon = nil, true
			continue
		case <-tick.C:
		}
		if b.Failed() {
			b.FailNow()
		}
		if posted := len(o.created()); allWon && posted >= n {
			return kills
		} else if time.Now().After(deadline) {
			b.Fatalf("%d of %d are posted", posted, n)
		}
		name := config.Services()[random.IntN(len(config.Services()))]
		if l.PID(name, 1) == 0 {
			continue // it is being started again
		}
		if err := l.Kill(name, 1); err != nil {
			b.Fatal(err)
		}
		kills = append(kills, time.Now())
	}
}

// untilProgress is how long after each kill the books made the next invoice.
func untilProgress(o *outside, kills []time.Time) (out []time.Duration) {
	var created []time.Time
	for _, at := range o.created() {
		created = append(created, at)
	}
	slices.SortFunc(created, time.Time.Compare)
	for _, k := range kills {
		if i := slices.IndexFunc(created, k.Before); i >= 0 {
			out = append(out, created[i].Sub(k))
		}
	}
	return out
}

// usage is what a process has taken so far.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes
}

// taken reads what each service has taken.
func taken(tb testing.TB, l *lab.Lab) map[string]usage {
	tb.Helper()
	out := map[string]usage{}
	for _, name := range config.Services() {
		stat := fmt.Sprintf("/proc/%d/stat", l.PID(name, 1))
		b, err := os.ReadFile(stat)
		if err != nil {
			tb.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ") // the name may hold spaces
		f := strings.Fields(rest)
		const utime, stime, rss = 11, 12, 21 // counted from the state on
		ticks := number(tb, f[utime]) + number(tb, f[stime])
		out[name] = usage{time.Duration(ticks) * 10 * time.Millisecond, int64(number(tb, f[rss]) * os.Getpagesize())}
	}
	return out
}

func number(tb testing.TB, text string) int {
	tb.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
