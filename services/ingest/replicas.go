package ingest

import (
	"context"
	"time"

	"tieout.dev/services/internal/store"
)

// replicaEvery is how often a replica says that it lives and looks who else does.
const replicaEvery = store.LeaseTime / 3

const (
	replicas = "replicas"
	poller   = "poller"
)

// watchReplicas divides our share of each source's limits by those of us that
// live: every replica reads, and none asks the others before it does. One of
// them polls. Who is gone keeps its part, or the polls, until its lease has ended.
func (in *Ingest) watchReplicas(ctx context.Context) error {
	t := time.NewTicker(in.deps.DB.Rest(replicaEvery))
	defer t.Stop()
	for ctx.Err() == nil {
		if err := in.countReplicas(ctx); err != nil && ctx.Err() == nil {
			in.deps.Log.WarnContext(ctx, "the replicas were not counted; the shares stay as they are", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	in.leave(context.WithoutCancel(ctx))
	return nil
}

// leave gives back what this replica holds; what it cannot ends by itself.
func (in *Ingest) leave(ctx context.Context) {
	for _, lease := range []string{poller, store.Presence(replicas, in.deps.Instance)} {
		_ = in.deps.DB.Release(ctx, lease, in.deps.Instance)
	}
}

func (in *Ingest) countReplicas(ctx context.Context) error {
	n, err := in.deps.DB.Present(ctx, replicas, in.deps.Instance)
	if err != nil {
		return err
	}
	polls, err := in.deps.DB.Lease(ctx, poller, in.deps.Instance)
	if err != nil {
		return err
	}
	taken := !in.polls.Swap(polls) && polls
	for _, s := range in.sources {
		s.share.divide(n)
		if taken {
			signal(s.ask)
		}
	}
	return nil
}
