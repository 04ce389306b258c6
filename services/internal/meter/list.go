package meter

import "slices"

// All is every metric there is.
func All() []Metric { return slices.Concat(durations(), bus(), records(), connections()) }

// quick are bounds for what a machine does, slow for what vendors and people do.
func quick() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
}

func slow() []float64 {
	return []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21600, 86400}
}

func class() Label { return Label{Name: "class", Values: []string{"realtime", "bulk"}} }

func connection() Label { return Label{Name: "connection", Configured: true} }

func system() Label { return Label{Name: "system", Configured: true} }

func topic() Label { return Label{Name: "messaging.destination.name", Configured: true} }

func errorType() Label { return Label{Name: "error.type", Values: []string{"none", "failed"}} }

// exceptionKind are the kinds of package exception; a test compares them.
func exceptionKind() Label {
	return Label{Name: "kind", Values: []string{
		"validation", "mapping", "match", "dependency", "amount", "tax", "currency", "period", "conflict", "doubt", "credential", "connection",
		"collision", "size", "merge", "part_vanished", "unsupported", "recovery",
	}}
}

func durations() []Metric {
	return []Metric{
		{SyncDuration, Histogram, "s", "From the change at the source to the posting that the books confirmed; repairs asked for by a person are left out.",
			[]Label{class(), system()}, slow()},
		{HopDuration, Histogram, "s", "A part of that way: changed to admitted (admit), admitted to rendered (render), rendered to received (receive), received to ended (post), and fact to audit entry (record).",
			[]Label{{Name: "hop", Values: []string{"admit", "render", "receive", "post", "record"}}, {Name: "class", Values: []string{"realtime", "bulk", "none"}}}, slow()},
		{VendorDuration, Histogram, "s", "One operation at a vendor, with all its requests, and how it ended.",
			[]Label{system(), {Name: "operation", Values: []string{"put", "find", "get", "lock", "references", "changes", "fetch", "list"}},
				{Name: "outcome", Values: []string{"ok", "transient", "rate_limited", "unauthorized", "unresolved", "in_doubt", "conflict", "rejected", "not_found", "internal"}}}, quick()},
		{RPCDuration, Histogram, "s", "One call of the control plane.",
			[]Label{{Name: "rpc.method", Configured: true}, {Name: "rpc.response.status_code", Values: []string{
				"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
				"FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"}}}, quick()},
		{HTTPDuration, Histogram, "s", "One request to ingest: webhooks and the API.",
			[]Label{{Name: "http.route", Values: []string{"POST /webhooks/{app}", "POST /v1/events", "GET /v1/events/{id}"}},
				{Name: "http.response.status_code", Values: []string{"200", "202", "400", "401", "404", "409", "413", "415", "422", "429", "503"}}}, quick()},
		{TurnDuration, Histogram, "s", "One turn of a target's owner, with its transaction.", []Label{{Name: "outcome", Values: []string{"done", "fenced", "failed"}}}, quick()},
		{ReconcileDuration, Histogram, "s", "One reconciliation of one or all entities.", []Label{{Name: "outcome", Values: []string{"agrees", "differs", "failed"}}}, slow()},
	}
}

func bus() []Metric {
	return []Metric{
		{ProcessDuration, Histogram, "s", "Handling one batch of a partition, until it is stored.", []Label{topic(), errorType()}, quick()},
		{SendDuration, Histogram, "s", "Sending one batch to a partition, until all replicas in sync have it.", []Label{topic(), errorType()}, quick()},
		{SentMessages, Counter, "{message}", "Records sent and acknowledged.", []Label{topic()}, nil},
		{ConsumedMessages, Counter, "{message}", "Records handled and stored; a batch that is handled again counts once.", []Label{topic()}, nil},
		{ConsumerLag, Gauge, "{message}", "Records of a partition that are not handled yet, as its present owner sees it.",
			[]Label{topic(), {Name: "partition", Below: 1024}, {Name: "class", Values: []string{"realtime", "bulk", "none"}}}, nil},
		{OutboxRows, Gauge, "{row}", "Rows that are committed and not sent yet, counted to 100,001.", []Label{{Name: "outbox", Values: []string{"events", "facts"}}}, nil},
		{OutboxAge, Gauge, "s", "How long the oldest of them waits.", []Label{{Name: "outbox", Values: []string{"events", "facts"}}}, nil},
	}
}

