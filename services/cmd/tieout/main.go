// Command tieout is the operator's command, and everything in one process.
package main

import (
	"context"
	"os"

	"tieout.dev/services/cmd/tieout/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
