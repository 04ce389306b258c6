// Command ingest turns changes of the sources into events.
package main

import (
	"os"

	"tieout.dev/services/cmd/assembly"
)

func main() { os.Exit(assembly.Main("ingest", assembly.Ingest)) }