func records() []Metric {
	return []Metric{
		{Reads, Counter, "{record}", "Records that were read at a source, by what the read meant.",
			[]Label{system(), class(), {Name: "verdict", Values: []string{"admit", "duplicate", "stale", "unusable", "unchanged"}}}, nil},
		{Renderings, Counter, "{rendering}", "Events rendered, by verdict.", []Label{class(), {Name: "verdict", Values: []string{"documents", "nothing", "rejected", "unreadable"}}}, nil},
		{SlotsEnded, Counter, "{slot}", "Places in a lane that ended, by outcome.",
			[]Label{class(), {Name: "outcome", Values: []string{"posted", "unchanged", "superseded", "discarded", "moved", "aside"}}}, nil},
		{Ops, Counter, "{op}", "Effects on the books that were settled, by kind and outcome.",
			[]Label{{Name: "kind", Values: []string{"CUSTOMER", "ITEM", "INVOICE", "CREDIT_NOTE", "MARKER"}}, {Name: "outcome", Values: []string{"posted", "refused", "doubt"}}}, nil},
		{SlotsQueued, Gauge, "{slot}", "Places in lanes that have not ended, those behind a parked head among them.", []Label{class()}, nil},
		{OldestMoving, Gauge, "s", "How long ago the oldest realtime change was made that is in a lane which moves.", nil, nil},
		{Lanes, Gauge, "{lane}", "Lanes that do not move.", []Label{{Name: "state", Values: []string{"waiting", "parked"}}}, nil},
		{FactsRecorded, Counter, "{fact}", "Facts that became audit entries.", nil, nil},
		{Dedup, Counter, "{record}", "What was looked at for a repeat: a delivery, a listed change, a slot, a fact.",
			[]Label{{Name: "stage", Values: []string{"webhook", "poll", "slot", "fact"}}, {Name: "outcome", Values: []string{"new", "repeat"}}}, nil},
		{CacheRequests, Counter, "{request}", "Questions to what is remembered: Redis, and the tables of the books in memory.",
			[]Label{{Name: "cache", Values: []string{"redis", "references"}}, {Name: "outcome", Values: []string{"hit", "miss", "away"}}}, nil},
		{PollsCompleted, Counter, "{poll}", "Polls of a connection, by whether every type was listed to its end.",
			[]Label{connection(), {Name: "outcome", Values: []string{"complete", "failed"}}}, nil},
		{HintsDue, Gauge, "{hint}", "Records that are to be read, counted to 100,001.", []Label{class()}, nil},
		{ExceptionsNew, Counter, "{exception}", "Exceptions opened, by kind.", []Label{exceptionKind()}, nil},
		{ExceptionsOpen, Gauge, "{exception}", "Exceptions that a person has to look at, by kind.", []Label{exceptionKind()}, nil},
		{ExceptionOldest, Gauge, "s", "How long the oldest open exception of a kind waits.", []Label{exceptionKind()}, nil},
		{Reconciled, Gauge, "s", "How long ago the last reconciliation ended that did not fail.", nil, nil},
		{Breaks, Gauge, "{break}", "Breaks that are open, by kind.", []Label{{Name: "kind", Values: []string{"missing", "orphan", "amount", "duplicate", "stale"}}}, nil},
	}
}

func connections() []Metric {
	return []Metric{
		{QuotaUsed, Gauge, "{request}", "Requests within the longest window of the vendor's limits.", []Label{connection()}, nil},
		{QuotaLimit, Gauge, "{request}", "This service's share of that window.", []Label{connection()}, nil},
		{QuotaWait, Histogram, "s", "How long requests were held back for the vendor's limits.", []Label{connection(), {Name: "class", Values: []string{"realtime", "bulk", "none"}}}, slow()},
		{EpochChanges, Counter, "{change}", "Times that this process took a target.", []Label{connection()}, nil},
		{Fenced, Counter, "{turn}", "Turns that ended because another owner had taken the target.", []Label{connection()}, nil},
		{Paused, Gauge, "", "1 while nothing is sent to a connection.", []Label{connection(), {Name: "by", Values: []string{"tieout", "person"}}}, nil},
		{GrantLeft, Gauge, "s", "How long the consent of a connection lasts.", []Label{connection()}, nil},
		{Ready, Gauge, "", "1 while the service takes work.", nil, nil},
		{Waiting, Gauge, "", "1 while the service waits for a part or goes without it.", []Label{{Name: "part", Values: []string{"start", "broker", "database", "cache", "vendor", "stop"}}}, nil},
	}
}
