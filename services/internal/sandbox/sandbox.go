package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// bodyMax bounds a request's body.
const bodyMax = 16 << 20

// Config is what a sandbox is made of.
type Config struct {
	Dir           string // "" keeps the world in memory only
	Name          string // of its files in Dir: the system
	Preset        string // which fresh account Seed makes
	Seed          int64  // of every random choice
	WebhookTarget string
	Clock         Clock             // nil: the wall clock
	HTTP          http.RoundTripper // carries webhooks; nil: the ordinary way
	Log           *slog.Logger      // nil: silent
}

// Sandbox is one vendor account as an http.Handler.
type Sandbox struct {
	cfg    Config
	vendor Vendor
	clock  Clock
	log    *slog.Logger

	mu        sync.Mutex // guards everything below
	world     *world
	requests  requestLog
	faults    faults
	limits    limits
	settings  Settings
	snapshots map[string][]byte // without Dir
	n         int64
	need      int64 // journal position a request must see on disk before it answers
	failed    error // the journal's; the account has stopped

	journal *journal
	postman *postman
	control http.Handler
	ctx     context.Context // ends with Close: late commits, hangs and webhooks stop
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New opens the account in cfg.Dir, or makes a fresh one there. Close ends it.
func New(cfg Config, v Vendor) (*Sandbox, error) {
	s := &Sandbox{cfg: cfg, vendor: v, clock: cfg.Clock, log: cfg.Log, snapshots: map[string][]byte{},
		world: newWorld(), requests: newRequestLog(), limits: newLimits(v), settings: defaultSettings(cfg)}
	if s.clock == nil {
		s.clock = wallClock{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.control = s.controls()
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.stop()
		return nil, errors.Join(err, s.journal.close())
	}
	if o, ok := v.(Opener); ok {
		s.View(o.Opened)
	}
	if n, ok := v.(Notifier); ok {
		s.postman = newPostman(n, cfg, s.clock, s.log, s.settings.Webhooks.Seed)
		s.running.Go(func() { s.postman.run(s.ctx, s.shuffled) })
	}
	return s, nil
}

// open replays the journal and seeds an empty world.
func (s *Sandbox) open() error {
	if err := s.checkPreset(s.cfg.Preset); err != nil { // before there is a file
		return err
	}
	fresh := true
	if s.cfg.Dir != "" {
		j, err := openJournal(filepath.Join(s.cfg.Dir, s.cfg.Name+".jsonl"), func(l *line) error {
			fresh = false
			return s.replay(l)
		})
		if err != nil {
			return err
		}
		s.journal = j
	}
	s.n = s.requests.last()
	if err := s.configure(s.settings); err != nil {
		return fmt.Errorf("sandbox settings: %w", err)
	}
	if !fresh {
		return nil
	}
	return s.seed()
}

// worldFact is which fresh world the present one was once.
const worldFact = "_world"

// seed fills the present world and makes it durable.
func (s *Sandbox) seed() error {
	tx := s.world.begin(0, s.now())
	if err := s.vendor.Seed(tx, s.settings.Preset); err != nil {
		return fmt.Errorf("sandbox seed %q: %w", s.settings.Preset, err)
	}
	tx.SetFact(worldFact, s.settings.Preset)
	tx.apply()
	d := s.world.dump()
	if err := s.append(&line{World: &d, Preset: s.settings.Preset}, true); err != nil {
		return err
	}
	return s.journal.sync(s.need)
}

func (s *Sandbox) replay(l *line) error {
	if l.World != nil {
		s.world = l.World.load(l.World.Facts)
	}
	if l.Preset != "" {
		s.settings.Preset = l.Preset
	}
	if l.Settings != nil {
		s.settings = *l.Settings
	}
	for _, w := range l.Objects {
		if err := s.world.replay(w); err != nil {
			return err
		}
	}
	for k, v := range l.Facts {
		s.world.setFact(k, v)
	}
	if l.Forget {
		s.world.keys = newKeyring()
	}
	for _, k := range l.Keys {
		s.world.keys.add(k)
	}
	if l.Faults != nil {
		s.faults.load(l.Faults)
	}
	s.faults.replay(l.Counts)
	if l.Record != nil {
		s.requests.add(l.Record)
	}
	return nil
}

// now is the account's moment: UTC, whole milliseconds, as JSON carries it.
func (s *Sandbox) now() time.Time { return s.clock.Now().UTC().Truncate(time.Millisecond) }

func (s *Sandbox) append(l *line, durable bool) error {
	at, err := s.journal.append(l)
	if err != nil {
		s.failed = err
		return err
	}
	if durable {
		s.need = at
	}
	return nil
}

// View reads the world between two requests.
func (s *Sandbox) View(read func(tx *Tx)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	read(s.world.begin(s.n, s.now()))
}

// Close stops webhooks and late commits and closes the files. What was
// answered is on disk already.
func (s *Sandbox) Close() error {
	s.stop()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = errors.New("sandbox closed")
		return s.journal.close()
	}
	return nil
}

func (s *Sandbox) shuffled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings.Webhooks.Shuffle
}

// configure brings settings into force, all or none.
func (s *Sandbox) configure(next Settings) error {
	if err := s.limits.check(next.Limits); err != nil {
		return err
	}
	if err := s.checkPreset(next.Preset); err != nil {
		return err
	}
	v, own := s.vendor.(Configurer)
	var names []string
	if own {
		names = v.Settings()
	}
	for key := range next.Vendor {
		if !slices.Contains(names, key) {
			return unknown("setting", key, slices.Concat(names, slices.Collect(maps.Keys(settingHints()))))
		}
	}
	if own {
		if err := v.Configure(next.Vendor); err != nil {
			return err
		}
	}
	s.limits.configure(next.Limits)
	s.faults.seed = next.Seed
	s.settings = next
	return nil
}

func (s *Sandbox) checkPreset(name string) error {
	v, ok := s.vendor.(Presetter)
	if !ok || slices.Contains(v.Presets(), name) {
		return nil
	}
	return unknown("preset", name, v.Presets())
}

// ServeHTTP answers the vendor's paths, and /_sandbox/ to this machine only.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	if strings.HasPrefix(hr.URL.Path, "/_sandbox/") {
		s.control.ServeHTTP(w, hr)
		return
	}
	if body, ok := readBody(w, hr); ok {
		s.serveVendor(w, hr, requestOf(hr, body))
	}
}

// readBody reads a request's body, or answers why it does not.
func readBody(w http.ResponseWriter, hr *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, bodyMax))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusRequestEntityTooLarge)
	}
	return body, err == nil
}

func requestOf(hr *http.Request, body []byte) *Request {
	return &Request{Method: hr.Method, Path: hr.URL.Path, Query: hr.URL.Query(), Header: hr.Header, Body: body, Host: hr.Host}
}

func (s *Sandbox) serveVendor(w http.ResponseWriter, hr *http.Request, r *Request) {
	t := s.take(r, hr.URL.RawQuery)
	s.answer(w, hr, t)
}

// settingsJSON is the body of GET settings. A preset that another world is still
// in force against is said: records are not moved to another country.
func (s *Sandbox) settingsJSON() (map[string]json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.settings.flat()
	if now := s.world.begin(s.n, s.now()).Fact(worldFact); err == nil && now != "" && now != s.settings.Preset {
		out[noteKey], err = json.Marshal("preset " + s.settings.Preset + " holds from the next POST reset on; until then the world is " + now)
	}
	return out, err
}

// noteKey stands in answers beside the settings, and means nothing in a request.
const noteKey = "note"
