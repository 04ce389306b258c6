package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module   = "tieout.dev/services"
	contract = "tieout.dev/proto"
)

// pkg is what go list says of a package.
type pkg struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
}

// name is the path inside the module.
func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}

// The groups, from the bottom up. A group may import what mayImport says of it,
// and packages below its own path.
var (
	vocabulary = []string{"internal/event", "internal/document", "internal/money", "internal/fault"}
	contracts  = []string{"internal/connector", "internal/link", "internal/exception"}
	mechanisms = []string{"internal/registry", "internal/store", "internal/stream", "internal/trail", "internal/mapping", "internal/control", "internal/telemetry", "internal/quota", "internal/config", "internal/crash", "internal/meter", "internal/trust"}
	services   = []string{"ingest", "transform", "writer", "reconciler", "audit"}
	// everyone may use these.
	common = []string{"internal/idle"}
)

// between mechanisms only these: a fact is stored and sent, control answers
// from a consumer's database, a mapping is looked up in the registry; places to
// die are named everywhere, and what goes over the wires is measured and secured.
var between = map[string][]string{
	"internal/store":   {"internal/crash", "internal/trust"},
	"internal/stream":  {"internal/crash", "internal/meter", "internal/trust"},
	"internal/trail":   {"internal/store", "internal/stream", "internal/crash"},
	"internal/control": {"internal/store", "internal/trail", "internal/meter", "internal/registry"},
	"internal/mapping": {"internal/registry"},
	"internal/config":  {"internal/registry", "internal/trust"},
}

// mayImport returns the groups that a package may import, and false for one
// that nobody has placed.
func mayImport(name string) ([]string, bool) {
	top := func(list []string) string {
		for _, g := range list {
			if under(name, g) {
				return g
			}
		}
		return ""
	}
	switch {
	case top(vocabulary) != "":
		return vocabulary, true
	case top(contracts) != "":
		return slices.Concat(vocabulary, contracts), true
	case top(mechanisms) != "":
		return slices.Concat(vocabulary, contracts, between[top(mechanisms)]), true
	case top(services) != "":
		return slices.Concat(vocabulary, contracts, mechanisms), true
	case name == "internal/sandbox":
		return vocabulary, true
	case name == "internal/embedded":
		return nil, true
	case under(name, "internal/parts"): // its tests' secured parts have certificates
		return []string{"internal/trust"}, true
	case name == "internal/run":
		return slices.Concat(vocabulary, contracts, mechanisms), true
	case strings.HasPrefix(name, "connectors/") && strings.HasSuffix(name, "/sandbox"):
		return append([]string{"internal/sandbox"}, vocabulary...), true
	case strings.HasPrefix(name, "connectors/"):
		return append([]string{"internal/connector"}, vocabulary...), true
	case name == "connectors":
		return []string{"connectors", "internal/connector"}, true
	case name == "console": // a client of the control plane alone
		return []string{"internal/money", "internal/control"}, true
	case name == "mappings":
		return []string{"internal/mapping"}, true
	case name == "internal/arch", name == "internal/drill", slices.Contains(common, name): // the first two are about the tests, for the tests
		return nil, true
	case name == "internal/dashboard": // made from the list of metrics
		return []string{"internal/meter"}, true
	case under(name, "internal/lab"): // a bench: it may use everything, and nothing that is shipped uses it
		return slices.Concat([]string{"ingest/admission", "writer/protocol", "internal/parts"}, vocabulary, contracts, mechanisms), true
	case slices.Contains(services, strings.TrimPrefix(name, "cmd/")): // five lines each
		return []string{"cmd/assembly"}, true
	case name == "cmd/assembly": // the one way to build a service: no fake part may get into an image
		return slices.Concat([]string{"connectors", "mappings", "internal/run"}, services, vocabulary, contracts, mechanisms), true
	case under(name, "cmd/tieout"):
		return slices.Concat([]string{"cmd/assembly", "connectors", "console", "mappings", "internal/run", "internal/embedded"}, services, vocabulary, contracts, mechanisms), true
	case under(name, "cmd/tieout-lab"): // no part of an installation
		return slices.Concat([]string{"cmd/tieout", "console", "writer", "internal/lab", "internal/parts", "internal/embedded", "internal/dashboard", "internal/drill"}, vocabulary, contracts, mechanisms), true
	}
	return nil, false
}

func under(name, group string) bool { return name == group || strings.HasPrefix(name, group+"/") }

