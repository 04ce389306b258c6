package assembly

import (
	"context"
	"time"

	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/audit/notify"
	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/run"
)

// Audit builds the service that keeps the trail.
func Audit(ctx context.Context, s *Site) (*Built, error) {
	p, err := s.parts(ctx, audit.Name, audit.Migrations)
	if err != nil {
		return nil, err
	}
	a, err := audit.New(audit.Deps{
		DB: p.DB, Bus: p.Bus, Registry: s.Registry, Tracer: p.Tracer, Meter: p.Meter, Log: p.Log, Now: s.Runtime.Now, Instance: s.Runtime.Instance, Version: s.Runtime.Version,
		Notices: s.Notices,
	})
	if err != nil {
		return nil, err
	}
	return &Built{
		Service:  run.Service{Name: audit.Name, Run: a.Run},
		Register: func(r grpc.ServiceRegistrar) { controlv1.RegisterAuditServiceServer(r, a.Server()) },
	}, nil
}

// notices are the channels that the configuration names.
func notices(c config.Notify, now func() time.Time) (audit.Notices, error) {
	channels, err := notify.Config{
		WebhookURL: c.WebhookURL, WebhookSecret: c.WebhookSecret, SMTPAddress: c.SMTPAddress, SMTPUser: c.SMTPUser, SMTPPassword: c.SMTPPassword,
		SMTPPlain: c.SMTPPlain, From: c.From, To: c.To, Console: c.Console,
	}.Channels(now)
	return audit.Notices{Channels: channels, Wait: c.Wait, Every: c.Every, Console: c.Console, Runbook: c.Runbook}, err
}
