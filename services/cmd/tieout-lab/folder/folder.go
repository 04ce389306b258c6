// Package folder opens the state folder of `tieout dev` or `tieout-lab up` to
// be looked at, whether its processes run or not.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/internal/embedded"
	"tieout.dev/services/internal/lab/verify"
	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/store"
)

// Folder is an opened state folder.
type Folder struct {
	Sources verify.Sources

	closers []func() error
}

// Open finds what runs on a folder, or starts what keeps its records for as
// long as they are looked at: no service, so that nothing is worked off.
func Open(ctx context.Context, dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{Sources: verify.Sources{Vendors: map[string]string{}, Now: time.Now}}
	if _, err := os.Stat(filepath.Join(dir, endpoints.Name)); err == nil {
		file, err := endpoints.Read(dir)
		if err != nil {
			return nil, err
		}
		if syscall.Kill(file.PID, 0) == nil { // else it was killed, and left the file behind
			f.running(dir, file)
			return f, nil
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "sandbox")); err != nil {
		return nil, fmt.Errorf("%s is no state folder: name one that 'tieout dev' or 'make up' has used", dir)
	}
	if err := f.stopped(ctx, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close ends what was started to look.
func (f *Folder) Close() error {
	var errs []error
	for i := len(f.closers) - 1; i >= 0; i-- {
		errs = append(errs, f.closers[i]())
	}
	f.closers = nil
	return errors.Join(errs...)
}

func (f *Folder) running(dir string, file *endpoints.File) {
	f.Sources.Running, f.Sources.Kafka, f.Sources.Open = true, file.Kafka, files(dir)
	if file.Postgres != "" {
		f.Sources.Open = schemas(file.Postgres)
	}
	for _, sb := range file.Sandboxes {
		f.Sources.Vendors[sb.Account] = sb.BaseURL
	}
}

func files(dir string) func(context.Context, string) (*store.DB, error) {
	return func(ctx context.Context, service string) (*store.DB, error) {
		return store.OpenReadOnly(ctx, store.Config{Name: service, Path: filepath.Join(dir, service+".db"), Clock: time.Now})
	}
}

func schemas(url string) func(context.Context, string) (*store.DB, error) {
	return func(ctx context.Context, service string) (*store.DB, error) {
		return store.OpenReadOnly(ctx, store.Config{Name: service, URL: url, Clock: time.Now})
	}
}

func (f *Folder) stopped(ctx context.Context, dir string) error {
	w, err := world.Open(world.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Listen: loopback(ctx)})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, w.Close)
	for _, sb := range w.Sandboxes {
		f.Sources.Vendors[sb.Account] = sb.BaseURL
	}
	if _, err := os.Stat(filepath.Join(dir, "parts", "postgres.password")); err == nil {
		return f.realParts(ctx, filepath.Join(dir, "parts"))
	}
	broker, err := embedded.Start(ctx, embedded.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, broker.Close)
	f.Sources.Kafka, f.Sources.Open = broker.Kafka, files(dir)
	return nil
}

// realParts starts PostgreSQL and the brokers on their data.
func (f *Folder) realParts(ctx context.Context, dir string) error {
	pg, err := parts.StartPostgres(ctx, parts.Config{Dir: dir})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, pg.Stop)
	kafka, err := parts.StartKafka(ctx, parts.Config{Dir: dir})
	if err != nil {
		return err
	}
	f.closers = append(f.closers, kafka.Stop)
	f.Sources.Kafka, f.Sources.Open = kafka.Brokers, schemas(pg.URLWithPassword())
	return nil
}

func loopback(ctx context.Context) func(string) (net.Listener, error) {
	return func(string) (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	}
}
