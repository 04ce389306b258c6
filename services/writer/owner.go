package writer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/writer/protocol"
)

// errFenced: another owner has taken the target. Everything is dropped and
// nothing is sent.
var errFenced = errors.New("another owner has taken the target")

const (
	// writerShare is our part of a connection's limits, in percent.
	writerShare = 85
	// idleTurn is how long an owner sleeps when nothing wakes it.
	idleTurn = 5 * time.Second
	// drainFor bounds how long a leaving owner awaits answers.
	drainFor = 20 * time.Second
)

// owner works a target in turns, for as long as its epoch lives.
type owner struct {
	w       *Writer
	target  string
	tenant  string
	conn    *connector.Connection
	limit   *limits
	refs    *references
	lease   protocol.Lease
	started time.Time
	memory  *protocol.Memory
	probeAt atomic.Int64 // µs, 0 while the target is not paused
	held    time.Time    // since when the quota holds requests back

	mu     sync.Mutex
	inputs protocol.Inputs
	signal chan struct{}
	calls  sync.WaitGroup
}

func newOwner(w *Writer, target string) *owner {
	conn := w.deps.Connections[target]
	share := writerShare
	if c, ok := w.deps.Registry.ByAccount(target); ok && isSource(w.deps.Registry, c.ID) {
		share = 20
	}
	return &owner{
		w: w, target: target, conn: conn, limit: newLimits(conn.Claims, share), memory: protocol.NewMemory(),
		refs: newReferences(w, target), lease: protocol.Lease{Owner: w.deps.Instance}, signal: make(chan struct{}, 1), started: w.deps.Now(),
	}
}

// isSource: a connection that ingest reads keeps most of its quota for reading.
func isSource(r *registry.Registry, connection string) bool {
	for _, x := range r.Routes {
		if x.Connection == connection && !x.WriteBack {
			return true
		}
	}
	return false
}

func (o *owner) wake() {
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// run takes the target and works until ctx ends or the epoch is lost.
func (o *owner) run(ctx context.Context) error {
	if err := o.take(ctx); err != nil {
		return err
	}
	crash.At(crash.WriterTargetTaken)
	if err := o.refs.load(o.extra(ctx)); err != nil {
		return err
	}
	turns, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer o.calls.Wait()
	o.wake()
	timer := time.NewTimer(idleTurn)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return o.drain(turns)
		case <-o.signal:
		case <-timer.C:
		}
		o.refs.renew(turns, o)
		next, err := o.turn(turns, false)
		if err != nil {
			return err
		}
		timer.Reset(next)
	}
}

// take raises the epoch, once: whatever a former owner still tries fails.
func (o *owner) take(ctx context.Context) error {
	err := o.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`UPDATE target SET epoch = epoch + 1, owner = $1 WHERE target = $2 RETURNING epoch, tenant`, o.w.deps.Instance, o.target).Scan(&o.lease.Epoch, &o.tenant)
	})
	if err != nil {
		return fmt.Errorf("take %s: %w", o.target, err)
	}
	o.w.deps.Meter.Count(ctx, meter.EpochChanges, 1, o.connection())
	return nil
}

// drain lets nothing new leave and awaits what is under way.
func (o *owner) drain(ctx context.Context) error {
	crash.At(crash.WriterDraining)
	deadline := time.NewTimer(drainFor)
	defer deadline.Stop()
	for len(o.memory.Flying) > 0 {
		select {
		case <-o.signal:
		case <-deadline.C:
			return nil // the next owner finds them in doubt and looks
		}
		if _, err := o.turn(ctx, true); err != nil {
			return err
		}
	}
	return nil
}

// turn gathers, steps, stores and lets go. It returns when the next one is due
// if nothing wakes it.
func (o *owner) turn(ctx context.Context, draining bool) (time.Duration, error) {
	in := o.takeInputs()
	crash.At(crash.WriterTurnBegun)
	now := o.w.deps.Now()
	most := o.limit.most(now, underWay(o.memory, in))
	if draining {
		most = budget{}
	}
	var changes protocol.Changes
	var effects protocol.Effects
	var paused bool
	var received map[place]int64
	rest := o.w.deps.DB.Rest(idleTurn)
	err := o.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		v, err := o.fence(tx, now, most)
		if err != nil {
			return err
		}
		crash.At(crash.WriterFenced)
		if in.Commands, err = commands(tx, o.target); err != nil {
			return err
		}
		if err := protocol.Load(tables{tx, o.target}, v, o.memory, in); err != nil {
			return err
		}
		o.limit.sees(v.Heads)
		changes, effects = protocol.Step(v, o.memory, in)
		crash.At(crash.WriterStepped)
		paused = v.Paused
		a := &applier{w: o.w, tx: tx, v: v, epoch: o.lease.Epoch, owner: o.lease.Owner, received: map[place]int64{}}
		received, err = a.received, a.apply(&changes)
		crash.At(crash.WriterApplied)
		if len(in.Answers) > 0 {
			crash.At(crash.WriterBeforeSettle)
		}
		if err != nil || rest == idleTurn {
			return err
		}
		rest, err = o.restOf(tx, rest)
		return err
	})
	o.measureTurn(ctx, now, most, &changes, received, err)
	if err != nil {
		return 0, err
	}
	o.traceTurn(ctx, now, &changes)
	if len(in.Answers) > 0 {
		crash.At(crash.WriterSettled)
	}
	o.w.relay.Wake()
	crash.At(crash.WriterTurnCommitted)
	o.forgetOldLooks()
	o.noteProbe(paused)
	o.carryOut(ctx, effects)
	return o.nextTurn(effects, most.free, rest), nil
}

