package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// refused is a control call that was asked wrongly.
type refused struct {
	status int
	text   string
}

func (e refused) Error() string { return e.text }

func bad(format string, a ...any) error {
	return refused{http.StatusBadRequest, fmt.Sprintf(format, a...)}
}

// snapshotName keeps snapshot names inside the folder.
var snapshotName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// controlCalls is what a call that is not there is answered with.
const controlCalls = "POST and GET faults, DELETE faults[/ID], GET requests?since=N, GET export, GET and POST settings, POST reset, POST snapshot, POST restore, GET and POST accounts"

// faultShape is what a fault that cannot be read is answered with.
const faultShape = `a fault is {"match":{"method","path","body_contains","app","nth","probability"},"effect","status","headers","delay","times"}`

// controls are the calls under /_sandbox/.
func (s *Sandbox) controls() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request, body []byte) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answerControl(w, r, f) })
	}
	handle("POST /_sandbox/faults", s.postFault)
	handle("GET /_sandbox/faults", s.getFaults)
	handle("DELETE /_sandbox/faults", s.deleteFault)
	handle("DELETE /_sandbox/faults/{id}", s.deleteFault)
	handle("GET /_sandbox/settings", func(*http.Request, []byte) (any, error) { return s.settingsJSON() })
	handle("POST /_sandbox/settings", s.postSettings)
	handle("POST /_sandbox/reset", s.postReset)
	handle("POST /_sandbox/snapshot", s.postSnapshot)
	handle("POST /_sandbox/restore", s.postRestore)
	handle("GET /_sandbox/export", s.getExport)
	handle("GET /_sandbox/requests", s.getRequests)
	handle("/_sandbox/", func(r *http.Request, _ []byte) (any, error) {
		return nil, refused{http.StatusNotFound, "no control call " + r.Method + " " + r.URL.Path + ": there are " + controlCalls}
	})
	return mux
}

// lines is an answer of one JSON value a line.
type lines []Record

// answerControl answers a control call, to this machine and never to a web page.
func answerControl(w http.ResponseWriter, r *http.Request, f func(*http.Request, []byte) (any, error)) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() || r.Header.Get("Origin") != "" || !localName(r.Host) {
		http.Error(w, `{"error":"control calls are for this machine only: use 127.0.0.1 and no browser page"}`, http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	var out any
	if err == nil {
		out, err = f(r, body)
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	var why refused
	switch {
	case errors.As(err, &why):
		w.WriteHeader(why.status)
		_ = e.Encode(map[string]string{"error": why.text})
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		_ = e.Encode(map[string]string{"error": err.Error()})
	default:
		writeOut(w, e, out)
	}
}

// localName keeps out pages whose own name was pointed at this machine.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func writeOut(w http.ResponseWriter, e *json.Encoder, out any) {
	list, ok := out.(lines)
	if !ok {
		_ = e.Encode(out)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for _, r := range list {
		if e.Encode(r) != nil {
			return
		}
	}
}

func (s *Sandbox) postFault(_ *http.Request, body []byte) (any, error) {
	var f Fault
	if err := strict(body, &f); err != nil {
		return nil, bad("fault: %v; %s", err, faultShape)
	}
	var id string
	return map[string]*string{"id": &id}, s.change(func() error {
		if err := f.check(s.vendorEffects(), time.Duration(s.settings.LongestRequest)); err != nil {
			return bad("fault: %v", err)
		}
		if len(s.faults.rules) >= faultsMax {
			return bad("fault: %d are in force, which is the most: DELETE some", faultsMax)
		}
		id = s.faults.add(f)
		return s.append(&line{Faults: s.faults.stored()}, true)
	})
}

func (s *Sandbox) getFaults(*http.Request, []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []rule{}
	for _, x := range s.faults.rules {
		items = append(items, *x)
	}
	return map[string]any{"items": items}, nil
}

func (s *Sandbox) deleteFault(r *http.Request, _ []byte) (any, error) {
	return map[string]any{}, s.change(func() error {
		if id := r.PathValue("id"); !s.faults.remove(id) {
			return refused{http.StatusNotFound, "no fault " + id}
		}
		return s.append(&line{Faults: s.faults.stored()}, true)
	})
}

func (s *Sandbox) postSettings(_ *http.Request, body []byte) (any, error) {
	var keys map[string]json.RawMessage
	if err := strict(body, &keys); err != nil || keys == nil {
		return nil, bad("settings are a JSON object such as {\"search_lag\":\"5s\"}%s", because(err))
	}
	delete(keys, noteKey)
	if err := s.change(func() error { return s.reconfigure(keys) }); err != nil {
		return nil, err
	}
	return s.settingsJSON()
}

// reconfigure lays keys over the settings. A seed that is named starts its
// dice again, also when it is the same number.
func (s *Sandbox) reconfigure(keys map[string]json.RawMessage) error {
	next, err := s.settings.with(keys)
	if err == nil {
		err = s.configure(next)
	}
	if err != nil {
		return bad("%v", err)
	}
	l := &line{Settings: &s.settings}
	if _, named := keys["seed"]; named {
		s.faults.reseed(next.Seed)
		l.Faults = s.faults.stored()
	}
	if _, named := keys["webhooks"]; named && s.postman != nil {
		s.postman.reseed(next.Webhooks.Seed)
	}
	return s.append(l, true)
}

// change runs a control call that writes and waits for the disk.
func (s *Sandbox) change(f func() error) error {
	s.mu.Lock()
	err := s.failed
	if err == nil {
		err = f()
	}
	need := s.need
	s.mu.Unlock()
	if err != nil {
		return err
	}
	err = s.journal.sync(need)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		s.fail(err)
	}
	return err
}

func (s *Sandbox) postReset(_ *http.Request, body []byte) (any, error) {
	var ask struct {
		Preset string `json:"preset"`
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := strict(body, &ask); err != nil {
			return nil, bad("reset: %v; its body is nothing or {\"preset\":NAME}", err)
		}
	}
	return map[string]any{}, s.change(func() error {
		old, preset := s.world, s.settings.Preset
		if ask.Preset != "" {
			if err := s.checkPreset(ask.Preset); err != nil {
				return bad("reset: %v", err)
			}
			s.settings.Preset = ask.Preset
		}
		s.world = dump{}.load(old.grants())
		if err := s.seed(); err != nil {
			s.world, s.settings.Preset = old, preset
			return bad("reset: %v", err)
		}
		return s.append(&line{Settings: &s.settings}, true)
	})
}

// asked reads the name of a snapshot; "default" without one.
func asked(body []byte) (string, error) {
	ask := struct {
		Name string `json:"name"`
	}{"default"}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := strict(body, &ask); err != nil {
			return "", bad("snapshot: %v; its body is nothing or {\"name\":NAME}", err)
		}
	}
	if !snapshotName.MatchString(ask.Name) {
		return "", bad("snapshot: a name is lower-case letters, digits, - and _, not %q", ask.Name)
	}
	return ask.Name, nil
}

