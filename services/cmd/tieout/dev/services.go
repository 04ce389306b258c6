package dev

import (
	"context"
	"path/filepath"
	"time"

	"tieout.dev/services/audit"
	"tieout.dev/services/cmd/assembly"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/ingest"
	"tieout.dev/services/reconciler"
	"tieout.dev/services/transform"
	"tieout.dev/services/writer"
)

// reconcileEvery is how often the running month is reconciled here.
const reconcileEvery = 10 * time.Minute

// People are told soon here, so that one who tries it need not wait.
const (
	noticeWait  = 3 * time.Second
	noticeEvery = 30 * time.Second
)

// startServices builds the five and registers them at the one address. Each
// asks the others through it, as it would across processes.
func (s *stack) startServices(ctx context.Context) error {
	reg := s.world.Registry()
	if err := reg.Check(); err != nil {
		return err
	}
	s.file.Entities = []endpoints.Entity{{ID: world.EntityID, Currency: world.Currency}}
	key, err := s.secret("api.key")
	if err != nil {
		return err
	}
	channels, err := s.options.Notify.Channels(time.Now)
	if err != nil {
		return err
	}
	site := &assembly.Site{
		Notices: audit.Notices{Channels: channels, Wait: noticeWait, Every: noticeEvery, Console: s.options.Notify.Console, Runbook: "docs/runbook/"},
		Runtime: s.rt, Registry: reg, Secrets: s.world.Secrets(), APIKey: key, ReconcileEvery: reconcileEvery, Alone: true, // the folder's lock says so
		Peers: assembly.Peers{Ingest: s.conn, Transform: s.conn, Writer: s.conn, Reconciler: s.conn, Audit: s.conn},
		Seal:  func() (*writer.Seal, error) { return writer.MakeSeal(filepath.Join(s.options.Dir, "key")) },
	}
	s.control.Within(reg)
	for _, build := range []assembly.Builder{assembly.Writer, assembly.Ingest, assembly.Transform, assembly.Audit, assembly.Reconciler} {
		b, err := build(ctx, site)
		if err != nil {
			return err
		}
		set, metrics, err := s.rt.Metrics(b.Service.Name)
		if err != nil {
			return err
		}
		b.Register(s.control.Measured(set))
		if err := s.serveStatus(b.Service.Name, set, metrics); err != nil {
			return err
		}
		if b.Prepare != nil {
			if err := b.Prepare(ctx); err != nil {
				return err
			}
		}
		if b.Handler != nil {
			s.file.API = &endpoints.API{BaseURL: s.serveHTTP(s.ingest, b.Handler), Key: key}
		}
		s.services = append(s.services, b.Service)
	}
	for _, name := range []string{ingest.Name, transform.Name, writer.Name, reconciler.Name, audit.Name} {
		e := endpoints.Service{PID: s.file.PID, GRPC: s.file.Control.Address, Metrics: s.metrics[name]}
		if name == ingest.Name {
			e.HTTP = s.ingest.Addr().String()
		}
		s.file.Services[name] = e
	}
	return nil
}
