package cli

import (
	"context"

	controlv1 "tieout.dev/proto/control/v1"
)

// record completes a ref that was written short, deal/123 or hubspot/deal/123:
// every command that takes one asks in this way.
func (c clients) record(ctx context.Context, ref string) (string, error) {
	res, err := c.writer.ResolveRef(ctx, &controlv1.ResolveRefRequest{Ref: ref})
	return res.GetRef(), err
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
