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

func engineEffects() []string {
	return []string{EffectStatus, EffectResetBefore, EffectResetAfter, EffectLateCommit, EffectHang, EffectDelay, EffectSlowBody,
		EffectTruncate, EffectCorrupt, EffectThrottle, EffectForgetKeys, EffectSearchLag}
}

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

	number, seen, drawn int // of rules made; of requests covered; of dice thrown

	path *regexp.Regexp
}

// check completes the defaults and refuses what would silently do nothing.
func (f *Fault) check(vendorEffects []string, longest time.Duration) error {
	use, ok := useOf(f.Effect)
	if !ok && !slices.Contains(vendorEffects, f.Effect) {
		return unknown("effect", f.Effect, slices.Concat(engineEffects(), vendorEffects))
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
		return fmt.Errorf("status %d is not an answer's HTTP status: it is between 200 and 599", f.Status)
	case f.Times < 0:
		return errors.New("times is below zero: it is how often at most, 0 for always")
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
		return unknown("app", m.App, []string{AppMain, AppReader})
	case m.Method != "" && !slices.Contains(methods(), strings.ToUpper(m.Method)):
		return unknown("method", m.Method, methods())
	case m.Nth < 0:
		return errors.New("nth is below zero: it is 3 for every third request that matches, 0 for each")
	case m.Probability != nil && (*m.Probability < 0 || *m.Probability > 1):
		return errors.New("probability is not between 0 and 1")
	}
	return nil
}

func methods() []string { return []string{"GET", "POST", "PUT", "PATCH", "DELETE"} }

// glob compiles a path pattern: * stays within a segment, ** does not. One that
// does not begin with / matches the end of a path, whatever stands before.
func glob(pattern string) *regexp.Regexp {
	q := regexp.QuoteMeta(pattern)
	q = strings.ReplaceAll(q, `\*\*`, `.*`)
	q = strings.ReplaceAll(q, `\*`, `[^/]*`)
	if !strings.HasPrefix(pattern, "/") {
		q = "(?:.*/)?" + q
	}
	return regexp.MustCompile("(?s)^" + q + "$")
}

// faultsMax bounds the rules in force.
const faultsMax = 1000

// faults are the rules in force, oldest first.
type faults struct {
	rules []*rule
	next  int
	seed  int64
}

func (fs *faults) add(f Fault) string {
	fs.next++
	r := &rule{ID: fmt.Sprintf("f%d", fs.next), Fault: f, number: fs.next}
	r.compile()
	fs.rules = append(fs.rules, r)
	return r.ID
}

func (x *rule) compile() {
	if x.Match.Path != "" {
		x.path = glob(x.Match.Path)
	}
}

// reseed starts all dice again.
func (fs *faults) reseed(seed int64) {
	fs.seed = seed
	for _, r := range fs.rules {
		r.drawn = 0
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

// pick is the first rule that hits the request, counted, and the counts that
// moved.
func (fs *faults) pick(r *Request, means func(effect string) bool) (*rule, map[string]counts) {
	var moved map[string]counts
	for _, x := range fs.rules {
		if !x.covers(r) || !means(x.Effect) {
			continue
		}
		hit := x.falls(fs.seed)
		if hit {
			x.Hits++
		}
		if moved == nil {
			moved = map[string]counts{}
		}
		moved[x.ID] = x.counts()
		if hit {
			return x, moved
		}
	}
	return nil, moved
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
func (x *rule) falls(seed int64) bool {
	x.seen++
	if x.Match.Nth > 0 && x.seen%x.Match.Nth != 0 {
		return false
	}
	if x.Match.Probability == nil {
		return true
	}
	x.drawn++
	// a throw depends on its number alone, so it is the same after a restart
	dice := rand.New(rand.NewPCG(uint64(seed)^uint64(x.number)<<32, uint64(x.drawn)))
	return dice.Float64() < *x.Match.Probability
}

// counts are what a rule remembers: hits, requests covered, dice thrown.
type counts [3]int

func (x *rule) counts() counts { return counts{x.Hits, x.seen, x.drawn} }

// storedFaults are the rules as the journal has them, whole at each change.
type storedFaults struct {
	Next  int          `json:"next"`
	Rules []storedRule `json:"rules"`
}

type storedRule struct {
	rule
	Number int    `json:"number"`
	Counts counts `json:"counts"`
}

func (fs *faults) stored() *storedFaults {
	out := &storedFaults{Next: fs.next, Rules: []storedRule{}}
	for _, x := range fs.rules {
		out.Rules = append(out.Rules, storedRule{*x, x.number, x.counts()})
	}
	return out
}

// load brings the rules of the journal back.
func (fs *faults) load(s *storedFaults) {
	fs.next, fs.rules = s.Next, nil
	for _, x := range s.Rules {
		r := x.rule
		r.number = x.Number
		r.set(x.Counts)
		r.compile()
		fs.rules = append(fs.rules, &r)
	}
}

func (x *rule) set(c counts) { x.Hits, x.seen, x.drawn = c[0], c[1], c[2] }

// replay sets the counts a request moved.
func (fs *faults) replay(moved map[string]counts) {
	for _, x := range fs.rules {
		if c, ok := moved[x.ID]; ok {
			x.set(c)
		}
	}
}
