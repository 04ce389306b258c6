package bubble

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// How to play other seeds than the usual ones, or one of them again:
//
//	TIEOUT_BUBBLE_SEED=7 go test ./internal/lab/bubble -run TestRandom -v
//	TIEOUT_BUBBLE_SEEDS=200 TIEOUT_BUBBLE_BASE=1000 go test ./internal/lab/bubble -run TestRandom -timeout 1h
const (
	oneSeed  = "TIEOUT_BUBBLE_SEED"
	seeds    = "TIEOUT_BUBBLE_SEEDS"
	baseSeed = "TIEOUT_BUBBLE_BASE"
)

const (
	// usualSeeds of usualDays each are more than a virtual year.
	usualSeeds = 12
	usualDays  = 31
	// actions is how much happens in such a month.
	actions = 20
)

// TestRandom lives months, each from a seed: deals and changes, people's hands
// in the books, faults of both vendors, processes that are stopped and killed.
// In the end everything heals, and every deal must be what it is in the CRM.
// A seed fixes what is done and when, not how the goroutines take their turns:
// one that fails is played again a few times.
func TestRandom(t *testing.T) {
	first, n := number(t, baseSeed, 1), number(t, seeds, usualSeeds)
	if one := number(t, oneSeed, 0); one > 0 {
		first, n = one, 1
	} else if testing.Short() {
		n = 2
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			month(t, uint64(seed))
		})
	}
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func month(t *testing.T, seed uint64) {
	inside(t, pace{rest: 12 * time.Hour, pollEvery: 12 * time.Hour, reconcileEvery: 72 * time.Hour}, func(b *bubble) {
		m := &monkey{story: newStory(b), random: rand.New(rand.NewPCG(seed, 1)), want: map[string]*wanted{}}
		m.think = 3 * time.Second
		// a token whose successor died with a process is good until it is back:
		// else a person would have to let us in again
		err := m.control("POST", "quickbooks", "settings", map[string]string{"refresh_grace": "2400h"}, nil)
		if err == nil {
			err = m.live()
		}
		if err == nil {
			err = m.heal()
		}
		if err == nil {
			m.check()
		}
		m.disarm()
		if err != nil {
			b.t.Error(err)
		}
		if b.t.Failed() {
			b.t.Logf("again: %s=%d go test ./internal/lab/bubble -run TestRandom -v", oneSeed, seed)
			for _, line := range m.done {
				b.t.Log(line)
			}
			_ = m.show()
		}
	})
}

// wanted is what a deal must come to.
type wanted struct {
	company, currency string
	net               int64 // cents
	won               bool
	wins              int    // how often it was won
	touched           string // what a person did to its invoice by hand
}

// monkey does things at random and knows what must come of them.
type monkey struct {
	*story
	random  *rand.Rand
	want    map[string]*wanted
	done    []string
	renamed int
}

func (m *monkey) say(format string, args ...any) {
	m.done = append(m.done, time.Now().UTC().Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// live does one thing after the other, days and minutes apart.
func (m *monkey) live() error {
	for i := range 3 {
		name := fmt.Sprintf("company-%d", i)
		if err := m.makeCompany(words{name}); err != nil {
			return err
		}
	}
	end := time.Now().Add(usualDays * 24 * time.Hour)
	for i := range actions {
		if err := m.act(); err != nil {
			return fmt.Errorf("%s: %w", m.done[len(m.done)-1], err)
		}
		if err := m.sleep(m.gap(end, actions-i)); err != nil {
			return err
		}
		if err := m.revive(m.random.IntN(3) == 0); err != nil {
			return err
		}
	}
	return nil
}

// gap is often minutes, seldom days, and fills the month.
func (m *monkey) gap(end time.Time, left int) time.Duration {
	switch m.random.IntN(3) {
	case 0:
		return time.Duration(m.random.Int64N(int64(10 * time.Minute)))
	case 1:
		return time.Duration(m.random.Int64N(int64(6 * time.Hour)))
	}
	return time.Duration(m.random.Float64() * 3 * float64(max(time.Until(end), 0)) / float64(left))
}

// revive starts what is down.
func (m *monkey) revive(really bool) error {
	if !really {
		return nil
	}
	for _, name := range names() {
		if m.processes[name] == nil {
			m.say("start %s", name)
			if err := m.start(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// act does one thing.
func (m *monkey) act() error {
	all := []struct {
		weight int
		do     func() error
	}{
		{36, m.winOne}, {12, m.changeOne}, {7, m.loseOne}, {5, m.winAgain}, {3, m.renameOne}, {2, m.mergeTwo}, {4, m.payOne}, {4, m.touchOne},
		{18, m.faultBooks}, {8, m.faultCRM}, {5, m.upsetWebhooks}, {14, m.killOne}, {4, m.stopOne},
	}
	sum := 0
	for _, a := range all {
		sum += a.weight
	}
	at := m.random.IntN(sum)
	for _, a := range all {
		if at -= a.weight; at < 0 {
			return a.do()
		}
	}
	return nil
}

// heal ends all faults, starts what is down, and lets a person retry what is
// open.
func (m *monkey) heal() error {
	m.disarm()
	for _, system := range []string{"hubspot", "quickbooks"} {
		if err := m.control("DELETE", system, "faults", nil, nil); err != nil {
			return err
		}
	}
	if err := m.webhookSettings(words{"drop=0", "duplicate=0", "shuffle=false"}); err != nil {
		return err
	}
	if err := m.revive(true); err != nil {
		return err
	}
	m.say("heal")
	for range 3 {
		if err := m.settle(3 * 24 * time.Hour); err != nil {
			return err
		}
		open, err := m.unmerged()
		if err != nil || len(open) == 0 {
			return err
		}
		m.say("retry %d exceptions", len(open))
		if err := m.actCommand(words{"retry", "all", "everything is well again"}); err != nil {
			return err
		}
	}
	return nil
}
