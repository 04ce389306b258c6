package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"tieout.dev/services/internal/meter"
)

// recallFor is how long a request waits for what Redis remembers. Whether it
// answers, answers wrongly or not at all costs this much time and no more.
const recallFor = 100 * time.Millisecond

// memory is what Redis remembers: that something was done before. It is a hint
// and nothing else; nil remembers nothing.
type memory struct {
	client *redis.Client
	meter  *meter.Set
	log    *slog.Logger
}

// seen says which of the keys are remembered; none where that is not known.
func (m memory) seen(ctx context.Context, keys ...string) map[string]bool {
	out := map[string]bool{}
	if m.client == nil || len(keys) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, recallFor)
	defer cancel()
	values, err := m.client.MGet(ctx, keys...).Result()
	if err != nil || len(values) != len(keys) {
		m.meter.Count(ctx, meter.CacheRequests, int64(len(keys)), "redis", "away")
		m.log.DebugContext(ctx, "nothing is remembered", "error", err)
		return out
	}
	for i, v := range values {
		out[keys[i]] = v != nil
		m.meter.Count(ctx, meter.CacheRequests, 1, "redis", hit(v != nil))
	}
	return out
}

// remember notes keys for a while, after what they stand for is durable.
func (m memory) remember(ctx context.Context, life time.Duration, keys ...string) {
	if m.client == nil || len(keys) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recallFor)
	defer cancel()
	_, err := m.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.Set(ctx, key, 1, life)
		}
		return nil
	})
	if err != nil {
		m.log.DebugContext(ctx, "this is not remembered", "error", err)
	}
}
