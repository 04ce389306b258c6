// Command audit keeps the trail.
package main

import (
	"os"

	"tieout.dev/services/cmd/assembly"
)

func main() { os.Exit(assembly.Main("audit", assembly.Audit)) }
