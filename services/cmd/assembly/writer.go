package assembly

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/writer"
)

// Writer builds the service that makes documents true in the books. It alone
// refreshes tokens; the others ask it.
func Writer(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, writer.Name, writer.Migrations)
	if err != nil {
		return nil, err
	}
	if s.Seal == nil {
		return nil, errors.New("the writer needs a key that seals credentials")
	}
	seal, err := s.Seal()
	if err != nil {
		return nil, err
	}
	vault := writer.NewVault(p.DB, seal, s.Runtime.Now)
	byAccount := map[string]*connector.Connection{}
	for _, c := range s.Registry.Connections {
		first := s.Secrets[c.ID]
		tokens := vault.Tokens(c.ID, connector.Grant{Access: connector.Secret(first["access_token"]), Refresh: connector.Secret(first["refresh_token"])})
		conn, err := s.open(p, c, tokens)
		if err != nil {
			return nil, err
		}
		tokens.Refresher = conn.RefreshToken
		byAccount[c.Account] = conn
	}
	w, err := writer.New(writer.Deps{
		DB: p.DB, Bus: p.Bus, Registry: s.Registry, Connections: byAccount, Vault: vault, Takers: s.takers(), Others: s.others(), SecondPerson: s.SecondPerson,
		Partitions: s.Runtime.Partitions, Tracer: p.Tracer, Meter: p.Meter, Log: p.Log, Now: s.Runtime.Now, Instance: s.Runtime.Instance, Version: s.Runtime.Version,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: writer.Name, Run: w.Run},
		Register: func(r grpc.ServiceRegistrar) { controlv1.RegisterWriterServiceServer(r, w.Server()) },
		Prepare:  func(ctx context.Context) error { return setUp(ctx, byAccount) },
	}, nil
}

// setUp makes each vendor's account ready: the fields that we write to.
func setUp(ctx context.Context, byAccount map[string]*connector.Connection) error {
	var errs []error
	for account, c := range byAccount {
		if c.Setup == nil {
			continue
		}
		if err := c.Setup(ctx); err != nil {
			errs = append(errs, fmt.Errorf("prepare %s: %w", account, err))
		}
	}
	return errors.Join(errs...)
}
