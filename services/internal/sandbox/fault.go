package sandbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The effects the engine knows by itself.
const (
	EffectStatus      = "status"
	EffectResetBefore = "reset_before"
	EffectResetAfter  = "reset_after"
	EffectLateCommit  = "late_commit"
	EffectHang        = "hang"
	EffectDelay       = "delay"
	EffectSlowBody    = "slow_body"
	EffectTruncate    = "truncate"
	EffectCorrupt     = "corrupt"
	EffectThrottle    = "throttle"
	EffectForgetKeys  = "forget_keys"
	EffectSearchLag   = "search_lag"
)

// The effects a vendor may add.
const (
	EffectFaultIn200    = "fault_in_200"
	EffectPartialBatch  = "partial_batch"
	EffectExpireToken   = "expire_token"
	EffectRevokeConsent = "revoke_consent"
)

// effectUse says which of a fault's own fields an effect reads, and its defaults.
type effectUse struct {
	status  int // 0: takes no status
	headers bool
	delay   time.Duration // 0: takes no delay
}

// unlimited stands for a hang that ends when the client does.
const unlimited = 100 * 365 * 24 * time.Hour

func useOf(effect string) (effectUse, bool) {
	switch effect {
	case EffectStatus:
		return effectUse{status: 500, headers: true}, true
	case EffectLateCommit:
		return effectUse{status: 503, headers: true, delay: time.Second}, true
	case EffectHang:
		return effectUse{delay: unlimited}, true
	case EffectDelay:
		return effectUse{delay: time.Second}, true
	case EffectSlowBody:
		return effectUse{delay: 100 * time.Millisecond}, true
	case EffectSearchLag:
		return effectUse{delay: 10 * time.Second}, true
	case EffectThrottle:
		return effectUse{headers: true}, true
	case EffectResetBefore, EffectResetAfter, EffectTruncate, EffectCorrupt, EffectForgetKeys:
		return effectUse{}, true
	}
	return effectUse{}, false
}

// Match says which requests a fault hits; an empty field matches all.
type Match struct {
	Method       string   `json:"method,omitempty"`
	Path         string   `json:"path,omitempty"` // glob: * within a segment, ** across
	BodyContains string   `json:"body_contains,omitempty"`
	App          string   `json:"app,omitempty"`
	Nth          int      `json:"nth,omitempty"` // every nth that matches the rest
	Probability  *float64 `json:"probability,omitempty"`
}

// Fault is what a person asks to go wrong.
type Fault struct {
	Match   Match             `json:"match"`
	Effect  string            `json:"effect"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Delay   Duration          `json:"delay,omitempty"`
	Times   int               `json:"times,omitempty"` // 0: always
}

// rule is a fault in force.
type rule struct {
	ID string `json:"id"`
	Fault
	Hits int `json:"hits"`

	number, seen int

	path *regexp.Regexp
	dice *rand.Rand
}

// check completes the defaults and refuses what would silently do nothing.
func (f *Fault) check(vendorEffects []string, longest time.Duration) error {
	use, ok := useOf(f.Effect)
	if !ok && !slices.Contains(vendorEffects, f.Effect) {
		return fmt.Errorf("unknown effect %q", f.Effect)
	}
	if err := f.checkFields(use); err != nil {
		return err
	}
	if f.Effect == EffectLateCommit && time.Duration(f.Delay) > longest {
		return fmt.Errorf("delay %s is above longest_request %s: raise that setting first", time.Duration(f.Delay), longest)
	}
	return f.Match.check()
}

func (f *Fault) checkFields(use effectUse) error {
	switch {
	case f.Status != 0 && use.status == 0:
		return fmt.Errorf("effect %s takes no status", f.Effect)
	case len(f.Headers) > 0 && !use.headers:
		return fmt.Errorf("effect %s takes no headers", f.Effect)
	case f.Delay != 0 && use.delay == 0:
		return fmt.Errorf("effect %s takes no delay", f.Effect)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d is not an HTTP status", f.Status)
	case f.Times < 0:
		return errors.New("times is below zero")
	}
	if f.Status == 0 {
		f.Status = use.status
	}
	if f.Delay == 0 {
		f.Delay = Duration(use.delay)
	}
	return nil
}

func (m Match) check() error {
	switch {
	case m.App != "" && m.App != AppMain && m.App != AppReader:
		return fmt.Errorf("unknown app %q: it is %q or %q", m.App, AppMain, AppReader)
	case m.Nth < 0:
		return errors.New("nth is below zero")
	case m.Probability != nil && (*m.Probability < 0 || *m.Probability > 1):
		return errors.New("probability is not between 0 and 1")
	}
	return nil
}

// glob compiles a path pattern: * stays within a segment, ** does not.
func glob(pattern string) *regexp.Regexp {
	q := regexp.QuoteMeta(pattern)
	q = strings.ReplaceAll(q, `\*\*`, `.*`)
	q = strings.ReplaceAll(q, `\*`, `[^/]*`)
	return regexp.MustCompile("^" + q + "$")
}

// faults are the rules in force, oldest first.
type faults struct {
	rules []*rule
	next  int
	seed  int64
}

func (fs *faults) add(f Fault) string {
	fs.next++
	r := &rule{ID: fmt.Sprintf("f%d", fs.next), Fault: f}
	if f.Match.Path != "" {
		r.path = glob(f.Match.Path)
	}
	r.number = fs.next
	r.roll(fs.seed)
	fs.rules = append(fs.rules, r)
	return r.ID
}

func (r *rule) roll(seed int64) {
	r.dice = rand.New(rand.NewPCG(uint64(seed), uint64(r.number)))
}

// reseed starts all dice again.
func (fs *faults) reseed(seed int64) {
	fs.seed = seed
	for _, r := range fs.rules {
		r.roll(seed)
	}
}

// remove drops a rule, or all with id "".
func (fs *faults) remove(id string) bool {
	if id == "" {
		fs.rules = nil
		return true
	}
	i := slices.IndexFunc(fs.rules, func(r *rule) bool { return r.ID == id })
	if i < 0 {
		return false
	}
	fs.rules = slices.Delete(fs.rules, i, i+1)
	return true
}

// pick is the first rule that hits the request, counted.
func (fs *faults) pick(r *Request, means func(effect string) bool) *rule {
	for _, x := range fs.rules {
		if x.covers(r) && means(x.Effect) && x.falls() {
			x.Hits++
			return x
		}
	}
	return nil
}

func (x *rule) covers(r *Request) bool {
	m := x.Match
	switch {
	case x.Times > 0 && x.Hits >= x.Times:
	case m.App == "" && r.App == AppReader: // a person's scripts are left alone unless asked
	case m.App != "" && m.App != r.App:
	case m.Method != "" && !strings.EqualFold(m.Method, r.Method):
	case x.path != nil && !x.path.MatchString(r.Path):
	case m.BodyContains != "" && !strings.Contains(string(r.Body), m.BodyContains):
	default:
		return true
	}
	return false
}

// falls counts a covered request and decides by nth and probability.
func (x *rule) falls() bool {
	x.seen++
	if x.Match.Nth > 0 && x.seen%x.Match.Nth != 0 {
		return false
	}
	return x.Match.Probability == nil || x.dice.Float64() < *x.Match.Probability
}
