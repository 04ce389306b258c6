package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tieout.dev/services/internal/lab/chaos"
	"tieout.dev/services/internal/parts"
)

// toxiproxyVersion is the last whose module can be fetched by its path.
const (
	toxiproxyVersion = "v2.5.0"
	toxiproxyModule  = "github.com/Shopify/toxiproxy/v2/cmd/server"
	toxiproxyWithin  = 20 * time.Second
)

// toxiproxy stands between the services and a part, and harms what passes.
type toxiproxy struct {
	url string
}

// startToxiproxy builds it once, into the user's cache, and runs it. Without it
// the faults that need it are left out, and said to be.
func (r *Rig) startToxiproxy(ctx context.Context) error {
	program, err := buildToxiproxy(ctx)
	if err != nil {
		r.noToxi = err.Error()
		return nil
	}
	port, err := parts.Ports(ctx, r.options.Dir, "toxiproxy", 1)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.options.Dir, "toxiproxy.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, "-host", "127.0.0.1", "-port", fmt.Sprint(port[0]))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start toxiproxy: %w", err)
	}
	r.closers = append(r.closers, func() error {
		_ = cmd.Process.Kill() // it has nothing to write down
		_ = cmd.Wait()
		return nil
	})
	r.toxi = &toxiproxy{url: fmt.Sprintf("http://127.0.0.1:%d", port[0])}
	return r.toxi.await(ctx)
}

func buildToxiproxy(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "tieout", "toxiproxy-"+toxiproxyVersion)
	program := filepath.Join(dir, "server")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", toxiproxyModule+"@"+toxiproxyVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("toxiproxy was not built: %w: %s", err, out[max(0, len(out)-300):])
	}
	return program, nil
}

func (t *toxiproxy) await(ctx context.Context) error {
	for end := time.Now().Add(toxiproxyWithin); ; {
		err := t.call(ctx, http.MethodGet, "/version", "")
		if err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("toxiproxy does not answer: %w", err)
		}
		wait(ctx, 50*time.Millisecond)
	}
}

// through makes a proxy before a part and returns its address.
func (r *Rig) through(ctx context.Context, part, address string) (string, error) {
	if r.toxi == nil {
		return address, nil
	}
	port, err := parts.Ports(ctx, r.options.Dir, "proxy-"+part, 1)
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port[0])
	return at, r.toxi.call(ctx, http.MethodPost, "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":%q,"enabled":true}`, part, at, address))
}

// poison has a proxy harm what passes, for a while.
func (r *Rig) poison(ctx context.Context, part, toxic string, d time.Duration) error {
	if r.toxi == nil {
		return &chaos.SkippedError{Why: r.noToxi}
	}
	if err := r.toxi.call(ctx, http.MethodPost, "/proxies/"+part+"/toxics", toxic); err != nil {
		return err
	}
	wait(ctx, d)
	return r.toxi.call(context.WithoutCancel(ctx), http.MethodDelete, "/proxies/"+part+"/toxics/harm", "")
}

// cut has a proxy refuse connections and end those there are, for a while.
func (r *Rig) cut(ctx context.Context, part string, d time.Duration) error {
	if r.toxi == nil {
		return &chaos.SkippedError{Why: r.noToxi}
	}
	if err := r.toxi.call(ctx, http.MethodPost, "/proxies/"+part, `{"enabled":false}`); err != nil {
		return err
	}
	wait(ctx, d)
	return r.toxi.call(context.WithoutCancel(ctx), http.MethodPost, "/proxies/"+part, `{"enabled":true}`)
}

func (t *toxiproxy) call(ctx context.Context, method, path, body string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, t.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "tieout-lab") // it refuses what looks like a browser
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		var why struct{ Error string }
		return errors.Join(fmt.Errorf("toxiproxy: %s %s: %s", method, path, resp.Status), json.NewDecoder(resp.Body).Decode(&why), errors.New(why.Error))
	}
	return nil
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
