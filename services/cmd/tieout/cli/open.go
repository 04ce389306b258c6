package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/document"
)

func (a *app) open() *cobra.Command {
	return &cobra.Command{
		Use: "open REF", Short: "Print the record's pages at the vendors", Args: cobra.ExactArgs(1),
		Example: "  tieout open deal/123\n  tieout open quickbooks/4620816365/invoice/12 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			ref, err := c.record(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			res, err := c.writer.GetDocument(cmd.Context(), &controlv1.GetDocumentRequest{Ref: ref})
			if err != nil {
				return err
			}
			v := struct {
				Ref    string   `json:"ref"`
				URL    string   `json:"url"`
				Source string   `json:"source_url"`
				Books  []string `json:"books_urls"`
			}{ref, res.GetUrl(), res.GetSourceUrl(), []string{}}
			for _, d := range res.GetItems() {
				marker := d.GetKind() == string(document.MarkerKind) // what is written back stands at the source
				if d.GetBooksUrl() != "" && !marker {
					v.Books = append(v.Books, d.GetBooksUrl())
				}
			}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "at the source\t%s\n", v.Source)
				for _, u := range v.Books {
					fmt.Fprintf(w, "in the books\t%s\n", u)
				}
			})
		},
	}
}
