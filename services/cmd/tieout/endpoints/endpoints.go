// Package endpoints is endpoints.json: where everything of a running state
// folder answers, and the tokens for it. Names here are promises: add, never
// rename.
package endpoints

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Name of the file in the state folder.
const Name = "endpoints.json"

// File is the content.
type File struct {
	Version   int                `json:"version"`
	State     string             `json:"state"`
	PID       int                `json:"pid"`
	Services  map[string]Service `json:"services"`
	Control   Control            `json:"control"`
	Console   string             `json:"console,omitempty"`
	API       *API               `json:"api,omitempty"`
	Kafka     []string           `json:"kafka,omitempty"`
	Redis     string             `json:"redis,omitempty"`
	OTLP      string             `json:"otlp,omitempty"`
	Postgres  string             `json:"postgres,omitempty"`
	Jaeger    string             `json:"jaeger,omitempty"`
	Entities  []Entity           `json:"entities"`
	Sandboxes map[string]Sandbox `json:"sandboxes,omitempty"`
}

// Service is one of the five.
type Service struct {
	PID  int    `json:"pid"`
	GRPC string `json:"grpc,omitempty"`
	HTTP string `json:"http,omitempty"`
	// Metrics is where /livez, /readyz and /metrics are.
	Metrics string `json:"metrics,omitempty"`
}

// Control is the address that routes to every service.
type Control struct {
	Address string `json:"address"`
	Token   string `json:"token"`
}

// API is ingest's HTTP address and the key for it.
type API struct {
	BaseURL string `json:"base_url"`
	Key     string `json:"key"`
}

// Entity is a fiscal entity.
type Entity struct {
	ID       string `json:"id"`
	Currency string `json:"currency"`
}

// Sandbox is a vendor's stand-in; what a vendor does not have is left out.
type Sandbox struct {
	Connection    string `json:"connection"`
	Account       string `json:"account"`
	BaseURL       string `json:"base_url"`
	AccessToken   string `json:"access_token,omitempty"`
	ReaderToken   string `json:"reader_token,omitempty"`
	AppSecret     string `json:"app_secret,omitempty"`
	RealmID       string `json:"realm_id,omitempty"`
	ClientID      string `json:"client_id,omitempty"`
	ClientSecret  string `json:"client_secret,omitempty"`
	RefreshToken  string `json:"refresh_token,omitempty"`
	VerifierToken string `json:"verifier_token,omitempty"`
}

// Write puts the file in place whole or not at all, for its owner alone.
func Write(dir string, f *File) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, Name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", Name, err)
	}
	_, werr := tmp.Write(append(b, '\n'))
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", Name, err), os.Remove(tmp.Name()))
	}
	return os.Rename(tmp.Name(), filepath.Join(dir, Name))
}

// Read returns the file of a state folder.
func Read(dir string) (*File, error) {
	b, err := os.ReadFile(filepath.Join(dir, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nothing runs on %s: start it with 'make run', or name another folder with --dir", dir)
	}
	if err != nil {
		return nil, err
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, Name), err)
	}
	return &f, nil
}

// Remove takes the file away; none there is fine.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
