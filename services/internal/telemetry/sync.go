package telemetry

// Attributes by which a sync is found, and which a collector decides by what to
// keep (deploy/collector.yaml).
const (
	// SyncOutcome says how one hop ended.
	SyncOutcome = "sync.outcome"
	// SyncEnded is "true" on the span with which a sync is over.
	SyncEnded = "sync.ended"
)

// The values of SyncOutcome.
const (
	OK          = "ok"
	Rejected    = "rejected"    // a person has to act
	Quarantined = "quarantined" // its effect is in doubt
	Retried     = "retried"     // it is tried again
)
