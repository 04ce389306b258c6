package assembly

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tieout.dev/services/internal/embedded"
)

// told writes a configuration that is right but for what the test changes.
func told(t *testing.T, kafka string) (path string, status string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status = free(t)
	write("token", "0123456789abcdef")
	write("key", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	write("installation.yaml", `entities: [{id: acme-ie, tenant: acme, currency: EUR, zone: Europe/Dublin}]
connections: [{id: crm, tenant: acme, system: hubspot, account: hubspot/1, base_url: "http://127.0.0.1:1"}]
`)
	write("tieout.yaml", fmt.Sprintf(`listen: {grpc: %q, http: "127.0.0.1:0", status: %q}
kafka: {brokers: %q, partitions: 2, replication: 1}
sqlite: {dir: %q}
control: {token_file: token}
peers: {ingest: "127.0.0.1:1", transform: "127.0.0.1:1", writer: "127.0.0.1:1", reconciler: "127.0.0.1:1", audit: "127.0.0.1:1"}
seal: {key_file: key}
shutdown: {grace: 10s}
installation: installation.yaml
`, free(t), status, kafka, dir))
	return filepath.Join(dir, "tieout.yaml"), status
}

// free returns an address that nobody has.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output may be read while it is written to.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

type readiness struct {
	Ready    bool
	Waiting  map[string]string
	Degraded map[string]string
}

func ask(t *testing.T, status string) (r readiness, answered bool) {
	t.Helper()
	resp, err := http.Get("http://" + status + "/readyz")
	if err != nil {
		return r, false
	}
	defer resp.Body.Close()
	return r, json.NewDecoder(resp.Body).Decode(&r) == nil
}

// scraped tells whether a scrape holds all of these.
func scraped(t *testing.T, status string, want ...string) bool {
	t.Helper()
	resp, err := http.Get("http://" + status + "/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(string(b), w) })
}

func until(t *testing.T, what string, out *output, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(45 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come; the log is\n%s", what, out)
		}
	}
}

// Each service starts while the broker is away, says so, takes work once it is
// there, and drains when it is told to end.
func TestServicesWaitForTheirPartsAndDrain(t *testing.T) {
	builders := map[string]Builder{"ingest": Ingest, "transform": Transform, "writer": Writer, "reconciler": Reconciler, "audit": Audit}
	for name, build := range builders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := free(t)
			path, status := told(t, address)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			out, code := &output{}, make(chan int, 1)
			go func() { code <- mainWith(ctx, name, build, []string{"--config", path}, nil, out) }()
			until(t, "the word that the broker is away", out, func() bool { r, ok := ask(t, status); return ok && !r.Ready && r.Waiting["broker"] != "" })
			waiting := []string{fmt.Sprintf(`tieout_ready{service_name=%q} 0`, name), fmt.Sprintf(`tieout_waiting{part="broker",service_name=%q} 1`, name)}
			until(t, "a scrape that says so", out, func() bool { return scraped(t, status, waiting...) })
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			number := 0
			if _, err := fmt.Sscan(port, &number); err != nil {
				t.Fatal(err)
			}
			p, err := embedded.Start(t.Context(), embedded.Config{Dir: t.TempDir(), KafkaPort: number})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			until(t, "readiness", out, func() bool { r, ok := ask(t, status); return ok && r.Ready })
			if name == "writer" { // its vendor does not answer, and holds nobody up
				until(t, "the word about the vendor", out, func() bool { r, ok := ask(t, status); return ok && r.Ready && r.Degraded["vendor"] != "" })
			}
			stop()
			if c := <-code; c != exitDrained {
				t.Errorf("exit code %d; the log is\n%s", c, out)
			}
			if _, answered := ask(t, status); answered {
				t.Error("it still answers")
			}
		})
	}
}

// Told to end while it waits, a service ends at once and in good order.
func TestStopWhileWaiting(t *testing.T) {
	path, status := told(t, "127.0.0.1:1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, code := &output{}, make(chan int, 1)
	go func() { code <- mainWith(ctx, "audit", Audit, []string{"--config", path}, nil, out) }()
	until(t, "an answer", out, func() bool { _, ok := ask(t, status); return ok })
	stop()
	if c := <-code; c != exitDrained {
		t.Errorf("exit code %d; the log is\n%s", c, out)
	}
}

func TestBadConfigurationEndsWithCode2(t *testing.T) {
	path, _ := told(t, "127.0.0.1:1")
	for want, args := range map[string][]string{
		"kafka.brokers": {}, "none.yaml": {"--config", "none.yaml"}, "-x": {"-x"}, "unexpected": {"--config", path, "more"},
	} {
		out := &output{}
		if c := mainWith(t.Context(), "writer", Writer, args, nil, out); c != exitConfig || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit code %d, want %d and a word about %s:\n%s", args, c, exitConfig, want, out)
		}
	}
	out := &output{}
	if c := mainWith(t.Context(), "writer", Writer, []string{"--config", path}, []string{"TIEOUT_KAFKA_PARTITIONS=x", "TIEOUT_SHUTDOWN_GRACE=y"}, out); c != exitConfig ||
		strings.Count(out.String(), "expected") != 2 {
		t.Errorf("exit code %d, want %d and both mistakes:\n%s", c, exitConfig, out)
	}
}

func TestAddressInUseIsAFailure(t *testing.T) {
	path, status := told(t, "127.0.0.1:1")
	l, err := net.Listen("tcp", status)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := &output{}
	if c := mainWith(t.Context(), "audit", Audit, []string{"--config", path}, nil, out); c != exitFailed || !strings.Contains(out.String(), "listen.status") {
		t.Errorf("exit code %d:\n%s", c, out)
	}
}
