// Package rig lets package chaos at a stack of real processes on real parts,
// with a world outside that moves meanwhile.
package rig

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"tieout.dev/services/cmd/tieout-lab/lab"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/lab/chaos"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/store"
)

// Options say where the stack lives.
type Options struct {
	// Dir holds everything; it is made.
	Dir string
	// Bin holds the services' programs, built with crash points.
	Bin  string
	Seed uint64
	Out  io.Writer // progress
}

// Rig is a running stack and what harms it.
type Rig struct {
	World *World

	options Options
	lab     *lab.Lab
	conn    *grpc.ClientConn
	stores  map[string]*store.DB
	toxi    *parts.Toxiproxy
	through func(ctx context.Context, part, address string) (string, error) // nil: nothing stands between
	noToxi  string                                                          // why there is none
	noDisk  string                                                          // why the database has no disk of its own
	closers []func() error
}

// writers share the targets, so that a frozen one has a rival.
const writers = 2

// Start brings everything up. After an error nothing is left.
func Start(ctx context.Context, o Options) (*Rig, error) {
	r := &Rig{options: o, stores: map[string]*store.DB{}}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rig) start(ctx context.Context) error {
	for _, dir := range []string{r.options.Dir, r.crashDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := r.smallDisk(ctx); err != nil {
		return err
	}
	if err := r.startToxiproxy(ctx); err != nil {
		return err
	}
	var err error
	r.lab, err = lab.Start(ctx, lab.Options{
		Dir: r.options.Dir, Bin: r.options.Bin, Replicas: map[string]int{"writer": writers}, Out: r.options.Out, Through: r.through, CrashDir: r.crashDir(),
	})
	if err != nil {
		return err
	}
	r.closers = append(r.closers, r.lab.Stop)
	f := r.lab.File()
	if r.conn, err = control.Dial(f.Control.Address, f.Control.Token, nil); err != nil {
		return err
	}
	r.closers = append(r.closers, r.conn.Close)
	for _, s := range chaos.Services() {
		db, err := store.OpenReadOnly(ctx, store.Config{Name: s, URL: r.lab.Parts.Postgres.URLWithPassword(), Clock: time.Now})
		if err != nil {
			return err
		}
		r.stores[s] = db
		r.closers = append(r.closers, db.Close)
	}
	r.World, err = newWorld(ctx, &f, r.options.Seed)
	return err
}

// Close ends everything, the last first; the state stays.
func (r *Rig) Close() error {
	var errs []error
	for i := len(r.closers) - 1; i >= 0; i-- {
		errs = append(errs, r.closers[i]())
	}
	r.closers = nil
	return errors.Join(errs...)
}

func (r *Rig) crashDir() string { return filepath.Join(r.options.Dir, "crash") }

func (r *Rig) order(service string) string { return filepath.Join(r.crashDir(), service) }

// Kill implements chaos.Processes.
func (r *Rig) Kill(_ context.Context, service string, dice *rand.Rand) error {
	return r.lab.Kill(service, 1+dice.IntN(r.lab.Replicas(service)))
}

// Arm implements chaos.Orders; the order is there whole or not at all.
func (r *Rig) Arm(service string, o crash.Order) error {
	if err := os.Remove(r.order(service) + crash.HitSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(r.order(service)+".new", []byte(o.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(r.order(service)+".new", r.order(service))
}

// Disarm implements chaos.Orders.
func (r *Rig) Disarm(service string) error {
	if err := os.Remove(r.order(service)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Obeyed implements chaos.Orders.
func (r *Rig) Obeyed(service string) (time.Time, error) {
	var info syscall.Stat_t
	err := syscall.Stat(r.order(service)+crash.HitSuffix, &info)
	if errors.Is(err, os.ErrNotExist) {
		return time.Time{}, nil
	}
	return time.Unix(info.Ctim.Unix()), err // the time of its renaming
}

// Ready implements chaos.Observer.
func (r *Rig) Ready(ctx context.Context, service string) bool { return r.lab.Ready(ctx, service) }

// Progress implements chaos.Observer: what a service's own loops have stored.
func (r *Rig) Progress(ctx context.Context, service string) (out []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	query := map[string]string{
		"ingest": `SELECT last_read_no FROM book UNION ALL SELECT COALESCE(SUM(next), 0) FROM consumer_offset`,
		"writer": `SELECT turns FROM target ORDER BY target`,
	}[service]
	if query == "" {
		query = `SELECT COALESCE(SUM(next), 0) FROM consumer_offset`
	}
	err = r.stores[service].Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var n int64
			if err := rows.Scan(&n); err != nil {
				return err
			}
			out = append(out, n)
		}
		return rows.Err()
	})
	return out, err
}
