// Package embedded runs the broker and the cache of `tieout dev` inside the
// process: a Kafka broker whose log is files in a folder, and a Redis in
// memory. Both speak the real protocols on 127.0.0.1, so the services cannot
// tell them from the real ones.
//
// An acknowledged record is on disk. If the log is damaged all the same it is
// moved aside and a fresh one is begun: SQL is the truth, consumers see that the
// topics were made anew, and the completers publish what is missing again.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where the parts live.
type Config struct {
	// Dir is the data folder. One process uses it at a time.
	Dir    string
	Logger *slog.Logger
	// KafkaPort and RedisPort are fixed ports; 0 takes free ones.
	KafkaPort, RedisPort int
}

// Parts are the running parts.
type Parts struct {
	// Kafka are the broker's addresses.
	Kafka []string
	// Redis is the cache's address, an IP literal with a port.
	Redis string
	// Damaged is where an unreadable log was moved to, or "".
	Damaged string

	lock    *lock
	cluster *kfake.Cluster
	redis   *miniredis.Miniredis
}

// Start locks the folder and starts both parts. A folder in use is refused with
// an InUseError.
func Start(ctx context.Context, cfg Config) (*Parts, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	p := &Parts{}
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Parts) start(ctx context.Context, cfg Config) (err error) {
	if p.lock, err = acquire(filepath.Join(cfg.Dir, "lock")); err != nil {
		return err
	}
	if err := p.startKafka(ctx, cfg); err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	p.redis = miniredis.NewMiniRedis()
	p.redis.ClockTTL(true) // else keys never expire
	if err := p.redis.StartAddr(loopback(cfg.RedisPort)); err != nil {
		p.redis = nil
		return fmt.Errorf("start the embedded Redis: %w", err)
	}
	p.Redis = p.redis.Addr()
	return nil
}

// Close stops both parts and frees the folder. The broker writes its state.
func (p *Parts) Close() error {
	if p.redis != nil {
		p.redis.Close()
	}
	if p.cluster != nil {
		p.cluster.Close()
	}
	if p.lock != nil {
		return p.lock.release()
	}
	return nil
}

func (p *Parts) startKafka(ctx context.Context, cfg Config) error {
	dir := filepath.Join(cfg.Dir, "kafka")
	cluster, err := open(dir, cfg)
	if damaged(err) {
		aside := dir + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
		cfg.Logger.ErrorContext(ctx, "the embedded broker's log cannot be read; it is moved aside and a fresh one is begun, what was not consumed is published again",
			"folder", aside, "error", err)
		if err := os.Rename(dir, aside); err != nil {
			return fmt.Errorf("move the damaged log aside: %w", err)
		}
		p.Damaged = aside
		cluster, err = open(dir, cfg)
	}
	if err != nil {
		return err
	}
	p.cluster, p.Kafka = cluster, cluster.ListenAddrs()
	return nil
}

func open(dir string, cfg Config) (*kfake.Cluster, error) {
	return kfake.NewCluster(
		kfake.Ports(cfg.KafkaPort), // one broker, on 127.0.0.1
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.WithLogger(logger{cfg.Logger}),
	)
}

// damaged tells an unreadable folder from a port in use and the like.
func damaged(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "loading persisted state") && !errors.Is(err, os.ErrPermission)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// logger passes the broker's warnings on; it reports truncated bytes here.
type logger struct{ log *slog.Logger }

// Logf implements kfake's logger.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}
