// Package parts runs the real parts beside Tieout without containers: three
// brokers of Apache Kafka, PostgreSQL, Redis and Jaeger, as processes on free
// loopback ports, from a folder that holds all their data.
//
// Programs are fetched by name from the package registries that this machine
// uses, once, and kept outside of any project in the user's cache.
package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Config says where the parts live.
type Config struct {
	// Dir holds data, configuration, logs and pids. Started again on it, the
	// parts go on with their data, on the same ports.
	Dir string
	// Cache holds programs that were fetched; "" is the user's cache.
	Cache string
	// Out takes a line for each thing that takes time; nil: none.
	Out io.Writer
	// Jaeger is left out unless it is asked for: building it takes minutes, once.
	Jaeger bool
	// Collector is a collector's configuration (deploy/collector.yaml) that runs
	// before Jaeger, in its program; "" sends traces to Jaeger as they are.
	Collector string
	// Window is how long that collector waits before it judges a trace, and
	// Percent what it keeps of those that are well; "" leaves both to the file.
	Window, Percent string
	// Secure makes Kafka, PostgreSQL and Redis speak TLS; nil: they are plain.
	Secure *Secure
}

// Parts are the running parts.
type Parts struct {
	Kafka    *Kafka
	Postgres *Postgres
	Redis    *Redis
	Jaeger   *Jaeger // nil unless it was asked for
}

// AbsentError means that a part cannot be had on this machine.
type AbsentError struct{ Part, Why, Next string }

// Error says which part, why, and what to do.
func (e *AbsentError) Error() string {
	return fmt.Sprintf("%s cannot be had here: %s; %s", e.Part, e.Why, e.Next)
}

// Fetch gets every program and starts nothing.
func Fetch(ctx context.Context, cfg Config) error {
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	_, perr := program(ctx, cfg, "PostgreSQL", "postgresql", "initdb", debianBin)
	_, rerr := program(ctx, cfg, "Redis", "redis-server", "redis-server")
	_, _, kerr := kafkaPrograms(ctx, cfg)
	errs := []error{perr, rerr, kerr}
	if cfg.Jaeger {
		_, jerr := jaegerProgram(ctx, cfg)
		errs = append(errs, jerr)
	}
	return errors.Join(errs...)
}

// complete fills in what was left out and makes the folders.
func (cfg Config) complete() (Config, error) {
	if cfg.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return cfg, fmt.Errorf("folder for fetched programs: %w: set XDG_CACHE_HOME", err)
		}
		cfg.Cache = filepath.Join(dir, "tieout")
	}
	folders := []string{cfg.Cache}
	if cfg.Dir != "" {
		var err error
		if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
			return cfg, err
		}
		folders = append(folders, cfg.Dir, filepath.Join(cfg.Dir, "pids"), filepath.Join(cfg.Dir, "logs"))
	}
	for _, dir := range folders {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return cfg, fmt.Errorf("folder of the parts: %w", err)
		}
	}
	return cfg, nil
}

// Start fetches what is missing and starts everything. After an error nothing
// is left running.
func Start(ctx context.Context, cfg Config) (*Parts, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := StopLeft(ctx, cfg.Dir); err != nil {
		return nil, err
	}
	p := &Parts{}
	if err := p.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// StartKafka starts the three brokers alone.
func StartKafka(ctx context.Context, cfg Config) (*Kafka, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return startKafka(ctx, cfg)
}

// StartPostgres starts the database alone.
func StartPostgres(ctx context.Context, cfg Config) (*Postgres, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p, err := startPostgres(ctx, cfg)
	if err != nil && p != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, err
}

func (p *Parts) start(ctx context.Context, cfg Config) error {
	steps := []struct {
		name string
		do   func(context.Context, Config) error
	}{
		{"PostgreSQL", func(ctx context.Context, cfg Config) (err error) {
			p.Postgres, err = startPostgres(ctx, cfg)
			return err
		}},
		{"Redis", func(ctx context.Context, cfg Config) (err error) { p.Redis, err = startRedis(ctx, cfg); return err }},
		{"Apache Kafka, three brokers", func(ctx context.Context, cfg Config) (err error) { p.Kafka, err = startKafka(ctx, cfg); return err }},
		{"Jaeger", func(ctx context.Context, cfg Config) (err error) {
			if cfg.Jaeger {
				p.Jaeger, err = startJaeger(ctx, cfg)
			}
			return err
		}},
	}
	for _, s := range steps {
		from := time.Now()
		if err := s.do(ctx, cfg); err != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
		if s.name != "Jaeger" || cfg.Jaeger {
			cfg.say("%s answers after %s", s.name, time.Since(from).Round(10*time.Millisecond))
		}
	}
	return nil
}

func (cfg Config) say(format string, args ...any) {
	if cfg.Out != nil {
		fmt.Fprintf(cfg.Out, format+"\n", args...)
	}
}

// Stop ends all parts and keeps their data.
func (p *Parts) Stop() error {
	var errs []error
	if p.Jaeger != nil {
		errs = append(errs, p.Jaeger.collector.stop(2*time.Second), p.Jaeger.proc.stop(2*time.Second))
	}
	if p.Kafka != nil {
		errs = append(errs, p.Kafka.Stop())
	}
	if p.Redis != nil {
		errs = append(errs, p.Redis.Stop())
	}
	if p.Postgres != nil {
		errs = append(errs, p.Postgres.Stop())
	}
	return errors.Join(errs...)
}
