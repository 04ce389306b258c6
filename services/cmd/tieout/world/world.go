// Package world is what Tieout is tried on: sandboxes of both vendors, and the
// installation that leads from one to the other.
package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"tieout.dev/services/cmd/tieout/endpoints"
	hubspotsandbox "tieout.dev/services/connectors/hubspot/sandbox"
	quickbookssandbox "tieout.dev/services/connectors/quickbooks/sandbox"
)

// Config says where the sandboxes live.
type Config struct {
	Dir string // their memory
	Log *slog.Logger
	// WebhookURL is where the CRM's webhooks go.
	WebhookURL string
	// Listen opens the address of a sandbox by its name.
	Listen func(name string) (net.Listener, error)
	// HTTP carries webhooks and settings; nil is the ordinary way.
	HTTP http.RoundTripper
}

// World are the running sandboxes.
type World struct {
	// Sandboxes by system.
	Sandboxes map[string]endpoints.Sandbox

	cfg     Config
	portal  *hubspotsandbox.Portal
	books   *quickbookssandbox.Sandbox
	urls    map[string]string
	servers []*http.Server
	serving sync.WaitGroup
}

// Start opens the vendors' stand-ins. They are companies that do not forget:
// what they acknowledged is on disk, also when this process is killed.
func Start(ctx context.Context, cfg Config) (*World, error) {
	w, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	err = w.settings(ctx, "hubspot", fmt.Sprintf(`{"webhooks":{"target":%q}}`, w.cfg.WebhookURL))
	if err == nil {
		err = w.settings(ctx, "quickbooks", `{"multicurrency":true}`)
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Open opens them as they are, to be looked at; nothing is set.
func Open(cfg Config) (*World, error) {
	w := &World{cfg: cfg, urls: map[string]string{}, Sandboxes: map[string]endpoints.Sandbox{}}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) open() (err error) {
	dir := filepath.Join(w.cfg.Dir, "sandbox")
	if w.portal, err = hubspotsandbox.New(hubspotsandbox.Config{Dir: dir, HTTP: w.cfg.HTTP, Log: w.cfg.Log.With("sandbox", "hubspot")}); err != nil {
		return err
	}
	if w.books, err = quickbookssandbox.New(quickbookssandbox.Config{Dir: dir, HTTP: w.cfg.HTTP, Preset: "IE", Log: w.cfg.Log.With("sandbox", "quickbooks")}); err != nil {
		return err
	}
	for name, h := range map[string]http.Handler{"hubspot": w.portal, "quickbooks": w.books} {
		l, err := w.cfg.Listen(name)
		if err != nil {
			return err
		}
		w.serve(name, l, h)
	}
	w.describe()
	return nil
}

func (w *World) serve(name string, l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	w.servers = append(w.servers, srv)
	w.urls[name] = "http://" + l.Addr().String()
	w.serving.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			w.cfg.Log.Error("a sandbox is no longer served", "sandbox", name, "error", err)
		}
	})
}

// Close ends the sandboxes; they remember everything.
func (w *World) Close() error {
	var errs []error
	for _, srv := range w.servers {
		errs = append(errs, srv.Close())
	}
	w.serving.Wait()
	if w.books != nil {
		errs = append(errs, w.books.Close())
	}
	if w.portal != nil {
		errs = append(errs, w.portal.Close())
	}
	return errors.Join(errs...)
}

func (w *World) describe() {
	c := w.books.Credentials()
	w.Sandboxes["hubspot"] = endpoints.Sandbox{
		Connection: "crm", Account: w.portal.Account, BaseURL: w.urls["hubspot"], AccessToken: w.portal.AccessToken,
		ReaderToken: w.portal.ReaderToken, AppSecret: w.portal.AppSecret, ClientID: w.portal.ClientID, RefreshToken: w.portal.RefreshToken,
	}
	w.Sandboxes["quickbooks"] = endpoints.Sandbox{
		Connection: "books", Account: "quickbooks/" + c.RealmID, BaseURL: w.urls["quickbooks"], RealmID: c.RealmID, ClientID: c.ClientID,
		ClientSecret: c.ClientSecret, AccessToken: c.AccessToken, RefreshToken: c.RefreshToken, ReaderToken: c.ReaderToken, VerifierToken: c.VerifierToken,
	}
}

// settings speaks to a sandbox as anybody on this machine can.
func (w *World) settings(ctx context.Context, name, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.urls[name]+"/_sandbox/settings", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: w.cfg.HTTP}).Do(req)
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
