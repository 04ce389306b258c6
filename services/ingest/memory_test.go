package ingest

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tieout.dev/services/internal/drill"
)

// remembers gives the world a Redis of its own.
func (w *world) remembers(addr string) {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	w.t.Cleanup(func() { client.Close() })
	w.in.deps.Redis = client
}

// silent takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range open {
					c.Close()
				}
				return
			}
			open = append(open, c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// Redis lost, wrong, closed or hanging: the same answers, and time at most.
func TestKeysAreAnsweredWhateverRedisSays(t *testing.T) {
	other := strings.Replace(one, "12.50", "13", 1)
	for name, spoil := range map[string]func(*world, *miniredis.Miniredis){
		"it works":           func(*world, *miniredis.Miniredis) {},
		"it lost everything": func(_ *world, r *miniredis.Miniredis) { r.FlushAll() },
		"it holds nonsense": func(_ *world, r *miniredis.Miniredis) {
			for _, k := range r.Keys() {
				_ = r.Set(k, `{"items":[{"event_ids":["stolen"],"revision":9,"duplicate":true}]}`)
			}
		},
		"it holds another type": func(_ *world, r *miniredis.Miniredis) {
			for _, k := range r.Keys() {
				r.Del(k)
				_, _ = r.Push(k, "x")
			}
		},
		"it knows keys that nobody used": func(_ *world, r *miniredis.Miniredis) {
			for i := range 5 {
				_ = r.Set(answerKey("crm", fmt.Sprint("k", i)), "1")
			}
		},
		"it is closed":  func(_ *world, r *miniredis.Miniredis) { r.Close() },
		"it refuses":    func(_ *world, r *miniredis.Miniredis) { r.SetError("LOADING") },
		"it hangs":      func(w *world, _ *miniredis.Miniredis) { w.remembers(silent(w.t)) },
		"there is none": func(w *world, _ *miniredis.Miniredis) { w.in.deps.Redis = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			r := miniredis.RunT(t)
			w.remembers(r.Addr())
			_, first := w.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "k0")
			if keys := r.Keys(); len(keys) != 1 || r.TTL(keys[0]) != answerLife {
				t.Fatalf("it remembers %v", keys)
			}
			spoil(w, r)
			began := time.Now()
			for range 2 {
				code, again := w.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "k0")
				if code != http.StatusAccepted || fmt.Sprint(again) != fmt.Sprint(first) {
					t.Errorf("%d %v, first it was %v", code, again, first)
				}
				if code, _ := w.call(http.MethodPost, "/v1/events", other, "Idempotency-Key", "k0"); code != http.StatusUnprocessableEntity {
					t.Errorf("another body under the same key: %d", code)
				}
			}
			code, v := w.call(http.MethodPost, "/v1/events", other, "Idempotency-Key", "k1")
			if code != http.StatusAccepted || v["items"].([]any)[0].(map[string]any)["revision"] != 2.0 {
				t.Errorf("a new key: %d %v", code, v)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if n := w.count(`SELECT COUNT(*) FROM event`); n != 2 {
				t.Errorf("%d events", n)
			}
		})
	}
	drill.Injected(t, 1, 42, 43, 44, 45, 47) // each is a case above
}

// A database that was set back knows its keys no more; a Redis that still does
// must not acknowledge what is gone.
func TestARedisThatOutlivedTheDatabaseAcknowledgesNothing(t *testing.T) {
	r := miniredis.RunT(t)
	before := open(t)
	before.remembers(r.Addr())
	before.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "k")
	after := open(t) // as if restored to before the push
	after.remembers(r.Addr())
	code, v := after.call(http.MethodPost, "/v1/events", one, "Idempotency-Key", "k")
	if code != http.StatusAccepted || after.count(`SELECT COUNT(*) FROM event`) != 1 {
		t.Errorf("%d %v, and the record is not there", code, v)
	}
}

// The same for webhooks: whatever Redis says, a delivery is taken in time.
func TestDeliveriesAreTakenWhateverRedisSays(t *testing.T) {
	for name, spoil := range map[string]func(*world, *miniredis.Miniredis){
		"closed": func(_ *world, r *miniredis.Miniredis) { r.Close() }, "hanging": func(w *world, _ *miniredis.Miniredis) { w.remembers(silent(w.t)) },
		"flushed": func(_ *world, r *miniredis.Miniredis) { r.FlushAll() },
	} {
		w := open(t)
		r := miniredis.RunT(t)
		w.remembers(r.Addr())
		for range 2 { // a repeat of one delivery asks for nothing more
			w.deliver("secret", "1", "d")
		}
		if n := w.count(`SELECT asked FROM hint`); n != 1 {
			t.Errorf("one delivery asked %d times", n)
		}
		spoil(w, r)
		began := time.Now()
		if code := w.deliver("secret", strings.TrimSpace(strings.Repeat("1 2 3 4 5 ", 20)), "e"); code != http.StatusOK {
			t.Errorf("%s: answered %d", name, code)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if n := w.count(`SELECT COUNT(*) FROM hint`); n != 5 {
			t.Errorf("%s: %d hints", name, n)
		}
	}
}
