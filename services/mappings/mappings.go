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
	for _, file := range names {
		m, err := load(file)
		if err != nil {
			return nil, err
		}
		out[m.Name] = m
	}
	return out, nil
}

// Get loads one shipped mapping.
func Get(name string) (*mapping.Mapping, error) { return load(name + ".yaml") }

func load(file string) (*mapping.Mapping, error) {
	b, err := files.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("no mapping %s is shipped: %w", file, err)
	}
	m, err := mapping.Load(file, b)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", file, err)
	}
	return m, nil
}