// restOf is how long the owner may rest when nothing wakes it: lanes that wait
// are looked at again and again.
func (o *owner) restOf(tx *store.Tx, rest time.Duration) (time.Duration, error) {
	var waiting int64
	err := tx.QueryRow(`SELECT COUNT(*) FROM lane WHERE target = $1 AND state = 'waiting'`, o.target).Scan(&waiting)
	if waiting > 0 {
		rest = idleTurn
	}
	return rest, err
}

// fence starts the transaction: one row serialises the target, and an owner
// that is no longer one changes nothing.
func (o *owner) fence(tx *store.Tx, now time.Time, most budget) (*protocol.View, error) {
	var row protocol.Lease
	var state, reason, alert, heldBy string
	var past, gathered, gens int64
	err := tx.QueryRow(`UPDATE target SET turns = turns + 1 WHERE target = $1 RETURNING epoch, owner, state, reason, alert, held_by, recovery_since, recovery_gathered, gens`, o.target).
		Scan(&row.Epoch, &row.Owner, &state, &reason, &alert, &heldBy, &past, &gathered, &gens)
	if err != nil {
		return nil, err
	}
	if !o.lease.Holds(row) {
		return nil, errFenced // the transaction rolls back
	}
	v := &protocol.View{
		Now: now.UnixMicro(), Mono: now.Sub(o.started), Tenant: o.tenant, Target: o.target, Claims: o.conn.Claims, Reason: reason, Alert: alert, HeldBy: heldBy,
		Budget: most.all, RealtimeMost: most.realtime, BulkMost: most.bulk, Batches: most.batches,
		Encode: o.conn.Target.Encode, Symbol: o.refs.symbol,
	}
	v.Paused, v.Gens = state == "paused", gens
	if past > 0 {
		v.Recovery = &protocol.Recovery{Since: past, Gathered: gathered == 1}
	}
	return v, nil
}

func (o *owner) nextTurn(e protocol.Effects, free, rest time.Duration) time.Duration {
	next := rest
	if e.WakeAt > 0 {
		next = min(next, e.WakeAt-o.w.deps.Now().Sub(o.started))
	}
	if free > 0 {
		next = min(next, free)
	} else if len(e.Send)+len(e.Looks) > 0 {
		next = min(next, 200*time.Millisecond) // the budget may have cut the turn short
	}
	return max(next, time.Millisecond)
}

// underWay is how many requests are in flight. What this turn is about to take
// the answers of no longer is: counted, a full flight whose answers came at once
// would leave the turn nothing to send and nobody to wake the next.
func underWay(m *protocol.Memory, in protocol.Inputs) int {
	n := len(m.Flying) + len(m.Looking)
	for _, a := range in.Answers {
		if m.Flying[a.Call] {
			n--
		}
	}
	for _, l := range in.Looks {
		if _, asked := m.Looking[l.Key]; asked {
			n--
		}
	}
	return n
}

func (o *owner) takeInputs() protocol.Inputs {
	o.mu.Lock()
	defer o.mu.Unlock()
	in := o.inputs
	o.inputs = protocol.Inputs{}
	return in
}

func (o *owner) answer(a protocol.Answer) {
	o.mu.Lock()
	o.inputs.Answers = append(o.inputs.Answers, a)
	o.mu.Unlock()
	crash.At(crash.WriterAnswered)
	o.wake()
}

func (o *owner) looked(a protocol.LookAnswer) {
	o.mu.Lock()
	o.inputs.Looks = append(o.inputs.Looks, a)
	o.mu.Unlock()
	crash.At(crash.WriterLooked)
	o.wake()
}

// forgetOldLooks bounds the memory: no decision uses a look this old.
func (o *owner) forgetOldLooks() {
	now := o.w.deps.Now().Sub(o.started)
	for key, l := range o.memory.Looks {
		if now-l.At > 5*time.Minute {
			delete(o.memory.Looks, key)
		}
	}
}

// noteProbe keeps, for who asks, when a paused target is probed next.
func (o *owner) noteProbe(paused bool) {
	at := int64(0)
	if paused {
		at = o.started.Add(o.memory.ProbeAt).UnixMicro()
	}
	o.probeAt.Store(at)
}

// commands reads the actions that wait for a turn.
func commands(tx *store.Tx, target string) ([]protocol.Command, error) {
	rows, err := tx.Query(`SELECT id, exception, lane, seq, action, actor, reason, ref, part,
		COALESCE((SELECT e.field FROM exception e WHERE e.id = command.exception), '')
		FROM command WHERE target = $1 AND state = 'waiting' ORDER BY created_at, id LIMIT 500`, target)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []protocol.Command
	for rows.Next() {
		var c protocol.Command
		if err := rows.Scan(&c.ID, &c.Exception, &c.Lane, &c.Seq, &c.Action, &c.Actor, &c.Reason, &c.Ref, &c.Part, &c.Field); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
