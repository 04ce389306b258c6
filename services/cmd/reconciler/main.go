// Command reconciler compares the sources, our journal and the books.
package main

import (
	"os"

	"tieout.dev/services/cmd/assembly"
)

func main() { os.Exit(assembly.Main("reconciler", assembly.Reconciler)) }
