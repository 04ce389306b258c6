package parts

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Postgres is a server with one empty database, encoded in UTF8 and sorted by
// bytes, whose user needs a password.
type Postgres struct {
	Address  string
	User     string
	Password string
	Database string

	secured        *Secure
	dir, data, bin string
	port           int
	as             *syscall.Credential // nil: as we are
	proc           *process
}

// debianBin is where Debian keeps the server's programs, by version.
const debianBin = "/usr/lib/postgresql/*/bin"

// URL names the database, without the password.
func (p *Postgres) URL() string {
	return "postgres://" + p.User + "@" + p.Address + "/" + p.Database + p.query()
}

// URLWithPassword names the database with the password, for tests.
func (p *Postgres) URLWithPassword() string {
	return "postgres://" + p.User + ":" + p.Password + "@" + p.Address + "/" + p.Database + p.query()
}

func (p *Postgres) query() string {
	if p.secured != nil {
		return p.secured.query()
	}
	return "?sslmode=disable"
}

func startPostgres(ctx context.Context, cfg Config) (*Postgres, error) {
	initdb, err := program(ctx, cfg, "PostgreSQL", "postgresql", "initdb", debianBin)
	if err != nil {
		return nil, err
	}
	port, err := Ports(ctx, cfg.Dir, "postgres", 1)
	if err != nil {
		return nil, err
	}
	p := &Postgres{secured: cfg.Secure, Address: at(port[0]), User: "tieout", Database: "postgres", dir: cfg.Dir, bin: filepath.Dir(initdb), port: port[0]}
	if err := p.place(); err != nil {
		return nil, err
	}
	if err := p.make(ctx); err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// place decides who runs the server and where its data is: it refuses to run as
// root, and its own user must be able to enter the folder.
func (p *Postgres) place() error {
	p.data = filepath.Join(p.dir, "postgres")
	if os.Geteuid() != 0 {
		return os.MkdirAll(p.data, 0o700)
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return &AbsentError{"PostgreSQL", "it does not run as root, and there is no user postgres", "install the package postgresql, or run this as another user"}
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if err := errors.Join(uerr, gerr); err != nil {
		return err
	}
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if !enterable(p.dir) {
		h := fnv.New64a()
		_, _ = h.Write([]byte(p.dir))
		p.data = filepath.Join(os.TempDir(), fmt.Sprintf("tieout-postgres-%016x", h.Sum64()))
	}
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		return err
	}
	return os.Chown(p.data, uid, gid)
}

// enterable reports whether anybody may enter a folder and those above it.
func enterable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		up := filepath.Dir(dir)
		if up == dir {
			return true
		}
		dir = up
	}
}

// make lays the database down, once.
func (p *Postgres) make(ctx context.Context) error {
	file := filepath.Join(p.dir, "postgres.password")
	if b, err := os.ReadFile(file); err == nil {
		p.Password = string(b)
		if _, err := os.Stat(filepath.Join(p.data, "PG_VERSION")); err == nil {
			return nil
		}
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	p.Password = hex.EncodeToString(secret)
	if err := os.WriteFile(file, []byte(p.Password), 0o600); err != nil {
		return err
	}
	told, err := p.tell(p.Password)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(told) }()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "-D", p.data, "-U", p.User, "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "--pwfile="+told, "-N")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: p.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, last(out))
	}
	return nil
}

// tell writes a secret into a file that only the server's user can read.
func (p *Postgres) tell(secret string) (string, error) {
	f, err := os.CreateTemp("", "tieout-pw-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, werr := f.WriteString(secret + "\n")
	if p.as != nil {
		werr = errors.Join(werr, f.Chown(int(p.as.Uid), int(p.as.Gid)))
	}
	return f.Name(), errors.Join(werr, f.Close())
}

// Start starts the server again after Stop or Crash.
func (p *Postgres) Start(ctx context.Context) (err error) {
	secure, err := p.secure()
	if err != nil {
		return err
	}
	args := append([]string{"-D", p.data, "-p", strconv.Itoa(p.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "shared_buffers=64MB"}, secure...)
	p.proc, err = launch(p.dir, "postgres", p.as, filepath.Join(p.bin, "postgres"), args...)
	if err != nil {
		return err
	}
	ready := filepath.Join(p.bin, "pg_isready")
	return p.proc.await(ctx, func(ctx context.Context) bool {
		return answers(ctx, p.Address) && exec.CommandContext(ctx, ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port)).Run() == nil
	})
}

// Stop ends the server in good order: sessions are ended, all is on disk.
func (p *Postgres) Stop() error { return p.proc.stopWith(syscall.SIGINT, 10*time.Second) }

// Crash ends the server without writing anything down, as pg_ctl -m immediate
// does: it recovers from its log when it starts.
func (p *Postgres) Crash() error { return p.proc.stopWith(syscall.SIGQUIT, 10*time.Second) }

// Reload makes a running server read its configuration and certificates again.
func (p *Postgres) Reload() error { return p.proc.signal(syscall.SIGHUP) }

// Set changes a setting of a running server, for sessions that begin from now on.
func (p *Postgres) Set(name, value string) error {
	return errors.Join(p.place600("postgresql.auto.conf", fmt.Appendf(nil, "%s = '%s'\n", name, value)), p.Reload())
}
