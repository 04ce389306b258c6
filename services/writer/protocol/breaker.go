package protocol

import (
	"time"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/exception"
	"tieout.dev/services/internal/fault"
)

// The breaker: answers about the connection never count against an item. So
// many in a row pause the target with one exception; a probe goes out after
// firstProbe, doubling to lastProbe, and a success resumes everything.
const (
	breakAfter = 3
	firstProbe = 5 * time.Second
	lastProbe  = 5 * time.Minute
)

// countConnection takes what the answer to a request (a call's id or a look's
// key) says about the connection.
func (t *turn) countConnection(request string, err error) {
	f := fault.As(err)
	switch k := fault.KindOf(err); {
	case k == fault.RateLimited: // it answers, and wants us to wait: see rest
		if request == t.m.Probe {
			t.m.Probe = ""
		}
	case !k.OfConnection() && k != fault.InDoubt:
		t.m.Failures = 0
		t.resume()
	case t.v.Paused && request == t.m.Probe:
		t.m.Probe = ""
		t.m.Backoff = min(2*t.m.Backoff, lastProbe)
		t.m.ProbeAt = t.v.Mono + t.m.Backoff
	case !t.v.Paused:
		if t.m.Failures++; t.m.Failures >= breakAfter {
			t.pause(f)
		}
	}
}

// rest lets nothing leave for as long as an answer of the target asks for,
// whatever became of the request meanwhile.
func (t *turn) rest(err error) {
	if f := fault.As(err); f != nil && f.Kind == fault.RateLimited {
		t.m.HoldUntil = max(t.m.HoldUntil, t.v.Mono+max(f.RetryAfter, time.Second))
	}
}

func (t *turn) pause(f *fault.Error) {
	kind := exception.Connection
	if f.Kind == fault.Unauthorized {
		kind = exception.Credential
	}
	help := exception.HelpFor(kind)
	id := exceptionID(t.v.Target, "", 0, string(kind), t.v.Now)
	t.v.Paused, t.v.Reason, t.v.Alert = true, faultText(f), id
	t.m.Backoff, t.m.ProbeAt = firstProbe, t.v.Mono+firstProbe
	paused := true
	t.ch.Pause, t.ch.PauseCause, t.ch.Alert = &paused, t.v.Reason, id
	t.ch.Opened = append(t.ch.Opened, exception.Exception{
		ID: id, Kind: kind, State: exception.Open, Target: t.v.Target, Subject: t.v.Target, Owner: help.Owner, Fix: help.Fix,
		Reason: "the connection does not answer as it should; nothing is lost, everything waits", VendorCode: f.Code, VendorText: f.Text,
		OpenedAt: time.UnixMicro(t.v.Now),
	})
	t.fact(Fact{Type: "exception.opened", Outcome: string(kind), Detail: t.v.Reason, Except: id})
}

func (t *turn) resume() {
	if !t.v.Paused {
		return
	}
	t.v.Paused = false
	active := false
	t.ch.Pause, t.ch.PauseCause, t.ch.Alert = &active, "", ""
	t.m.Backoff, t.m.Probe = 0, ""
	if t.v.Alert != "" {
		t.act(nil, t.v.Alert, "resumed", "tieout", "the connection answers again", exception.Released)
	}
	t.v.Alert, t.v.Reason = "", ""
}

// probe reports whether a paused target's probe is due. It is asked last, by
// a request that then leaves: a probe that nobody sends would never be answered.
func (t *turn) probe() bool {
	if t.v.Mono < t.m.ProbeAt {
		t.wake(t.m.ProbeAt)
		return false
	}
	t.m.Backoff = max(t.m.Backoff, firstProbe)
	t.m.ProbeAt = t.v.Mono + t.m.Backoff
	t.wake(t.m.ProbeAt)
	return true
}

// departs notes which request is the probe: only its failure moves the next
// one further away.
func (t *turn) departs(id string) {
	if t.v.Paused {
		t.m.Probe = id
	}
}

// act closes an exception of a slot, if it is of one, and tells who did it and why.
func (t *turn) act(s *Slot, id, action, actor, note string, state exception.State) {
	t.ch.Acted = append(t.ch.Acted, Act{ID: id, Action: action, Actor: actor, Note: note, State: state})
	t.fact(Fact{Type: "exception.acted", Slot: s, Outcome: action, Detail: note, Except: id, Actor: actor})
}

// exceptionID is made from what the exception is about, so that a repeated
// turn cannot open two.
func exceptionID(target, lane string, seq int64, kind string, now int64) string {
	return "w-" + event.Digest("exception/v1", target, lane, itoa(seq), kind, itoa(now))[:16]
}