func (s *Sandbox) snapshotFile(name string) string {
	return filepath.Join(s.cfg.Dir, s.cfg.Name+".snapshot-"+name+".json")
}

func (s *Sandbox) postSnapshot(_ *http.Request, body []byte) (any, error) {
	name, err := asked(body)
	if err != nil {
		return nil, err
	}
	return map[string]string{"name": name}, s.change(func() error {
		raw, err := json.Marshal(s.world.dump())
		if err != nil {
			return err
		}
		if s.cfg.Dir == "" {
			s.snapshots[name] = raw
			return nil
		}
		return writeFile(s.snapshotFile(name), raw)
	})
}

// writeFile replaces a file so that a reader finds the old or the new one.
func writeFile(path string, raw []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *Sandbox) postRestore(_ *http.Request, body []byte) (any, error) {
	name, err := asked(body)
	if err != nil {
		return nil, err
	}
	return map[string]string{"name": name}, s.change(func() error {
		raw, ok := s.snapshots[name]
		if s.cfg.Dir != "" {
			raw, err = os.ReadFile(s.snapshotFile(name))
			ok = err == nil
		}
		if !ok {
			return refused{http.StatusNotFound, "no snapshot " + name}
		}
		var d dump
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("snapshot %s: %w", name, err)
		}
		s.world = d.load(s.world.grants())
		now := s.world.dump()
		return s.append(&line{World: &now}, true)
	})
}

func (s *Sandbox) getExport(*http.Request, []byte) (any, error) {
	var objects []*Object
	err := s.change(func() error { objects = s.world.objects(); return nil })
	return map[string]any{"objects": objects}, err
}

func (s *Sandbox) getRequests(r *http.Request, _ []byte) (any, error) {
	since := int64(0)
	if q := r.URL.Query().Get("since"); q != "" {
		n, err := strconv.ParseInt(q, 10, 64)
		if err != nil {
			return nil, bad("requests: since is the n of the last line you have, not %q", q)
		}
		since = n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return lines(s.requests.since(since)), nil
}
