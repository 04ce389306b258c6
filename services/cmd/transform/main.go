// Command transform turns events into documents.
package main

import (
	"os"

	"tieout.dev/services/cmd/assembly"
)

func main() { os.Exit(assembly.Main("transform", assembly.Transform)) }
