package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// connectionApp is the sandboxes' name of the app that the connection uses; all
// others are people.
const connectionApp = "app"

// readAccount asks a sandbox for everything with its history, and for who made
// which request.
func readAccount(ctx context.Context, url string) (*Account, error) {
	a := &Account{Ours: map[int64]bool{}}
	raw, err := get(ctx, url+"/_sandbox/export")
	if err != nil {
		return nil, err
	}
	var export struct {
		Objects []struct {
			Type, ID string
			Deleted  bool
			Versions []Version
		}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // amounts are compared to the cent
	if err := d.Decode(&export); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	for _, o := range export.Objects {
		if len(o.Versions) == 0 {
			return nil, fmt.Errorf("export: %s/%s has no version", o.Type, o.ID)
		}
		if o.Type == "creditmemo" {
			o.Type = "credit_note" // as refs say it
		}
		a.Objects = append(a.Objects, &Object{Type: o.Type, ID: o.ID, Deleted: o.Deleted, Versions: o.Versions})
	}
	return a, a.readRequests(ctx, url)
}

func (a *Account) readRequests(ctx context.Context, url string) error {
	raw, err := get(ctx, url+"/_sandbox/requests")
	if err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(raw)); d.More(); {
		var line struct {
			N   int64
			App string
		}
		if err := d.Decode(&line); err != nil {
			return fmt.Errorf("requests: %w", err)
		}
		if line.App == connectionApp {
			a.Ours[line.N] = true
		}
	}
	return nil
}

func get(ctx context.Context, url string) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return raw, err
}
