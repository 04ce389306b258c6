package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BackUp copies a schema into a file, as a nightly dump does.
func (p *Postgres) BackUp(ctx context.Context, schema, file string) error {
	return p.tool(ctx, "pg_dump", "--schema", schema, "--file", file)
}

// SetBack makes a schema what a backup of it says. Nobody may use it meanwhile.
func (p *Postgres) SetBack(ctx context.Context, schema, file string) error {
	drop := fmt.Sprintf("DROP SCHEMA %q CASCADE", schema)
	return errors.Join(p.tool(ctx, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", drop), p.tool(ctx, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", file))
}

// tool runs one of the server's own programs against it.
func (p *Postgres) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), append([]string{"-d", p.URL()}, args...)...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, last(out))
	}
	return nil
}
