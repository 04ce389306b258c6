package sandbox

import (
	"net/http"
	"slices"
	"time"
)

// turn is one request on its way through: what was decided and what to send.
type turn struct {
	request  *Request
	record   *Record
	fault    *Fault // nil: nothing goes wrong
	counts   map[string]counts
	response Response
	need     int64
	failed   error
}

func (t *turn) effect() string {
	if t.fault == nil {
		return ""
	}
	return t.fault.Effect
}

// take decides about a request and does what is done at once, in one piece.
func (s *Sandbox) take(r *Request, query string) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	r.N, r.Now, r.SearchLag = s.n, s.now(), time.Duration(s.settings.SearchLag)
	s.vendor.Identify(s.world.begin(r.N, r.Now), r)
	t := &turn{request: r, record: &Record{N: r.N, At: Time{r.Now}, App: r.App, Method: r.Method, Path: r.Path,
		Query: query, Key: r.Key, Bytes: len(r.Body), Effects: []string{}}}
	s.requests.add(t.record)
	if s.failed == nil {
		s.world.keys.expire(r.Now, time.Duration(s.settings.KeyLife))
		s.decide(t)
	}
	t.need, t.failed = s.need, s.failed
	return t
}

func (s *Sandbox) decide(t *turn) {
	r := t.request
	if l, wait, ok := s.limits.take(r); !ok {
		t.record.Fault = "limit:" + l.Name
		t.response = s.throttled(r, l, wait)
		s.settle(t, nil)
		return
	}
	x, moved := s.faults.pick(r, func(effect string) bool { return s.means(effect, r) })
	t.counts = moved
	if x != nil {
		f := x.Fault
		t.fault, t.record.Fault = &f, f.Effect
	}
	switch t.effect() {
	case EffectStatus:
		t.response = s.refusal(t)
	case EffectLateCommit:
		t.response = s.refusal(t)
		s.commitLater(t)
	case EffectThrottle:
		t.response = s.throttled(r, Limit{}, 0)
		addHeaders(&t.response, t.fault.Headers)
	case EffectResetBefore, EffectHang:
	default:
		s.serve(t)
		return
	}
	s.settle(t, nil)
}

// means says whether an effect can do anything to this request.
func (s *Sandbox) means(effect string, r *Request) bool {
	if _, ours := useOf(effect); ours {
		return true
	}
	v, ok := s.vendor.(Spoiler)
	return ok && v.Spoils(effect, r)
}

func (s *Sandbox) vendorEffects() []string {
	if v, ok := s.vendor.(Spoiler); ok {
		return v.Effects()
	}
	return nil
}

func (s *Sandbox) throttled(r *Request, l Limit, wait time.Duration) Response {
	if v, ok := s.vendor.(Limiter); ok {
		return v.Throttled(r, l, wait)
	}
	return s.vendor.Refuse(r, http.StatusTooManyRequests)
}

func (s *Sandbox) refusal(t *turn) Response {
	resp := s.vendor.Refuse(t.request, t.fault.Status)
	resp.Status = t.fault.Status
	addHeaders(&resp, t.fault.Headers)
	return resp
}

func addHeaders(r *Response, headers map[string]string) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
}

// serve lets the vendor answer and commits what it wrote.
func (s *Sandbox) serve(t *turn) {
	r, tx := t.request, s.world.begin(t.request.N, t.request.Now)
	switch effect := t.effect(); effect {
	case EffectForgetKeys:
		tx.Forget()
	case EffectSearchLag:
		r.SearchLag = time.Duration(t.fault.Delay)
	default:
		if slices.Contains(s.vendorEffects(), effect) {
			r.Effect = effect
			var served bool
			if t.response, served = s.vendor.(Spoiler).Spoil(tx, effect, r); served {
				s.settle(t, tx)
				return
			}
		}
	}
	child := tx.Child()
	t.response = s.vendor.Serve(child, r)
	if t.response.Status < 400 {
		child.Merge()
	}
	s.settle(t, tx)
}

// settle commits the writes of a request and its line in the log.
func (s *Sandbox) settle(t *turn, tx *Tx) {
	t.record.Status = t.response.Status
	switch t.effect() {
	case EffectResetAfter:
		t.record.Status = 0
		t.record.Done = &t.record.At
	case EffectHang, EffectDelay, EffectSlowBody: // done when it ends
	default:
		t.record.Done = &t.record.At
	}
	l := &line{Record: t.record, Counts: t.counts}
	if tx == nil || tx.empty() {
		_ = s.append(l, false)
		return
	}
	s.commit(t, tx, l)
}

func (s *Sandbox) commit(t *turn, tx *Tx, l *line) {
	l.Facts, l.Keys, l.Forget = tx.facts, tx.keys, tx.forget
	changes := tx.apply()
	for _, c := range changes {
		l.Objects = append(l.Objects, write{Type: c.Object.Type, ID: c.Object.ID, Deleted: c.Object.Deleted, Versions: c.added})
		t.record.Effects = append(t.record.Effects, c.Object.Type+"/"+c.Object.ID)
	}
	if err := s.append(l, true); err != nil || s.postman == nil || len(changes) == 0 {
		return
	}
	s.postman.post(s.vendor.(Notifier).Deliveries(changes, t.request), s.settings.Webhooks, t.request.Now)
}

// commitLater does the request after its delay, whatever it was answered: the
// vendor was slow, not dead.
func (s *Sandbox) commitLater(t *turn) {
	late := *t.request
	delay := s.clock.After(time.Duration(t.fault.Delay))
	s.running.Go(func() {
		select {
		case <-s.ctx.Done():
		case <-delay:
			s.serveLate(t, &late)
		}
	})
}

func (s *Sandbox) serveLate(t *turn, r *Request) {
	err := s.change(func() error {
		r.Now = s.now()
		tx := s.world.begin(r.N, r.Now)
		if resp := s.vendor.Serve(tx, r); resp.Status < 400 && !tx.empty() {
			s.commit(&turn{request: r, record: t.record}, tx, &line{Record: t.record})
		}
		return nil
	})
	if err != nil {
		s.log.Error("late commit", "request", r.N, "error", err)
	}
}

// fail stops the account: what is not on disk must not be answered.
func (s *Sandbox) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
		s.log.Error("sandbox stopped", "error", err)
	}
}

// finish notes when the answer left.
func (s *Sandbox) finish(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.record.Done = &Time{s.now()}
}
