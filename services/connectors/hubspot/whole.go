package hubspot

import (
	"errors"
	"fmt"
)

// An answer of status 200 can be an error, be cut down to what some proxy made
// of it, or be of another call. Read as an empty page it would move a cursor
// past records that nobody saw, so an answer counts only if it has what the
// call promises.

// errNotWhole says that an answer lacks what its call promises.
var errNotWhole = errors.New("the answer is not whole")

// wholly is an answer that knows when it is not whole.
type wholly interface {
	whole() error
}

// decodeWhole decodes an answer that counts.
func decodeWhole(raw []byte, into any) error {
	if err := decode(raw, into); err != nil {
		return err
	}
	if w, ok := into.(wholly); ok {
		return w.whole()
	}
	return nil
}

func (r *reply) whole() error {
	if r.Results == nil {
		return fmt.Errorf("%w: it has no results", errNotWhole)
	}
	for _, o := range r.Results {
		if o == nil || o.ID == "" {
			return fmt.Errorf("%w: a result has no id", errNotWhole)
		}
	}
	return nil
}

func (o *object) whole() error {
	if o.ID == "" {
		return fmt.Errorf("%w: the object has no id", errNotWhole)
	}
	return nil
}

func (r *associationReply) whole() error {
	if r.Results == nil {
		return fmt.Errorf("%w: it has no results", errNotWhole)
	}
	for _, x := range r.Results {
		if x.From.ID == "" {
			return fmt.Errorf("%w: an association leads from nowhere", errNotWhole)
		}
		for _, to := range x.To {
			if to.ID == "" {
				return fmt.Errorf("%w: an association of %s leads nowhere", errNotWhole, x.From.ID)
			}
		}
	}
	return nil
}
