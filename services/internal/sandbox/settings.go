package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
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

// settingHints say what the value of each of the engine's settings is.
func settingHints() map[string]string {
	return map[string]string{
		"preset":          "the name of a fresh world, for the next reset",
		"seed":            "a whole number; naming it starts all dice again",
		"longest_request": `a duration such as "3s"`,
		"search_lag":      `a duration such as "10s"`,
		"key_life":        `a duration such as "24h"`,
		"limits":          `counts by name such as {"per_minute":500}; 0 turns one off`,
		"webhooks":        `{"target":"http://…","deliver":true,"duplicate":0.2,"shuffle":true,"drop":0.0,"seed":1}, any of them`,
	}
}

// with is the settings with the keys of body laid over; keys the engine does
// not know are the vendor's.
func (s Settings) with(keys map[string]json.RawMessage) (Settings, error) {
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
		if err := strict(raw, field); err != nil || string(raw) == "null" {
			return s, fmt.Errorf("setting %s is %s, not %s%s", key, settingHints()[key], clip(raw), because(err))
		}
	}
	return s, s.Webhooks.check()
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return " (" + err.Error() + ")"
}

// clip is a value as a message shows it.
func clip(raw []byte) string {
	if len(raw) > 80 {
		return strings.ToValidUTF8(string(raw[:80]), "") + "…"
	}
	return string(raw)
}

// unknown refuses a word and says which ones there are.
func unknown(what, got string, known []string) error {
	list := slices.Sorted(slices.Values(known))
	return fmt.Errorf("unknown %s %q: there are %s", what, got, strings.Join(list, ", "))
}

func (w Webhooks) check() error {
	if w.Duplicate < 0 || w.Duplicate > 1 || w.Drop < 0 || w.Drop > 1 {
		return errors.New("setting webhooks: duplicate and drop are between 0 and 1")
	}
	if u, err := url.Parse(w.Target); w.Target != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("setting webhooks: target is an address such as http://127.0.0.1:8080/hook, or \"\" for none, not %q", w.Target)
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
