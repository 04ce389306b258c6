package dashboard

import "tieout.dev/services/internal/meter"

// All are the dashboards.
func All() []Board { return []Board{way(), services(), books()} }

// way is for who asks how long a change takes, and where.
func way() Board {
	return Board{"way", "way of a change", []Panel{
		{"From change to posting", "Realtime changes; the goal is 99 of 100 within a minute. A point is a trace: 'tieout journey TRACE' shows its steps.", "s", []Query{
			{quantile(0.5, meter.SyncDuration, `{class="realtime"}`, "system"), "half, {{system}}"},
			{quantile(0.99, meter.SyncDuration, `{class="realtime"}`, "system"), "99 of 100, {{system}}"}}},
		{"Where the time goes", "95 of 100 changes are through a hop within this time.", "s", []Query{{quantile(0.95, meter.HopDuration, `{class!="bulk"}`, "hop"), "{{hop}}"}}},
		{"Posted, and what else became of changes", "Places in lanes that ended, a second.", "ops", []Query{{rate(meter.SlotsEnded, "", "class", "outcome"), "{{class}} {{outcome}}"}}},
		{"Waiting", "Places in lanes, and records that are to be read.", "short", []Query{
			{gauge(meter.SlotsQueued, "class"), "in lanes, {{class}}"}, {gauge(meter.HintsDue, "class"), "to be read, {{class}}"}, {gauge(meter.Lanes, "state"), "lanes {{state}}"}}},
		{"Age of the oldest that moves", "A realtime change in a lane that no person has to look at.", "s", []Query{{"max(" + name(meter.OldestMoving) + ")", "oldest"}}},
		{"Read at the source", "By what the read meant.", "ops", []Query{{rate(meter.Reads, "", "system", "verdict"), "{{system}} {{verdict}}"}}},
		{"Rendered", "By verdict.", "ops", []Query{{rate(meter.Renderings, "", "class", "verdict"), "{{class}} {{verdict}}"}}},
		{"Repeats", "What was known already, a second: webhooks, listed changes, slots, facts.", "ops", []Query{{rate(meter.Dedup, "", "stage", "outcome"), "{{stage}} {{outcome}}"}}},
	}}
}

// services is for who keeps them running.
func services() Board {
	topic := "messaging_destination_name"
	return Board{"services", "services and hops", []Panel{
		{"Ready", "1 while a service takes work.", "short", []Query{{"min by (service_name) (" + name(meter.Ready) + ")", "{{service_name}}"}}},
		{"Lag", "Records that are not handled yet.", "short", []Query{{gauge(meter.ConsumerLag, "service_name", topic, "partition"), "{{service_name}} {{" + topic + "}}/{{partition}}"}}},
		{"Handled", "Records a second.", "ops", []Query{{rate(meter.ConsumedMessages, "", "service_name", topic), "{{service_name}} {{" + topic + "}}"}}},
		{"Batches that failed", "They come again until they are stored.", "ops", []Query{{orZero(calls(meter.ProcessDuration, `{error_type="failed"}`, "service_name", topic)), "{{service_name}} {{" + topic + "}}"}}},
		{"Handling a batch", "95 of 100 batches.", "s", []Query{{quantile(0.95, meter.ProcessDuration, "", "service_name", topic), "{{service_name}} {{" + topic + "}}"}}},
		{"Sending a batch", "95 of 100, until all replicas in sync have it.", "s", []Query{{quantile(0.95, meter.SendDuration, "", "service_name", topic), "{{service_name}} {{" + topic + "}}"}}},
		{"Sent", "Records a second.", "ops", []Query{{rate(meter.SentMessages, "", "service_name", topic), "{{service_name}} {{" + topic + "}}"}}},
		{"Outbox: rows", "Committed and not sent yet.", "short", []Query{{gauge(meter.OutboxRows, "service_name", "outbox"), "{{service_name}} {{outbox}}"}}},
		{"Outbox: age", "Over a minute nothing more is dispatched.", "s", []Query{{"max by (service_name, outbox) (" + name(meter.OutboxAge) + ")", "{{service_name}} {{outbox}}"}}},
		{"Turns", "95 of 100 turns of an owner.", "s", []Query{{quantile(0.95, meter.TurnDuration, "", "outcome"), "{{outcome}}"}}},
		{"Owners", "Times that a target was taken, and turns that came too late.", "short", []Query{
			{"sum by (connection) (increase(" + name(meter.EpochChanges) + "[1h]))", "{{connection}} taken"}, {orZero("sum(increase(" + name(meter.Fenced) + "[1h]))"), "fenced"}}},
		{"Control plane", "Calls a second, and 95 of 100.", "s", []Query{
			{calls(meter.RPCDuration, "", "service_name", "rpc_response_status_code"), "{{service_name}} {{rpc_response_status_code}} /s"},
			{quantile(0.95, meter.RPCDuration, "", "service_name"), "{{service_name}} took"}}},
		{"Webhooks and API", "Requests a second, by answer, and 95 of 100.", "s", []Query{
			{calls(meter.HTTPDuration, "", "http_route", "http_response_status_code"), "{{http_route}} {{http_response_status_code}} /s"},
			{quantile(0.95, meter.HTTPDuration, "", "http_route"), "{{http_route}} took"}}},
		{"Cache", "Questions to Redis and to the books' tables, a second.", "ops", []Query{{rate(meter.CacheRequests, "", "cache", "outcome"), "{{cache}} {{outcome}}"}}},
		{"Audit entries", "Facts a second.", "ops", []Query{{rate(meter.FactsRecorded, "", "service_name"), "{{service_name}}"}}},
		{"Memory and CPU", "Of each process.", "short", []Query{{"process_resident_memory_bytes", "{{job}} bytes"}, {"rate(process_cpu_seconds_total[5m])", "{{job}} cores"}}},
	}}
}

