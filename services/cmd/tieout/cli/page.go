package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/control"
)

// page is how every list looks; next is the token to go on with, empty where
// nothing was left out.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// part is which part of a list is asked for.
type part struct {
	limit int32
	next  string
}

// flags lets a command that lists go on where it stopped.
func (p *part) flags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int32Var(&p.limit, "limit", 0, fmt.Sprintf("at most so many; 0 means 100, %d is the most", control.PageMost))
	cmd.Flags().StringVar(&p.next, "next", "", "go on after the page that ended with this token")
	list := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := knownLimit(p.limit); err != nil {
			return err
		}
		return list(cmd, args)
	}
	return cmd
}

func knownLimit(n int32) error {
	if n < 0 {
		return usage("--limit %d: a list holds at least one", n)
	}
	return nil
}

// more says that a list goes on.
func more(w io.Writer, next string) {
	if next != "" {
		fmt.Fprintf(w, "there are more: the same with --next %s\n", next)
	}
}
