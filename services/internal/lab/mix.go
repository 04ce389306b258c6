package lab

import (
	"fmt"
	"slices"
	"strings"

	"tieout.dev/services/internal/connector"
)

// faults are the rates of one schedule. A seed switches each on or off, so that
// rare ones also meet an otherwise quiet world.
type faults struct {
	crash, freeze                                   float64 // per turn
	freezeMean                                      micros
	lostRequest, lostAnswer, late, doubled, refused float64 // per request to the books
	half, shuffled                                  float64 // per batch
	throttle, unauthorized, lookFails               float64
	slowRead, lostHint, doubledHint                 float64
	busLag, busTwice, busTail                       float64 // per record of the topic
	slowFact                                        float64
	rejected                                        float64 // per item
	residual                                        float64 // a freeze inside the write call
	restoreSending                                  float64 // a restore soon after a request left

	rest                                            micros  // of an owner that nothing wakes
	rebalance, replay, outage, hand, operator, poll micros  // mean intervals, 0: never
	holds                                           float64 // of what a person at the console does
	meddles                                         float64 // of updates: the record was touched since it was read
	mergesOnce                                      bool    // the source tells once what a record was merged from
	products                                        bool    // each deal is about a product of its own
	hasty                                           float64 // of a person's actions: says at once what became of a doubt
	lock                                            bool    // the books close a period
	lasts                                           micros  // how long faults go on
	backup, restore                                 micros  // mean intervals, 0: never
	alike                                           bool    // all companies bear one name
	winsWithin                                      micros  // after the start all deals are won; 0: a third of that
	targets                                         int
	deals, companies, edits                         int
	renames                                         float64 // of edits: a company's name
	moves                                           float64 // of edits: to another customer, or with one invoice more or less
	deletes                                         float64 // of edits that may delete
	strict                                          float64 // schedules whose customers are made by the companies' own records alone
	merges, rejects, bulk, matchOnly, bursts        float64
	batch                                           int
}

// Mixes are the named blends of faults.
func Mixes() []string {
	return []string{"all", "small", "reads", "kafka", "merge", "people", "closed", "hold", "zombies", "batch", "halves", "class-A", "class-B", "class-C", "class-D", "restore", "late-life", "strays", "hasty", "alike"}
}

// classes that a mix plays; a schedule picks one by its seed.
func classesOf(mix, class string) ([]connector.Ambiguity, error) {
	every := []connector.Ambiguity{connector.KeyRemembered, connector.UniqueReference, connector.Searchable, connector.Opaque}
	if only, ok := strings.CutPrefix(mix, "class-"); ok {
		class = only
	}
	if class == "" || class == "all" {
		if mix == "hasty" { // the others are searched, and nobody is asked
			return every[3:], nil
		}
		return every, nil
	}
	if !slices.Contains(every, connector.Ambiguity(class)) {
		return nil, fmt.Errorf("class %q is not one of A, B, C, D, all", class)
	}
	return []connector.Ambiguity{connector.Ambiguity(class)}, nil
}