// books is for who answers for vendors and for the books.
func books() Board {
	return Board{"books", "vendors, books and exceptions", []Panel{
		{"Open exceptions", "Each waits for a person, and its lane with it.", "short", []Query{{orZero(gauge(meter.ExceptionsOpen, "kind")), "{{kind}}"}}},
		{"Age of exceptions", "The oldest of each kind.", "s", []Query{{orZero("max by (kind) (" + name(meter.ExceptionOldest) + ")"), "{{kind}}"}}},
		{"New exceptions", "In an hour.", "short", []Query{{orZero("sum by (kind) (increase(" + name(meter.ExceptionsNew) + "[1h]))"), "{{kind}}"}}},
		{"Effects on the books", "Settled, a second.", "ops", []Query{{rate(meter.Ops, "", "kind", "outcome"), "{{kind}} {{outcome}}"}}},
		{"Vendors: operations", "A second, by how they ended.", "ops", []Query{{calls(meter.VendorDuration, "", "system", "operation", "outcome"), "{{system}} {{operation}} {{outcome}}"}}},
		{"Vendors: duration", "95 of 100.", "s", []Query{{quantile(0.95, meter.VendorDuration, "", "system", "operation"), "{{system}} {{operation}}"}}},
		{"Quota", "Part of our share of the vendor's limits that is used.", "percentunit", []Query{{name(meter.QuotaUsed) + " / " + name(meter.QuotaLimit), "{{service_name}} {{connection}}"}}},
		{"Waiting for quota", "95 of 100 waits.", "s", []Query{{orZero(quantile(0.95, meter.QuotaWait, "", "connection", "class")), "{{connection}} {{class}}"}}},
		{"Connections", "1 while nothing is sent.", "short", []Query{{"max by (connection, by) (" + name(meter.Paused) + ")", "{{connection}} by {{by}}"}}},
		{"Consent lasts", "Afterwards nothing is read or written there.", "s", []Query{{orZero("min by (connection) (" + name(meter.GrantLeft) + ")"), "{{connection}}"}}},
		{"Polls", "In an hour.", "short", []Query{{"sum by (connection, outcome) (increase(" + name(meter.PollsCompleted) + "[1h]))", "{{connection}} {{outcome}}"}}},
		{"Breaks between source and books", "As the last reconciliation found them.", "short", []Query{{gauge(meter.Breaks, "kind"), "{{kind}}"}}},
		{"Last reconciliation", "How long ago it ended, and how long it took.", "s", []Query{{name(meter.Reconciled), "ago"}, {quantile(0.95, meter.ReconcileDuration, "", "outcome"), "took, {{outcome}}"}}},
	}}
}
