package run

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trust"
)

// Shown is what each part is shown and asked for when it is connected to; the
// zero value is plain and without a password.
type Shown struct {
	Kafka, Postgres, Redis trust.TLS
	KafkaLogin             stream.Login
	PostgresPassword       trust.Secret // besides what its URL says
	RedisUser              string       // "" is Redis' own default user
	RedisPassword          trust.Secret
}

// cacheWithin bounds what the cache may take: without it work goes on.
const cacheWithin = time.Second

// cacheKeys is what the keys of the cache begin with in the configuration.
const cacheKeys = "redis"

func (r *Runtime) cache() *redis.Client {
	dialer := &net.Dialer{Timeout: cacheWithin, KeepAlive: 15 * time.Second}
	o := &redis.Options{Addr: r.Config.Redis, MaxRetries: -1, DialTimeout: cacheWithin, ReadTimeout: cacheWithin, ContextTimeoutEnabled: true}
	o.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil || !r.Shown.Redis.Enabled {
			return conn, err
		}
		ctx, cancel := context.WithTimeout(ctx, cacheWithin)
		defer cancel()
		conn, err = r.Shown.Redis.Shake(ctx, conn, address)
		return conn, r.Shown.Redis.Explain(cacheKeys, address, err)
	}
	if r.Shown.RedisPassword != "" {
		o.CredentialsProviderContext = func(context.Context) (user, password string, err error) {
			password, err = r.Shown.RedisPassword.Read()
			return r.Shown.RedisUser, password, err
		}
	}
	return redis.NewClient(o)
}

// checkCache asks the cache for a sign of life.
func (r *Runtime) checkCache(ctx context.Context) error {
	err := r.Redis.Ping(ctx).Err()
	switch {
	case err == nil:
		return nil
	case redis.IsAuthError(err):
		return trust.Denied(cacheKeys, r.Config.Redis, r.Shown.RedisUser, err)
	case redis.IsPermissionError(err):
		return &trust.RefusedError{At: r.Config.Redis, Why: "the user may not do what is needed there", Who: trust.Operator, Next: "allow it PING, MGET and SET on any key (ACL SETUSER)", Err: err}
	}
	return r.Shown.Redis.Explain(cacheKeys, r.Config.Redis, err)
}
