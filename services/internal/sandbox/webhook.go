package sandbox

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	webhookQueue   = 10000           // deliveries waiting; more are lost, as webhooks may be
	webhookTimeout = 3 * time.Second // of one attempt
	webhookBatch   = 32              // how many deliveries a shuffle mixes
	webhookTries   = 5
)

// delivery is one webhook body on its way.
type delivery struct {
	target string
	body   []byte
	tries  int
	due    time.Time
}

// postman delivers webhooks. One goroutine runs it; what it has not delivered
// when the process ends is lost, as it may be at the vendor.
type postman struct {
	sign   func(target string, body []byte, at time.Time) http.Header
	again  func(body []byte, try int) []byte // nil: the same body each time
	clock  Clock
	log    *slog.Logger
	client *http.Client
	queue  chan delivery
	dice   *rand.Rand // used under the sandbox's mutex
	mixer  *rand.Rand // used by the goroutine alone
	later  []delivery
}

func newPostman(n Notifier, cfg Config, clock Clock, log *slog.Logger, seed int64) *postman {
	p := &postman{sign: n.Sign, clock: clock, log: log, queue: make(chan delivery, webhookQueue)}
	if r, ok := n.(Renotifier); ok {
		p.again = r.Again
	}
	p.client = &http.Client{Transport: cfg.HTTP, Timeout: webhookTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.mixer = rand.New(rand.NewPCG(uint64(seed), 2))
	p.reseed(seed)
	return p
}

func (p *postman) reseed(seed int64) { p.dice = rand.New(rand.NewPCG(uint64(seed), 1)) }

// post queues bodies as the settings say; it never blocks.
func (p *postman) post(bodies [][]byte, w Webhooks, now time.Time) {
	for _, body := range bodies {
		if w.Target == "" || !w.Deliver || p.dice.Float64() < w.Drop {
			continue
		}
		copies := 1
		if p.dice.Float64() < w.Duplicate {
			copies = 2
		}
		for range copies {
			p.put(delivery{target: w.Target, body: body, due: now})
		}
	}
}

func (p *postman) put(d delivery) {
	select {
	case p.queue <- d:
	default:
		p.log.Warn("webhook lost: queue full", "target", d.target)
	}
}

// run delivers until ctx ends.
func (p *postman) run(ctx context.Context, shuffled func() bool) {
	for {
		batch := p.next(ctx)
		if ctx.Err() != nil {
			return
		}
		if shuffled() {
			p.mixer.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		}
		for _, d := range batch {
			p.deliver(ctx, d)
		}
	}
}

// next waits for deliveries that are due and takes up to webhookBatch of them.
func (p *postman) next(ctx context.Context) []delivery {
	batch := p.ripe()
	if len(batch) == 0 {
		var timer <-chan time.Time
		if len(p.later) > 0 {
			timer = p.clock.After(p.later[0].due.Sub(p.clock.Now()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer:
			batch = p.ripe()
		case d := <-p.queue:
			batch = append(batch, d)
		}
	}
	for len(batch) < webhookBatch {
		select {
		case d := <-p.queue:
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// ripe takes the retries that are due; later is in the order of due.
func (p *postman) ripe() []delivery {
	var out []delivery
	now := p.clock.Now()
	for len(p.later) > 0 && !p.later[0].due.After(now) {
		out = append(out, p.later[0])
		p.later = p.later[1:]
	}
	return out
}

func (p *postman) deliver(ctx context.Context, d delivery) {
	if p.attempt(ctx, d) {
		return
	}
	d.tries++
	if d.tries >= webhookTries || len(p.later) >= webhookQueue {
		p.log.Warn("webhook lost: not accepted", "target", d.target, "tries", d.tries)
		return
	}
	d.due = p.clock.Now().Add(200 * time.Millisecond << (2 * (d.tries - 1)))
	i := len(p.later)
	for i > 0 && p.later[i-1].due.After(d.due) {
		i--
	}
	p.later = append(p.later[:i], append([]delivery{d}, p.later[i:]...)...)
}

func (p *postman) attempt(ctx context.Context, d delivery) bool {
	body := d.body
	if d.tries > 0 && p.again != nil {
		body = p.again(body, d.tries)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.target, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header = p.sign(d.target, body, p.clock.Now())
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < 300
}
