package meter

// Name of a metric, as OpenTelemetry writes it.
type Name string

// Kind of a metric.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is one entry of the list.
type Metric struct {
	Name    Name
	Kind    Kind
	Unit    string // UCUM
	Help    string
	Labels  []Label
	Buckets []float64 // of a histogram
}

// Label is a label with what bounds it: a list, what the installation
// configures, or a number.
type Label struct {
	Name       string
	Values     []string
	Configured bool
	Below      int
}

// The metrics.
const (
	// How long work takes.

	SyncDuration      Name = "tieout.sync.duration"
	HopDuration       Name = "tieout.hop.duration"
	VendorDuration    Name = "tieout.vendor.duration"
	RPCDuration       Name = "rpc.server.call.duration"
	HTTPDuration      Name = "http.server.request.duration"
	TurnDuration      Name = "tieout.turn.duration"
	ReconcileDuration Name = "tieout.reconcile.duration"

	// The bus.

	ProcessDuration  Name = "messaging.process.duration"
	SendDuration     Name = "messaging.client.operation.duration"
	SentMessages     Name = "messaging.client.sent.messages"
	ConsumedMessages Name = "messaging.client.consumed.messages"
	ConsumerLag      Name = "tieout.consumer.lag"
	OutboxRows       Name = "tieout.outbox.rows"
	OutboxAge        Name = "tieout.outbox.age"

	// What became of records.

	Reads           Name = "tieout.reads"
	Renderings      Name = "tieout.renderings"
	SlotsEnded      Name = "tieout.slots.ended"
	Ops             Name = "tieout.ops"
	SlotsQueued     Name = "tieout.slots.queued"
	OldestMoving    Name = "tieout.slots.oldest"
	Lanes           Name = "tieout.lanes"
	FactsRecorded   Name = "tieout.facts.recorded"
	Dedup           Name = "tieout.dedup"
	CacheRequests   Name = "tieout.cache.requests"
	PollsCompleted  Name = "tieout.polls"
	HintsDue        Name = "tieout.hints"
	ExceptionsNew   Name = "tieout.exceptions.opened"
	ExceptionsOpen  Name = "tieout.exceptions.open"
	ExceptionOldest Name = "tieout.exceptions.age"
	Reconciled      Name = "tieout.reconcile.last"
	Breaks          Name = "tieout.breaks"

	// Connections and who owns what.

	QuotaUsed    Name = "tieout.quota.used"
	QuotaLimit   Name = "tieout.quota.limit"
	QuotaWait    Name = "tieout.quota.wait"
	EpochChanges Name = "tieout.epoch.changes"
	Fenced       Name = "tieout.fenced"
	Paused       Name = "tieout.connection.paused"
	GrantLeft    Name = "tieout.grant.left"
	Ready        Name = "tieout.ready"
	Waiting      Name = "tieout.waiting"
)
