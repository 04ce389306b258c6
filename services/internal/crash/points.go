package crash

// Point is a place at which a process may be made to die: service/place, or the
// shared package that it is in.
type Point string

// Ingest: a change in a source becomes an event.
const (
	IngestWebhookReceived    Point = "ingest/webhook-received"    // the delivery is signed, nothing is stored
	IngestHintStored         Point = "ingest/hint-stored"         // the hints of a webhook are durable, nobody was answered
	IngestDeliveryRemembered Point = "ingest/delivery-remembered" // the cache knows the delivery, nobody was answered
	IngestPollListed         Point = "ingest/poll-listed"         // a page of changes was listed, its cursor stands where it was
	IngestPollStored         Point = "ingest/poll-stored"         // a page of changes is hints, and the cursor moved
	IngestHintClaimed        Point = "ingest/hint-claimed"        // hints are claimed and not read
	IngestReadNumbered       Point = "ingest/read-numbered"       // the read has its number and has not begun
	IngestFetched            Point = "ingest/fetched"             // records were read, nothing of them is stored
	IngestCustomerRead       Point = "ingest/customer-read"       // the customer of a record is known, its event has no place yet
	IngestLaneNumbered       Point = "ingest/lane-numbered"       // the lane's number is taken inside the transaction
	IngestEventStored        Point = "ingest/event-stored"        // the event is stored inside the transaction, its fact is not
	IngestBeforeAdmitCommit  Point = "ingest/before-admit-commit" // a page is admitted and its hints are ended, not committed
	IngestAfterAdmit         Point = "ingest/after-admit"         // a page is admitted, nothing of it is published
	IngestBeforeMark         Point = "ingest/before-mark"         // events were published and are not marked
	IngestPushReceived       Point = "ingest/push-received"       // a pushed record was understood, nothing is stored
	IngestPushAdmitted       Point = "ingest/push-admitted"       // a pushed record is admitted, its caller was not answered
	IngestFactsTaken         Point = "ingest/facts-taken"         // facts are taken inside the transaction, the offset stands
	IngestSlotEnded          Point = "ingest/slot-ended"          // the end of a slot is noted inside the transaction
	IngestWriteBackPlaced    Point = "ingest/write-back-placed"   // a posting got its place inside the transaction
	IngestFactsStored        Point = "ingest/facts-stored"        // a batch of facts is stored with its offset
	IngestBackfillPage       Point = "ingest/backfill-page"       // a page of a backfill is hints, the listing goes on
	IngestBackfillListed     Point = "ingest/backfill-listed"     // a backfill has listed everything and does not know it
)

// Transform: an event becomes a rendering.
const (
	TransformBatchReceived Point = "transform/batch-received" // a batch of events was fetched
	TransformRendered      Point = "transform/rendered"       // it is rendered and not published
	TransformProduced      Point = "transform/produced"       // its renderings are acknowledged, the offset stands
	TransformNoted         Point = "transform/noted"          // its facts are stored inside the transaction
	TransformBeforeCommit  Point = "transform/before-commit"  // the offset moved inside the transaction
	TransformCommitted     Point = "transform/committed"      // the batch is done, the group's offset is not written
)

// Writer: a rendering becomes true in the books.
const (
	WriterBatchReceived       Point = "writer/batch-received"        // a batch of renderings was fetched
	WriterSlotStored          Point = "writer/slot-stored"           // a slot is stored inside the transaction
	WriterBeforeReceiveCommit Point = "writer/before-receive-commit" // the offset moved inside the transaction
	WriterReceived            Point = "writer/received"              // slots are stored, their owner does not know
	WriterTargetTaken         Point = "writer/target-taken"          // the epoch is raised, no turn was made
	WriterReferencesRead      Point = "writer/references-read"       // the books' tables were read and not stored
	WriterTurnBegun           Point = "writer/turn-begun"            // answers were taken out of memory, no transaction has begun
	WriterFenced              Point = "writer/fenced"                // the target's row is locked
	WriterStepped             Point = "writer/stepped"               // what follows is decided, nothing of it is stored
	WriterApplied             Point = "writer/applied"               // the turn is stored inside the transaction
	WriterTurnCommitted       Point = "writer/turn-committed"        // calls are recorded, none has left
	WriterBeforeSend          Point = "writer/before-send"           // the last check has passed, no byte has left
	WriterAfterSend           Point = "writer/after-send"            // the books have answered, nobody has looked at it
	WriterAnswered            Point = "writer/answered"              // the answer waits for a turn
	WriterLooked              Point = "writer/looked"                // a look into the books was answered
	WriterBeforeSettle        Point = "writer/before-settle"         // what was answered is settled inside the transaction
	WriterSettled             Point = "writer/settled"               // what was answered is settled, its facts are not published
	WriterTokenStored         Point = "writer/token-stored"          // a refreshed token is stored, nobody has used it
	WriterActionStored        Point = "writer/action-stored"         // a person's action is stored, its owner does not know
	WriterDraining            Point = "writer/draining"              // told to end, answers are awaited
)

