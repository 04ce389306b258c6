package quickbooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rows are the objects of a query's answer. Intuit answers "none" by an empty
// QueryResponse; anything less, or rows of something else, is no answer, and
// must not end a scan as if the books were empty.
func rows(response map[string]json.RawMessage, entity string) ([]object, error) {
	if response == nil {
		return nil, errors.New("it has no QueryResponse")
	}
	raw, ok := response[entity]
	if !ok {
		for name := range response {
			if !slices.Contains([]string{"startPosition", "maxResults", "totalCount"}, name) {
				return nil, fmt.Errorf("it has %q and no %s", name, entity)
			}
		}
		if n := strings.TrimSpace(string(response["maxResults"])); n != "" && n != "0" {
			return nil, fmt.Errorf("it announces %s rows and has none", n)
		}
		return nil, nil
	}
	var out []object
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	if out == nil {
		return nil, fmt.Errorf("%s is null", entity)
	}
	for i := range out {
		if out[i].ID == "" {
			return nil, fmt.Errorf("a row of %s has no Id", entity)
		}
	}
	return out, nil
}
