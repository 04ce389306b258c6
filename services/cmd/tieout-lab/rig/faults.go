package rig

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/idle"
	"tieout.dev/services/internal/lab/chaos"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trail"
)

// Faults are the names of what can be done to the parts and to processes.
func Faults() []string {
	return []string{
		chaos.FreezeAtPoints, "freeze-writer", "freeze-ingest", "freeze-transform", "freeze-audit", "terminate-all", "kill-all",
		"kill-leader", "move-coordinator", "roll-brokers", "freeze-broker", "cut-kafka", "kill-all-brokers",
		"flush-redis", "redis-away", "redis-slow", "redis-hangs",
		"kill-postgres", "cut-postgres", "postgres-slow", "postgres-reset", "disk-full", "fsync-fails", "database-set-back", "databases-set-back",
	}
}

// Away are those that take a part away altogether.
func Away() []string {
	return []string{"kill-all-brokers", "kill-postgres", "cut-postgres", "postgres-reset", "disk-full", "fsync-fails"}
}

const (
	// frozenFor is longer than a group's session and every guard: a frozen
	// process is a zombie when it is thawed.
	frozenFor = 9 * time.Second
	cutFor    = 4 * time.Second
	fillFor   = 5 * time.Second
	lostFor   = 30 * time.Second // what a database that is set back forgets
)