// blend draws a schedule's faults.
func (w *world) blend(mix string) {
	f := &w.f
	some := func(most float64) float64 {
		if w.chance(0.4) {
			return 0
		}
		return most * w.rng.Float64()
	}
	every := func(p float64, mean micros) micros {
		if !w.chance(p) {
			return 0
		}
		return mean/4 + w.exp(mean)
	}
	f.lasts = []micros{10 * minute, 10 * minute, 30 * minute, 2 * hour}[w.n(4)]
	f.crash, f.freeze = some(0.04), some(0.04)
	f.freezeMean = []micros{second, 20 * second, 5 * minute, 2 * hour}[w.n(4)]
	f.lostRequest, f.lostAnswer, f.late, f.refused = some(0.2), some(0.3), some(0.3), some(0.1)
	f.half, f.shuffled, f.rejected = some(0.4), some(0.5), some(0.05)
	f.throttle, f.unauthorized, f.lookFails = some(0.1), some(0.03), some(0.2)
	f.slowRead, f.lostHint, f.doubledHint = some(0.4), some(0.4), some(0.3)
	f.busLag, f.busTwice, f.busTail, f.slowFact = some(0.3), some(0.3), some(0.1), some(0.3)
	f.rebalance, f.replay, f.outage = every(0.6, 20*minute), every(0.25, 40*minute), every(0.3, hour)
	f.hand, f.operator, f.poll = every(0.5, 20*minute), 5*minute+w.exp(10*minute), 2*minute+w.exp(5*minute)
	f.lock, f.holds = w.chance(0.2), 0.1
	f.rest = []micros{2 * minute, 10 * minute, 10 * minute, 10 * minute}[w.n(4)]
	f.companies, f.deals, f.edits = 1+w.n(2), 1+w.n(3), 1+w.n(6)
	f.merges, f.rejects, f.bulk, f.matchOnly, f.bursts = some(0.3), some(0.15), some(0.8), some(0.1), some(0.3)
	f.batch = []int{1, 1, 2, 5}[w.n(4)]
	if w.class == connector.KeyRemembered || w.class == connector.UniqueReference {
		f.doubled = some(0.2)
	}
	f.targets, f.strict = w.targets(mix), 0.25
	w.stress(mix)
}

// targets is how many books there are. Where one kind of fault is dense, mostly one,
// so that it meets itself more often.
func (w *world) targets(mix string) int {
	_, draw := w.luck.of("another target")
	switch mix {
	case "", "all", "reads", "kafka":
		return 2
	case "small":
		return 1
	}
	return 1 + b2i(draw < 0.3)
}

