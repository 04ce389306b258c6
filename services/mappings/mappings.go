// Package mappings are the mappings that are shipped.
package mappings

import (
	"embed"
	"fmt"
	"io/fs"

	"tieout.dev/services/internal/mapping"
)

//go:embed *.yaml
var files embed.FS

// All loads every shipped mapping, by name. A problem in one is returned with
// file, line and column.
func All() (map[string]*mapping.Mapping, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]*mapping.Mapping{}
	for _, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		m, err := mapping.Load(name, b)
		if err != nil {
			return nil, fmt.Errorf("mapping %s: %w", name, err)
		}
		out[m.Name] = m
	}
	return out, nil
}