// Reconciler: source against journal against books.
const (
	ReconcilerBatchReceived Point = "reconciler/batch-received" // a batch of facts was fetched
	ReconcilerFactEntered   Point = "reconciler/fact-entered"   // the journal moved inside the transaction
	ReconcilerTaken         Point = "reconciler/taken"          // a batch of facts is stored with its offset
	ReconcilerRunBegun      Point = "reconciler/run-begun"      // a run is stored as running
	ReconcilerListsRead     Point = "reconciler/lists-read"     // the lists were read and not compared
	ReconcilerCompared      Point = "reconciler/compared"       // the breaks are known and not stored
	ReconcilerRunEnded      Point = "reconciler/run-ended"      // a run is stored, nobody was answered
	ReconcilerRechecked     Point = "reconciler/rechecked"      // ingest was asked to read again, the break does not say so
	ReconcilerRepairStored  Point = "reconciler/repair-stored"  // a break is under repair, nobody was answered
)

// Audit: every fact is kept, found and published.
const (
	AuditBatchReceived Point = "audit/batch-received" // a batch of facts was fetched
	AuditEntryStored   Point = "audit/entry-stored"   // the entry is stored inside the transaction, nothing leads to it
	AuditIndexed       Point = "audit/indexed"        // it can be found, it is not published
	AuditPublished     Point = "audit/published"      // its public record is in the outbox, inside the transaction
	AuditBeforeCommit  Point = "audit/before-commit"  // the offset moved inside the transaction
	AuditTaken         Point = "audit/taken"          // a batch of facts is stored with its offset
)

// Stream: what every service does with Kafka.
const (
	StreamAssigned      Point = "stream/assigned"       // partitions were assigned, none is read
	StreamPositioned    Point = "stream/positioned"     // the offset row was read, nothing is fetched
	StreamFetched       Point = "stream/fetched"        // records were fetched, nobody has seen them
	StreamHandled       Point = "stream/handled"        // a batch is stored, the next is not fetched
	StreamBeforeProduce Point = "stream/before-produce" // a batch is about to be sent
	StreamAfterProduce  Point = "stream/after-produce"  // it is acknowledged, its sender does not know
	StreamCommitted     Point = "stream/committed"      // the group's offset in Kafka is written
)

// Trail: what every service does with its outbox.
const (
	TrailNumbered   Point = "trail/numbered"    // facts have their numbers inside the transaction, they are not stored
	TrailAppended   Point = "trail/appended"    // facts are stored inside the transaction
	TrailRowsRead   Point = "trail/rows-read"   // the relay has read rows and holds no lease
	TrailLeased     Point = "trail/leased"      // it holds the lease, nothing is sent
	TrailProduced   Point = "trail/produced"    // the rows are acknowledged and not marked
	TrailMarked     Point = "trail/marked"      // they are marked
	TrailFactsTaken Point = "trail/facts-taken" // the heads of streams moved inside the transaction
)

// Store: what every service does with its database.
const (
	StoreBegun        Point = "store/begun"         // a transaction has begun
	StoreBeforeCommit Point = "store/before-commit" // everything of it is written, it is not committed
	StoreAfterCommit  Point = "store/after-commit"  // it is committed, its caller does not know
	StoreOffsetMoved  Point = "store/offset-moved"  // an offset row moved inside the transaction
)

// Points lists them all, in the order of an event's way.
func Points() []Point {
	return []Point{
		IngestWebhookReceived, IngestHintStored, IngestDeliveryRemembered, IngestPollListed, IngestPollStored, IngestHintClaimed,
		IngestReadNumbered, IngestFetched, IngestCustomerRead, IngestLaneNumbered, IngestEventStored, IngestBeforeAdmitCommit,
		IngestAfterAdmit, IngestBeforeMark, IngestPushReceived, IngestPushAdmitted, IngestFactsTaken, IngestSlotEnded,
		IngestWriteBackPlaced, IngestFactsStored, IngestBackfillPage, IngestBackfillListed, TransformBatchReceived, TransformRendered,
		TransformProduced, TransformNoted, TransformBeforeCommit, TransformCommitted, WriterBatchReceived, WriterSlotStored,
		WriterBeforeReceiveCommit, WriterReceived, WriterTargetTaken, WriterReferencesRead, WriterTurnBegun, WriterFenced,
		WriterStepped, WriterApplied, WriterTurnCommitted, WriterBeforeSend, WriterAfterSend, WriterAnswered,
		WriterLooked, WriterBeforeSettle, WriterSettled, WriterTokenStored, WriterActionStored, WriterDraining,
		ReconcilerBatchReceived, ReconcilerFactEntered, ReconcilerTaken, ReconcilerRunBegun, ReconcilerListsRead, ReconcilerCompared,
		ReconcilerRunEnded, ReconcilerRechecked, ReconcilerRepairStored, AuditBatchReceived, AuditEntryStored, AuditIndexed,
		AuditPublished, AuditBeforeCommit, AuditTaken, StreamAssigned, StreamPositioned, StreamFetched,
		StreamHandled, StreamBeforeProduce, StreamAfterProduce, StreamCommitted, TrailNumbered, TrailAppended,
		TrailRowsRead, TrailLeased, TrailProduced, TrailMarked, TrailFactsTaken, StoreBegun,
		StoreBeforeCommit, StoreAfterCommit, StoreOffsetMoved,
	}
}
