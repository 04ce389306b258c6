package dev

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"tieout.dev/services/cmd/tieout/endpoints"
	hubspotsandbox "tieout.dev/services/connectors/hubspot/sandbox"
	quickbookssandbox "tieout.dev/services/connectors/quickbooks/sandbox"
)

// startSandboxes opens the vendors' stand-ins. They are companies that do not
// forget: what they acknowledged is on disk, also when this process is killed.
func (s *stack) startSandboxes(ctx context.Context) error {
	var err error
	if s.ingest, err = s.listen("ingest"); err != nil {
		return err
	}
	dir := filepath.Join(s.options.Dir, "sandbox")
	if s.portal, err = hubspotsandbox.New(hubspotsandbox.Config{Dir: dir, Log: s.log.With("sandbox", "hubspot")}); err != nil {
		return err
	}
	s.closing(s.portal.Close)
	if s.books, err = quickbookssandbox.New(quickbookssandbox.Config{Dir: dir, Preset: "IE", Log: s.log.With("sandbox", "quickbooks")}); err != nil {
		return err
	}
	s.closing(s.books.Close)
	s.urls = map[string]string{}
	for name, h := range map[string]http.Handler{"hubspot": s.portal, "quickbooks": s.books} {
		l, err := s.listen(name)
		if err != nil {
			return err
		}
		s.urls[name] = s.serveHTTP(l, h)
	}
	s.describeSandboxes()
	if err := s.settings(ctx, "hubspot", fmt.Sprintf(`{"webhooks":{"target":%q}}`, s.webhookURL())); err != nil {
		return err
	}
	return s.settings(ctx, "quickbooks", `{"multicurrency":true}`)
}

func (s *stack) webhookURL() string {
	return "http://" + s.ingest.Addr().String() + "/webhooks/hubspot"
}

func (s *stack) describeSandboxes() {
	c := s.books.Credentials()
	s.file.Sandboxes["hubspot"] = endpoints.Sandbox{
		Connection: "crm", Account: s.portal.Account, BaseURL: s.urls["hubspot"], AccessToken: s.portal.AccessToken,
		ReaderToken: s.portal.ReaderToken, AppSecret: s.portal.AppSecret, ClientID: s.portal.ClientID, RefreshToken: s.portal.RefreshToken,
	}
	s.file.Sandboxes["quickbooks"] = endpoints.Sandbox{
		Connection: "books", Account: "quickbooks/" + c.RealmID, BaseURL: s.urls["quickbooks"], RealmID: c.RealmID, ClientID: c.ClientID,
		ClientSecret: c.ClientSecret, AccessToken: c.AccessToken, RefreshToken: c.RefreshToken, ReaderToken: c.ReaderToken, VerifierToken: c.VerifierToken,
	}
}

// settings speaks to a sandbox as anybody on this machine can.
func (s *stack) settings(ctx context.Context, name, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[name]+"/_sandbox/settings", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("settings of %s: %w", name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("settings of %s: %s: %s", name, resp.Status, text)
	}
	return nil
}
