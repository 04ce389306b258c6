// Command writer makes documents true in the books, once.
package main

import (
	"os"

	"tieout.dev/services/cmd/assembly"
)

func main() { os.Exit(assembly.Main("writer", assembly.Writer)) }
