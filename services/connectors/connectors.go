// Package connectors is the list of connectors: one line each.
package connectors

import (
	"tieout.dev/services/connectors/hubspot"
	"tieout.dev/services/connectors/quickbooks"
	"tieout.dev/services/internal/connector"
)

// All returns every connector by its system.
func All() map[string]connector.Spec {
	all := map[string]connector.Spec{}
	for _, s := range []connector.Spec{
		hubspot.Spec(),
		quickbooks.Spec(),
	} {
		all[s.System] = s
	}
	return all
}
