package ingest

import (
	"context"
	"time"

	"tieout.dev/services/internal/store"
)

// replicaEvery is how often a replica says that it lives and looks who else does.
const replicaEvery = store.LeaseTime / 3

const replicas = "replicas"

// watchReplicas divides our share of each source's limits by those of us that
// live: every replica reads, and none asks the others before it does. One that
// is gone keeps its part until its lease has ended.
func (in *Ingest) watchReplicas(ctx context.Context) error {
	t := time.NewTicker(replicaEvery)
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
	// what is not given back ends by itself
	_ = in.deps.DB.Release(context.WithoutCancel(ctx), store.Presence(replicas, in.deps.Instance), in.deps.Instance)
	return nil
}

func (in *Ingest) countReplicas(ctx context.Context) error {
	n, err := in.deps.DB.Present(ctx, replicas, in.deps.Instance)
	if err != nil {
		return err
	}
	for _, s := range in.sources {
		s.share.divide(n)
	}
	return nil
}