func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		allowed, placed := mayImport(p.name())
		if !placed {
			t.Errorf("%s has no place in the layers: give it one here, or move it", p.name())
			continue
		}
		own := strings.SplitN(p.name(), "/", 2)[0]
		if strings.HasPrefix(p.name(), "internal/") || strings.HasPrefix(p.name(), "connectors/") || strings.HasPrefix(p.name(), "cmd/") {
			own = strings.Join(strings.SplitN(p.name(), "/", 3)[:2], "/")
		}
		for _, path := range p.Imports {
			target, ours := strings.CutPrefix(path, module+"/")
			if !ours || under(target, own) && !strings.HasSuffix(target, "/sandbox") {
				continue
			}
			if !slices.ContainsFunc(slices.Concat(allowed, common), func(g string) bool { return under(target, g) }) {
				t.Errorf("%s imports %s, which its layer may not", p.name(), target)
			}
		}
	}
}

// Third parties have one owner, so that a change of library is a change of one
// package.
func TestOwnersOfThirdParties(t *testing.T) {
	owners := map[string][]string{
		"github.com/segmentio/kafka-go":         {"internal/stream"},
		"github.com/twmb/franz-go/pkg/kmsg":     {"internal/stream", "internal/embedded"},
		"github.com/twmb/franz-go/pkg/sasl":     {"internal/stream"},
		"github.com/twmb/franz-go/pkg/kfake":    {"internal/embedded"},
		"github.com/alicebob/miniredis":         {"internal/embedded"},
		"github.com/redis/go-redis":             {"internal/run", "ingest"},
		"modernc.org/sqlite":                    {"internal/store"},
		"github.com/jackc/pgx":                  {"internal/store"},
		"database/sql/driver":                   {"internal/store"},
		"github.com/pressly/goose":              {"internal/store"},
		"go.opentelemetry.io/otel/sdk":          {"internal/telemetry"},
		"go.opentelemetry.io/otel/exporters":    {"internal/telemetry"},
		"github.com/prometheus/client_golang":   {"internal/telemetry"},
		"cel.dev/cel-go":                        {"internal/mapping"},
		"github.com/spf13/cobra":                {"cmd/tieout", "cmd/tieout-lab"},
		"tieout.dev/services/internal/embedded": {"cmd/tieout/dev", "cmd/tieout/cli", "cmd/tieout-lab"},
	}
	for _, p := range packages(t) {
		for _, path := range p.Imports {
			for library, list := range owners {
				if under(path, library) && !under(p.ImportPath, library) && !slices.ContainsFunc(list, func(o string) bool { return under(p.name(), o) }) {
					t.Errorf("%s imports %s; it belongs to %s", p.name(), path, strings.Join(list, ", "))
				}
			}
		}
	}
}

// The pure packages import nothing that could make two runs differ.
func TestCoreIsPure(t *testing.T) {
	forbidden := []string{"context", "crypto/rand", "database/sql", "io", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "sync", "sync/atomic", "runtime"}
	core := []string{"writer/protocol", "ingest/admission", "reconciler/match", "internal/money"}
	found := 0
	for _, p := range packages(t) {
		if !slices.Contains(core, p.name()) {
			continue
		}
		found++
		for _, path := range p.Imports {
			if slices.Contains(forbidden, path) {
				t.Errorf("%s is pure and imports %s", p.name(), path)
			}
		}
		for _, call := range []string{"time.Now(", "time.Since(", "time.After(", "time.NewTimer(", "go func("} {
			eachLine(t, p, func(file string, n int, line string) {
				if strings.Contains(line, call) {
					t.Errorf("%s:%d: %s is pure and calls %s", file, n, p.name(), call)
				}
			})
		}
	}
	if found != len(core) {
		t.Errorf("%d of the %d pure packages were found", found, len(core))
	}
}

// Generated protobuf is known to codecs, to the control plane's transport and
// to the servers and clients of it.
func TestProtobufStaysAtTheEdges(t *testing.T) {
	for _, p := range packages(t) {
		edge := under(p.name(), "internal/control") || p.name() == "console" || under(p.name(), "cmd") || slices.ContainsFunc(services, func(s string) bool { return p.name() == s })
		if edge {
			continue
		}
		for _, file := range p.GoFiles {
			if file == "codec.go" {
				continue
			}
			for _, path := range imports(t, filepath.Join(p.Dir, file)) {
				if under(path, contract) || under(path, "google.golang.org/protobuf") {
					t.Errorf("%s/%s imports %s; only codec.go may", p.name(), file, path)
				}
			}
		}
	}
}
