package writer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/store"
)

// references resolves symbols: an entity binds "account:sales" to a name in
// the books, and the books' own tables give that name an id.
type references struct {
	w      *Writer
	target string
	mu     sync.RWMutex
	ids    map[string]string // kind|name -> id
	readAt time.Time
	reads  bool // a renewal is under way
}

// renewEvery is how old the books' tables may be.
const renewEvery = 15 * time.Minute

func newReferences(w *Writer, target string) *references {
	return &references{w: w, target: target, ids: map[string]string{}}
}

// load takes the stored tables, and reads them from the books where they can
// be reached; with neither, the owner cannot start.
func (r *references) load(ctx context.Context) error {
	if err := r.stored(ctx); err != nil {
		return err
	}
	source, ok := r.w.deps.Connections[r.target].Target.(connector.Referencer)
	if !ok {
		return nil
	}
	started := r.w.deps.Now()
	list, err := source.References(ctx)
	r.w.vendor(ctx, r.target, "references", started, err)
	if err != nil {
		if len(r.ids) > 0 {
			r.w.deps.Log.WarnContext(ctx, "the books' tables were not read; the stored ones are used", "target", r.target, "error", err)
			return nil
		}
		return fmt.Errorf("read the books' tables of %s: %w", r.target, err)
	}
	crash.At(crash.WriterReferencesRead)
	return r.keep(ctx, list)
}

// renew reads the tables again in the background when they are old or an
// answer said that one of them changed.
func (r *references) renew(ctx context.Context, o *owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reads || r.w.deps.Now().Sub(r.readAt) < renewEvery {
		return
	}
	r.reads = true
	o.calls.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, o.patience())
		defer cancel()
		err := r.load(o.extra(ctx))
		r.mu.Lock()
		r.reads, r.readAt = false, r.w.deps.Now()
		r.mu.Unlock()
		if err != nil {
			r.w.deps.Log.WarnContext(ctx, "the books' tables were not read", "target", r.target, "error", err)
		}
	})
}

// stale has the tables read again soon.
func (r *references) stale() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := r.w.deps.Now().Sub(r.readAt); age > renewAgain {
		r.readAt = time.Time{}
	}
}

// renewAgain bounds how often an answer about an invalid reference has the
// tables read.
const renewAgain = 5 * time.Second

func (r *references) keep(ctx context.Context, list []connector.Reference) error {
	err := r.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM reference WHERE target = $1`, r.target); err != nil {
			return err
		}
		for _, x := range list {
			if _, err := tx.Exec(`INSERT INTO reference (target, kind, key, id, attrs, read_at) VALUES ($1, $2, $3, $4, $5, $6)
				ON CONFLICT (target, kind, key) DO UPDATE SET id = $4, attrs = $5, read_at = $6`, r.target, x.Kind, x.Key, x.ID, x.Attrs, tx.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the books' tables of %s: %w", r.target, err)
	}
	return r.stored(ctx)
}

func (r *references) stored(ctx context.Context) error {
	ids := map[string]string{}
	err := r.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT kind, key, id FROM reference WHERE target = $1`, r.target)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind, key, id string
			if err := rows.Scan(&kind, &key, &id); err != nil {
				return err
			}
			ids[kind+"|"+key] = id
		}
		return rows.Err()
	})
	r.mu.Lock()
	r.ids, r.readAt = ids, r.w.deps.Now()
	r.mu.Unlock()
	return err
}

// symbol returns the vendor's id of a bound symbol. What is not bound, or
// bound to a name that the books lack, is not resolved: zero is no fallback.
func (r *references) symbol(entity, kind, symbol string) (string, bool) {
	e, ok := r.w.deps.Registry.Entity(entity)
	if !ok {
		return "", false
	}
	name, ok := e.Bindings[kind+":"+symbol]
	if !ok {
		return "", false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	id, ok := r.ids[kind+"|"+name]
	r.w.deps.Meter.Count(context.Background(), meter.CacheRequests, 1, "references", hit(ok))
	return id, ok
}
