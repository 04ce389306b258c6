package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

// record completes a ref that was written short, deal/123 or hubspot/deal/123:
// every command that takes one asks in this way.
func (c clients) record(ctx context.Context, ref string) (string, error) {
	res, err := c.writer.ResolveRef(ctx, &controlv1.ResolveRefRequest{Ref: ref})
	if status.Code(err) != codes.NotFound {
		return res.GetRef(), err
	}
	due, derr := c.ingest.OpenRefs(ctx, &controlv1.OpenRefsRequest{}) // what never got a lane the writer does not know
	if derr != nil {
		return "", derr
	}
	var found []string
	for _, r := range due.GetItems() {
		if shortOf(ref, r.GetRef()) && !slices.Contains(found, r.GetRef()) {
			found = append(found, r.GetRef())
		}
	}
	switch len(found) {
	case 0:
		return "", err
	case 1:
		return found[0], nil
	}
	return "", usage("%s is not unique; it may mean %s", ref, strings.Join(found, ", "))
}

// recordOf is the record, or what else has an id, that a command line names.
func recordOf(cmd *cobra.Command, args []string) string {
	_, takes, _ := strings.Cut(cmd.Use, " ")
	for _, what := range []string{"ID", "REF", "DEAL", "COMPANY", "BREAK", "RUN", "NUMBER"} {
		if len(args) > 0 && strings.Contains(takes, what) {
			return args[0]
		}
	}
	if f := cmd.Flags().Lookup("ref"); f != nil {
		return f.Value.String()
	}
	return ""
}

// shortOf reports whether type/id or system/type/id may mean system/account/type/id.
func shortOf(short, whole string) bool {
	p := strings.SplitN(whole, "/", 4)
	return len(p) == 4 && (short == p[2]+"/"+p[3] || short == p[0]+"/"+p[2]+"/"+p[3])
}

// complete does so in place, for what a list is narrowed to.
func (c clients) complete(ctx context.Context, refs ...*string) error {
	for _, ref := range refs {
		if *ref == "" {
			continue
		}
		whole, err := c.record(ctx, *ref)
		if err != nil {
			return err
		}
		*ref = whole
	}
	return nil
}
