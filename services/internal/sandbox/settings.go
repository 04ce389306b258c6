package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Settings are how a sandbox behaves beyond its vendor's defaults. They
// survive a restart, a reset and a restore.
type Settings struct {
	Preset         string         `json:"preset"` // of the next reset
	Seed           int64          `json:"seed"`
	LongestRequest Duration       `json:"longest_request"`
	SearchLag      Duration       `json:"search_lag"`
	KeyLife        Duration       `json:"key_life"`
	Limits         map[string]int `json:"limits"`
	Webhooks       Webhooks       `json:"webhooks"`

	Vendor map[string]json.RawMessage `json:"vendor,omitempty"`
}

// Webhooks are how deliveries go wrong.
type Webhooks struct {
	Target    string  `json:"target"`
	Deliver   bool    `json:"deliver"`
	Duplicate float64 `json:"duplicate"`
	Shuffle   bool    `json:"shuffle"`
	Drop      float64 `json:"drop"`
	Seed      int64   `json:"seed"`
}

func defaultSettings(cfg Config) Settings {
	return Settings{
		Preset: cfg.Preset, Seed: cfg.Seed, Limits: map[string]int{},
		LongestRequest: Duration(3 * time.Second), KeyLife: Duration(24 * time.Hour),
		Webhooks: Webhooks{Target: cfg.WebhookTarget, Deliver: true, Seed: cfg.Seed},
		Vendor:   map[string]json.RawMessage{},
	}
}

// with is the settings with the keys of body laid over; keys the engine does
// not know are the vendor's.
func (s Settings) with(body []byte) (Settings, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return s, fmt.Errorf("settings are a JSON object: %w", err)
	}
	s.Limits, s.Vendor = maps.Clone(s.Limits), maps.Clone(s.Vendor)
	into := map[string]any{
		"preset": &s.Preset, "seed": &s.Seed, "longest_request": &s.LongestRequest,
		"search_lag": &s.SearchLag, "key_life": &s.KeyLife, "limits": &s.Limits, "webhooks": &s.Webhooks,
	}
	for key, raw := range keys {
		field, ok := into[key]
		if !ok {
			s.Vendor[key] = raw
			continue
		}
		if err := strict(raw, field); err != nil {
			return s, fmt.Errorf("setting %s: %w", key, err)
		}
	}
	return s, s.Webhooks.check()
}

func (w Webhooks) check() error {
	if w.Duplicate < 0 || w.Duplicate > 1 || w.Drop < 0 || w.Drop > 1 {
		return errors.New("setting webhooks: duplicate and drop are between 0 and 1")
	}
	return nil
}

// flat is what a person reads: the vendor's keys beside the engine's.
func (s Settings) flat() (map[string]json.RawMessage, error) {
	own := s
	own.Vendor = nil
	raw, err := json.Marshal(own)
	if err != nil {
		return nil, err
	}
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	maps.Copy(out, s.Vendor)
	return out, nil
}

// strict decodes JSON and refuses fields the value does not have.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}
