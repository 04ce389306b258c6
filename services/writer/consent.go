package writer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/registry"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
	"tieout.dev/services/writer/protocol"
)

const (
	// consentLife is how long a person may take at the vendor's page.
	consentLife = 30 * time.Minute
	// vendorPatience bounds what one call of a person may take at a vendor.
	vendorPatience = 2 * time.Minute
)

// connection is one that this writer holds, with its configuration.
func (s *Server) connection(id string) (registry.Connection, *connector.Connection, error) {
	c, ok := s.w.deps.Registry.Connection(id)
	if !ok {
		return c, nil, status.Errorf(codes.NotFound, "there is no connection %s", id)
	}
	conn := s.w.deps.Connections[c.Account]
	if conn == nil {
		return c, nil, status.Errorf(codes.FailedPrecondition, "connection %s is not opened by this writer", id)
	}
	return c, conn, nil
}

// BeginConsent returns the vendor's page where a person lets Tieout in.
func (s *Server) BeginConsent(ctx context.Context, r *controlv1.BeginConsentRequest) (*controlv1.BeginConsentResponse, error) {
	c, conn, err := s.connection(r.GetConnection())
	if err != nil {
		return nil, err
	}
	if conn.Consent == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "connection %s has no app that a person could let in: configure its client_id and secret", c.ID)
	}
	if err := checkRedirect(r.GetRedirectUri()); err != nil {
		return nil, err
	}
	state := rand.Text()
	var ends int64
	err = s.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		ends = tx.Now() + consentLife.Microseconds()
		_, err := tx.Exec(`INSERT INTO consent (connection, state, redirect_uri, actor, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (connection) DO UPDATE SET state = $2, redirect_uri = $3, actor = $4, created_at = $5`,
			c.ID, stateDigest(state), r.GetRedirectUri(), r.GetActor(), tx.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.BeginConsentResponse{Url: conn.Consent.URL(r.GetRedirectUri(), state), State: state, Account: c.Account, Expires: stamp(ends)}, nil
}

func stateDigest(state string) string { return event.Digest("consent/v1", state) }

// checkRedirect: a code in the clear may only travel on this machine (RFC 8252, 7.3).
func checkRedirect(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return status.Errorf(codes.InvalidArgument, "redirect %q is not an address such as http://127.0.0.1:8765/callback", address)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return status.Errorf(codes.InvalidArgument, "redirect %q must be https, or http on this machine", address)
	}
	return nil
}

// FinishConsent stores what a person granted and lets what waited go on. What
// was granted before stays until then: a consent that fails changes nothing.
func (s *Server) FinishConsent(ctx context.Context, r *controlv1.FinishConsentRequest) (*controlv1.FinishConsentResponse, error) {
	c, conn, err := s.connection(r.GetConnection())
	if err != nil {
		return nil, err
	}
	tokens, ok := s.w.deps.Vault.of(c.ID)
	if !ok || conn.Consent == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "connection %s takes no consent", c.ID)
	}
	redirect, err := s.takeConsent(ctx, c.ID, r.GetState())
	if err != nil {
		return nil, err
	}
	if why := r.GetParams()["error"]; why != "" || r.GetCode() == "" {
		return nil, status.Errorf(codes.FailedPrecondition, "the vendor gave no consent: %s", strings.TrimSpace(why+" "+r.GetParams()["error_description"]))
	}
	asked, cancel := context.WithTimeout(ctx, vendorPatience)
	defer cancel()
	granted, err := conn.Consent.Trade(asked, connector.ConsentAnswer{Code: connector.Secret(r.GetCode()), Redirect: redirect, Params: r.GetParams()})
	if err != nil {
		return nil, consentRefused(err)
	}
	if granted.Account != c.Account {
		return nil, status.Errorf(codes.FailedPrecondition, "the consent is for %s and connection %s is bound to %s", granted.Account, c.ID, c.Account)
	}
	out := &controlv1.FinishConsentResponse{
		Account: granted.Account, Scopes: granted.Scopes,
		AccessExpires: stamp(store.Micros(granted.Grant.Expires)), GrantExpires: stamp(store.Micros(granted.Grant.RefreshExpires)),
	}
	// the vendor has ended the old grant: what it gave is kept, whoever still waits for the answer
	err = tokens.Replace(context.WithoutCancel(ctx), granted.Grant, func(tx *store.Tx) error {
		paused, err := s.authorized(tx, c, granted, r.GetActor())
		out.WasPaused = paused
		return err
	})
	if err != nil {
		return nil, err
	}
	s.w.relay.Wake()
	s.w.wakeOwner(c.Account)
	return out, nil
}

// takeConsent ends the consent that was begun, and returns where it led.
func (s *Server) takeConsent(ctx context.Context, connection, state string) (string, error) {
	var redirect string
	var began int64
	err := s.w.deps.DB.Write(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`DELETE FROM consent WHERE connection = $1 AND state = $2 RETURNING redirect_uri, created_at`, connection, stateDigest(state)).Scan(&redirect, &began)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", status.Errorf(codes.FailedPrecondition, "no consent of %s with this state was begun, or it has been finished: begin again", connection)
	case err != nil:
		return "", err
	case s.w.deps.Now().Sub(store.Time(began)) > consentLife:
		return "", status.Errorf(codes.FailedPrecondition, "the consent of %s took longer than %s: begin again", connection, consentLife)
	}
	return redirect, nil
}

func consentRefused(err error) error {
	f := fault.As(err)
	if f.Kind == fault.Rejected {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return status.Error(codes.Aborted, err.Error()+": begin again")
}

// authorized writes down who let us in, and has a target that stands for want
// of it probed now. One that a person paused stays so.
func (s *Server) authorized(tx *store.Tx, c registry.Connection, g connector.Granted, actor string) (paused bool, err error) {
	if err := s.w.appendFacts(tx, trail.Fact{
		Type: "connection.authorized", Tenant: c.Tenant, Target: c.Account, Actor: actor, Outcome: "authorized", Detail: strings.Join(g.Scopes, " "),
	}); err != nil {
		return false, err
	}
	if err := s.w.checkGrant(tx, c); err != nil { // what was said about the end of the grant before
		return false, err
	}
	var state, alert string
	err = tx.QueryRow(`SELECT state, alert FROM target WHERE target = $1`, c.Account).Scan(&state, &alert)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (state != "paused" || alert == "") {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id := event.Digest("command/v1", c.Account, "authorized", alert, actor, store.Time(tx.Now()).String())[:24]
	_, err = tx.Exec(`INSERT INTO command (id, target, exception, lane, seq, action, actor, reason, state, created_at) VALUES ($1, $2, $3, '', 0, $4, $5, $6, 'waiting', $7) ON CONFLICT (id) DO NOTHING`,
		id, c.Account, alert, protocol.Retry, actor, "the connection was authorized again", tx.Now())
	return true, err
}
