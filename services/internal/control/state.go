package control

import (
	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/store"
)

// State is how a service is: ready, or degraded while its database cannot be
// written to.
func State(name, version string, db *store.DB) *controlv1.ServiceState {
	s := &controlv1.ServiceState{Name: name, State: "ready", Version: version}
	if err := db.Trouble(); err != nil {
		s.State, s.Reason = "degraded", err.Error()
	}
	return s
}