// Fault implements chaos.Stack.
func (r *Rig) Fault(ctx context.Context, name string, dice *rand.Rand) error {
	pg, redis := r.lab.Parts.Postgres, r.lab.Parts.Redis
	switch name {
	case "freeze-writer", "freeze-ingest", "freeze-transform", "freeze-audit":
		service := strings.TrimPrefix(name, "freeze-")
		return r.freeze(ctx, service, 1+dice.IntN(r.lab.Replicas(service)))
	case "terminate-all":
		return r.all(syscall.SIGTERM)
	case "kill-all":
		return r.all(syscall.SIGKILL)
	case "flush-redis":
		return r.flushAgainAndAgain(ctx)
	case "redis-away":
		err := redis.Stop()
		idle.For(ctx, cutFor)
		return errors.Join(err, redis.Start(context.WithoutCancel(ctx)))
	case "redis-slow":
		return r.poison(ctx, "redis", `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":2000}}`)
	case "redis-hangs":
		return r.poison(ctx, "redis", `{"name":"harm","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
	case "kill-postgres":
		return errors.Join(pg.Crash(), pg.Start(context.WithoutCancel(ctx)))
	case "cut-postgres":
		return r.harmed(func(t *parts.Toxiproxy) error { return t.Cut(ctx, "postgres", cutFor) })
	case "postgres-slow":
		return r.poison(ctx, "postgres", `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":300,"jitter":200}}`)
	case "postgres-reset": // answers are lost, also those to a commit
		return r.poison(ctx, "postgres", `{"name":"harm","type":"reset_peer","stream":"downstream","attributes":{"timeout":100}}`)
	case "disk-full":
		return r.fillDisk(ctx, fillFor)
	case "fsync-fails":
		return r.failSync(ctx, fillFor)
	case "database-set-back":
		return r.setBack(ctx, []string{"writer", "ingest"}[dice.IntN(2)])
	case "databases-set-back":
		return r.setBack(ctx, "ingest", "writer")
	}
	return r.brokerFault(ctx, name, dice)
}

func (r *Rig) brokerFault(ctx context.Context, name string, dice *rand.Rand) error {
	k := r.lab.Parts.Kafka
	healing := context.WithoutCancel(ctx)
	switch name {
	case "kill-leader":
		n, err := r.leader(ctx, dice)
		if err != nil {
			return err
		}
		err = k.Kill(n)
		idle.For(ctx, frozenFor)
		return errors.Join(err, k.StartBroker(healing, n))
	case "move-coordinator":
		n, err := r.coordinator(ctx)
		if err != nil {
			return err
		}
		return errors.Join(k.StopBroker(n), k.StartBroker(healing, n))
	case "roll-brokers":
		for n := 1; n <= len(k.Brokers); n++ {
			if err := errors.Join(k.StopBroker(n), k.StartBroker(healing, n)); err != nil {
				return err
			}
			idle.For(ctx, 2*time.Second)
		}
		return nil
	case "freeze-broker":
		n := 1 + dice.IntN(len(k.Brokers))
		err := k.Freeze(n)
		idle.For(ctx, frozenFor)
		return errors.Join(err, k.Thaw(n))
	case "cut-kafka":
		return r.cutKafka(ctx)
	case "kill-all-brokers":
		return r.killBrokers(healing)
	}
	return fmt.Errorf("there is no fault %q", name)
}

func (r *Rig) killBrokers(ctx context.Context) error {
	k := r.lab.Parts.Kafka
	var errs []error
	for n := range k.Brokers {
		errs = append(errs, k.Kill(n+1))
	}
	started := make(chan error, len(k.Brokers))
	for n := range k.Brokers { // none is ready before it has a quorum
		go func() { started <- k.StartBroker(ctx, n+1) }() // received below
	}
	for range k.Brokers {
		errs = append(errs, <-started)
	}
	return errors.Join(errs...)
}

// setBack makes services' databases what they were a while ago, as restored backups
// do. The services are down meanwhile; nobody tells them when they come back.
func (r *Rig) setBack(ctx context.Context, services ...string) error {
	pg := r.lab.Parts.Postgres
	dump := func(service string) string { return filepath.Join(r.options.Dir, service+".dump") }
	for _, s := range services {
		if err := pg.BackUp(ctx, s, dump(s)); err != nil {
			return err
		}
	}
	idle.For(ctx, lostFor)
	healing := context.WithoutCancel(ctx)
	var errs []error
	each := func(do func(service string, replica int) error) {
		for _, s := range services {
			for n := range r.lab.Replicas(s) {
				errs = append(errs, do(s, n+1))
			}
		}
	}
	each(r.lab.Hold)
	for _, s := range services {
		errs = append(errs, pg.SetBack(healing, s, dump(s)))
	}
	each(func(service string, replica int) error { return r.lab.Resume(healing, service, replica) })
	return errors.Join(errs...)
}

// freeze stops a replica where it stands, and lets it go on as a zombie.
func (r *Rig) freeze(ctx context.Context, service string, replica int) error {
	err := r.lab.Signal(service, replica, syscall.SIGSTOP)
	idle.For(ctx, frozenFor)
	return errors.Join(err, r.lab.Signal(service, replica, syscall.SIGCONT))
}

// Thaw implements chaos.Processes; whoever is not frozen does not notice.
func (r *Rig) Thaw(service string) error {
	var errs []error
	for n := range r.lab.Replicas(service) {
		errs = append(errs, r.lab.Signal(service, n+1, syscall.SIGCONT))
	}
	return errors.Join(errs...)
}

func (r *Rig) all(sig syscall.Signal) error {
	var errs []error
	for _, s := range chaos.Services() {
		for n := range r.lab.Replicas(s) {
			errs = append(errs, r.lab.Signal(s, n+1, sig))
		}
	}
	return errors.Join(errs...)
}

func (r *Rig) flushAgainAndAgain(ctx context.Context) error {
	for range 10 {
		if err := r.lab.Parts.Redis.Flush(ctx); err != nil {
			return err
		}
		idle.For(ctx, time.Second)
	}
	return nil
}

// leader is the broker (from 1 on) that leads a partition with traffic.
func (r *Rig) leader(ctx context.Context, dice *rand.Rand) (int, error) {
	account := r.lab.File().Sandboxes["quickbooks"].Account
	topics := []struct{ name, key string }{
		{document.Topic(event.Realtime), account}, {event.Realtime.Topic(), account}, {trail.Topic, "writer/" + account + "/acme-ie"},
	}
	t := topics[dice.IntN(len(topics))]
	return r.broker(ctx, func(c *stream.Client) (string, error) {
		n, err := c.Partitions(ctx, t.name)
		if err != nil {
			return "", err
		}
		return c.Leader(ctx, t.name, stream.Partition(t.key, n))
	})
}

func (r *Rig) coordinator(ctx context.Context) (int, error) {
	return r.broker(ctx, func(c *stream.Client) (string, error) { return c.Coordinator(ctx, "tieout-writer") })
}

// broker asks for an address, again while the cluster changes, and returns whose it is.
func (r *Rig) broker(ctx context.Context, ask func(*stream.Client) (string, error)) (int, error) {
	brokers := r.lab.Parts.Kafka.Brokers
	c, err := stream.NewClient(stream.Config{Brokers: brokers, ClientID: "tieout-chaos"})
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	for end := time.Now().Add(20 * time.Second); ; idle.For(ctx, 500*time.Millisecond) {
		at, err := ask(c)
		for n, b := range brokers {
			if err == nil && b == at {
				return n + 1, nil
			}
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return 0, errors.Join(fmt.Errorf("no broker is at %q", at), err)
		}
	}
}

// cutKafka ends every connection to the brokers' clients' ports, as a firewall
// that forgot them would.
func (r *Rig) cutKafka(ctx context.Context) error {
	ss, err := exec.LookPath("ss")
	if err != nil {
		return &chaos.SkippedError{Why: "ss is not installed"}
	}
	for range 3 {
		for _, b := range r.lab.Parts.Kafka.Brokers {
			_, port, err := net.SplitHostPort(b)
			if err != nil {
				return err
			}
			if out, err := exec.CommandContext(ctx, ss, "-K", "-t", "dst", "127.0.0.1", "dport", "=", port).CombinedOutput(); err != nil {
				return &chaos.SkippedError{Why: fmt.Sprintf("connections cannot be cut here: %v: %s", err, out)}
			}
		}
		idle.For(ctx, cutFor/3)
	}
	return nil
}

// poison harms for a while what passes to a part.
func (r *Rig) poison(ctx context.Context, part, toxic string) error {
	return r.harmed(func(t *parts.Toxiproxy) error { return t.Poison(ctx, part, toxic, cutFor) })
}

// harmed harms what passes, where something stands between.
func (r *Rig) harmed(harm func(*parts.Toxiproxy) error) error {
	if r.toxi == nil {
		return &chaos.SkippedError{Why: r.noToxi}
	}
	return harm(r.toxi)
}

// startToxiproxy starts what cuts connections. Without it the faults that need it
// are left out, and said to be.
func (r *Rig) startToxiproxy(ctx context.Context) error {
	var err error
	r.toxi, err = parts.StartToxiproxy(ctx, filepath.Join(r.options.Dir, "toxiproxy"))
	if absent := (*parts.AbsentError)(nil); errors.As(err, &absent) {
		r.noToxi = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	r.through = r.toxi.Through
	r.closers = append(r.closers, r.toxi.Stop)
	return nil
}
