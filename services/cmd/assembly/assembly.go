// Package assembly builds each of the five services from what it runs on, the
// installation and the addresses of the others. It is the only way: one process
// with everything in it and five processes differ in the addresses alone.
package assembly

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/connectors"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer"
)

// Site is where a service is built.
type Site struct {
	Runtime  *run.Runtime
	Registry *registry.Registry
	// Secrets of the connections, by connection and name.
	Secrets map[string]map[string]string
	Peers   Peers
	// Seal opens the keys that seal credentials; the writer asks for it.
	Seal func() (*writer.Seal, error)
	// APIKey is what callers of ingest's HTTP API show.
	APIKey string
	// ReconcileEvery is how often the running month is reconciled.
	ReconcileEvery time.Duration
	// SecondPerson: what changes the books, or gives up on a record, takes two.
	SecondPerson bool
	// Notices say how people are told of exceptions; audit asks for them.
	Notices audit.Notices
	// Alone says that no other process uses the databases: leases that are left
	// in them are a dead predecessor's.
	Alone bool
}

// Peers are the connections to the others' control planes.
type Peers struct {
	Ingest, Transform, Writer, Reconciler, Audit grpc.ClientConnInterface
}

// Built is a service that was built and does not run yet.
type Built struct {
	Service  run.Service
	Register func(grpc.ServiceRegistrar)
	// Handler serves HTTP, if the service does.
	Handler http.Handler
	// Prepare makes the vendors' side ready; it may fail for as long as a vendor
	// is away, and be tried again. Nil if there is nothing to do.
	Prepare func(ctx context.Context) error
}

// Builder builds one service.
type Builder func(ctx context.Context, s *Site) (*Built, error)

// parts opens a service's parts.
func (s *Site) parts(ctx context.Context, service string, migrations fs.FS) (*run.Parts, error) {
	p, err := s.Runtime.Parts(ctx, service, migrations)
	if err != nil {
		return nil, err
	}
	for _, c := range s.Registry.Connections {
		p.Meter.Know("connection", c.ID)
		p.Meter.Know("system", c.System)
	}
	if s.Alone {
		return p, p.DB.DropLeases(ctx)
	}
	return p, nil
}

// open makes a connection of its own for the service that asks.
func (s *Site) open(p *run.Parts, c registry.Connection, tokens connector.Tokens) (*connector.Connection, error) {
	spec, ok := connectors.All()[c.System]
	if !ok {
		return nil, fmt.Errorf("connection %s: there is no connector for %q", c.ID, c.System)
	}
	secrets := map[string]connector.Secret{}
	for name, v := range s.Secrets[c.ID] {
		secrets[name] = connector.Secret(v)
	}
	conn, err := spec.Open(connector.Config{
		Connection: c.ID, Account: c.Account, BaseURL: c.BaseURL, Settings: c.Settings, Tokens: tokens, Now: s.Runtime.Now, Log: p.Log, Secrets: secrets,
		HTTP: s.Runtime.HTTP,
	})
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.ID, err)
	}
	return conn, nil
}

// remote makes the connections of a service that asks the writer for tokens.
func (s *Site) remote(p *run.Parts) (map[string]*connector.Connection, error) {
	client := controlv1.NewWriterServiceClient(s.Peers.Writer)
	out := map[string]*connector.Connection{}
	for _, c := range s.Registry.Connections {
		conn, err := s.open(p, c, control.NewTokens(client, c.ID))
		if err != nil {
			return nil, err
		}
		out[c.ID] = conn
	}
	return out, nil
}

// takers are the consumers of the trail.
func (s *Site) takers() map[string]trail.AskHeads {
	in, au, re := controlv1.NewIngestServiceClient(s.Peers.Ingest), controlv1.NewAuditServiceClient(s.Peers.Audit), controlv1.NewReconcilerServiceClient(s.Peers.Reconciler)
	return map[string]trail.AskHeads{
		"ingest": control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return in.StreamHeads(ctx, r)
		}),
		"audit": control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return au.StreamHeads(ctx, r)
		}),
		"reconciler": control.AskHeads(func(ctx context.Context, r *controlv1.StreamHeadsRequest) (*controlv1.StreamHeadsResponse, error) {
			return re.StreamHeads(ctx, r)
		}),
	}
}
