package parts

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
	"time"

	"tieout.dev/services/internal/idle"
)

// toxiproxyVersion is the last whose module can be fetched by its path.
const (
	toxiproxyVersion = "v2.5.0"
	toxiproxyModule  = "github.com/Shopify/toxiproxy/v2/cmd/server"
	toxiproxyWithin  = 20 * time.Second
)

// Toxiproxy stands between the services and a part, and harms what passes.
type Toxiproxy struct {
	dir, url string
	proc     *process
}

// StartToxiproxy builds it once, into the user's cache, and runs it from a folder
// of its own. It is absent where it cannot be built.
func StartToxiproxy(ctx context.Context, dir string) (*Toxiproxy, error) {
	cfg, err := Config{Dir: dir}.complete()
	if err != nil {
		return nil, err
	}
	program, err := buildToxiproxy(ctx, cfg)
	if err != nil {
		return nil, &AbsentError{"Toxiproxy", err.Error(), "let this machine reach a Go module proxy"}
	}
	if err := StopLeft(ctx, cfg.Dir); err != nil {
		return nil, err
	}
	port, err := Ports(ctx, cfg.Dir, "toxiproxy", 1)
	if err != nil {
		return nil, err
	}
	t := &Toxiproxy{dir: cfg.Dir, url: "http://" + at(port[0])}
	if t.proc, err = launch(cfg.Dir, "toxiproxy", nil, program, "-host", "127.0.0.1", "-port", fmt.Sprint(port[0])); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, toxiproxyWithin)
	defer cancel()
	if err := t.proc.await(ctx, func(ctx context.Context) bool { return t.call(ctx, http.MethodGet, "/version", "") == nil }); err != nil {
		return nil, errors.Join(err, t.Stop())
	}
	return t, nil
}

// Stop ends it; it has nothing to write down.
func (t *Toxiproxy) Stop() error { return t.proc.kill() }

func buildToxiproxy(ctx context.Context, cfg Config) (string, error) {
	dir := filepath.Join(cfg.Cache, "toxiproxy-"+toxiproxyVersion)
	program := filepath.Join(dir, "server")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", toxiproxyModule+"@"+toxiproxyVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it was not built: %w: %s", err, out[max(0, len(out)-300):])
	}
	return program, nil
}

// Through makes a proxy before a part and returns its address.
func (t *Toxiproxy) Through(ctx context.Context, part, address string) (string, error) {
	port, err := Ports(ctx, t.dir, "proxy-"+part, 1)
	if err != nil {
		return "", err
	}
	return at(port[0]), t.call(ctx, http.MethodPost, "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":%q,"enabled":true}`, part, at(port[0]), address))
}

// Poison has a proxy harm what passes, for a while; the toxic is named harm.
func (t *Toxiproxy) Poison(ctx context.Context, part, toxic string, d time.Duration) error {
	if err := t.call(ctx, http.MethodPost, "/proxies/"+part+"/toxics", toxic); err != nil {
		return err
	}
	idle.For(ctx, d)
	return t.call(context.WithoutCancel(ctx), http.MethodDelete, "/proxies/"+part+"/toxics/harm", "")
}

// Cut has a proxy refuse connections and end those there are, for a while.
func (t *Toxiproxy) Cut(ctx context.Context, part string, d time.Duration) error {
	if err := t.call(ctx, http.MethodPost, "/proxies/"+part, `{"enabled":false}`); err != nil {
		return err
	}
	idle.For(ctx, d)
	return t.call(context.WithoutCancel(ctx), http.MethodPost, "/proxies/"+part, `{"enabled":true}`)
}

func (t *Toxiproxy) call(ctx context.Context, method, path, body string) error {
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