// stress makes one kind of fault dense.
func (w *world) stress(mix string) {
	f := &w.f
	switch mix {
	case "small":
		f.lasts, f.companies, f.deals, f.edits = 4*minute, 1, 1+w.n(2), 1+w.n(3)
		f.crash, f.freeze, f.freezeMean, f.rebalance = 0.1*w.rng.Float64(), 0.1*w.rng.Float64(), 30*second, 2*minute
		f.poll, f.operator = minute, 2*minute
	case "reads":
		f.slowRead, f.lostHint, f.doubledHint, f.poll, f.edits = 0.8, 0.4, 0.6, minute, 6+w.n(6)
		f.companies, f.merges = 2, 0.5
		f.outage, f.hand, f.lostAnswer = 0, 0, 0
	case "kafka":
		f.busLag, f.busTwice, f.busTail, f.replay, f.slowFact, f.rebalance = 0.6, 0.5, 0.3, 5*minute, 0.5, 5*minute
		f.companies, f.deals, f.edits = 2, 1+w.n(2), 6+w.n(8)
	case "merge":
		f.merges, f.companies, f.deals, f.edits, f.rejects = 1, 2+w.n(3), 3+w.n(3), 6+w.n(6), 0.2
		f.mergesOnce, f.strict = w.chance(0.3), 0.7
	case "people":
		f.meddles = 0.3 * w.rng.Float64()
		f.hand, f.operator, f.rejects, f.lock, f.edits, f.companies = 3*minute, 2*minute, 0.2, w.chance(0.5), 4+w.n(6), 2
	case "closed": // the books close periods over what stands there, and people agree to corrections
		f.lock, f.operator, f.holds, f.edits, f.lasts, f.rest = true, minute, 0, 6+w.n(8), []micros{30 * minute, 2 * hour}[w.n(2)], 2*minute
		f.lostAnswer, f.late, f.moves = 0.3*w.rng.Float64(), 0.3*w.rng.Float64(), 0
	case "hold": // the target is held for long: revisions of many lanes meet in one turn
		f.holds, f.operator, f.companies, f.deals, f.edits, f.bulk, f.moves = 0.7, 4*minute, 2, 1+w.n(2), 10+w.n(8), 0.5, 0.6
		f.lostAnswer, f.late, f.outage, f.hand, f.rejects, f.lock, f.crash, f.freeze = 0, 0, 0, 0, 0, false, 0, 0
	case "zombies": // owners freeze with requests in hand, and others take over
		f.lasts, f.companies, f.deals, f.edits, f.outage = 10*minute, 1, 2, 4+w.n(4), 0
		f.freeze, f.freezeMean, f.rebalance, f.crash = 0.1+0.2*w.rng.Float64(), minute, minute, 0
	case "restore", "late-life", "strays":
		f.backup, f.restore, f.restoreSending = minute+w.exp(4*minute), 3*minute+w.exp(10*minute), 0.3*w.rng.Float64()
		f.late, f.lostAnswer, f.edits, f.bursts, f.deletes = 0.3*w.rng.Float64(), 0.2*w.rng.Float64(), 6+w.n(10), 0.5, 0.9
		f.lock = w.chance(0.4)
		f.companies, f.slowFact, f.lasts = 2, 0.7*w.rng.Float64(), []micros{10 * minute, 20 * minute, 30 * minute}[w.n(3)]
		if mix == "late-life" { // what a lost life published comes when the next one has begun
			f.busLag, f.edits, f.lasts = 0.9, 16+w.n(10), 30*minute
		}
		if mix == "strays" { // revisions of a record stand in several lanes then, and facts are late
			f.moves, f.rejects, f.slowFact = 0.7, 0.3, 0.95
		}
	case "hasty": // a record has two doubts, and a person who sees the one says what became of both
		f.operator, f.hasty, f.products, f.companies, f.deals, f.edits = second, 0.9, true, 10, 10+w.n(4), w.n(4)
		f.rejected, f.lostAnswer, f.late, f.lasts, f.winsWithin = 0.3+0.2*w.rng.Float64(), 0.1, 0.5, 5*minute, 4*minute
		f.hand, f.outage, f.lookFails, f.lostRequest, f.throttle, f.freeze, f.bulk = 0, 0, 0, 0, 0, 0, 0
	case "batch", "halves": // many customers in bulk at once, so that calls hold several documents
		f.products, f.companies, f.deals, f.edits, f.lasts, f.winsWithin = true, 10, 10+w.n(4), w.n(4), 10*minute, 5*second
		f.bulk, f.batch, f.half, f.shuffled, f.rejects = 1, []int{2, 5}[w.n(2)], 0.6*w.rng.Float64(), 0.6*w.rng.Float64(), 0
		f.rejected, f.crash = 0.1*w.rng.Float64(), 0.05*w.rng.Float64()
		if mix == "halves" { // an item's doubt lasts, while another one of its call has left again
			f.late, f.lostRequest, f.lookFails, f.crash, f.freeze, f.half, f.batch, f.shuffled = 0.8, 0, 0.5, 0, 0, 0.9, 5, 0
		}
	case "alike": // customers of one name are made at once, renamed, and merged
		f.alike, f.companies, f.deals, f.edits, f.lasts, f.winsWithin = true, 2+w.n(2), 3+w.n(2), 2+w.n(4), 4*minute, []micros{5 * second, minute}[w.n(2)]
		f.lostAnswer, f.late, f.renames, f.merges, f.rejects = 0.3*w.rng.Float64(), 0.5*w.rng.Float64(), 0.5, 0.3, 0
		f.outage, f.hand, f.strict = 0, 0, 0.5
	case "class-A", "class-B", "class-C", "class-D":
		f.late, f.lostAnswer, f.edits, f.lasts, f.bursts = 0.2+0.3*w.rng.Float64(), 0.2*w.rng.Float64(), 3+w.n(6), 15*minute, 0.6
		f.freeze, f.freezeMean, f.lock = 0.1*w.rng.Float64(), 15*second, w.chance(0.5)
		f.rejected, f.renames = 0.1*w.rng.Float64(), 0.3
		if w.chance(0.5) {
			f.batch, f.bulk, f.half = 2+w.n(4), 0.9, 0.5
		}
		if w.class == connector.UniqueReference { // copies leave, and what they make is renamed and changed while they fly
			f.companies, f.deals, f.edits, f.renames, f.bursts, f.late, f.rejected = 3, 5, 8+w.n(6), 0.6, 0.9, 0.5, 0
		}
	}
}
