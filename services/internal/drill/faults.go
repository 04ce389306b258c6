package drill

// Fault is something that goes wrong around Tieout.
type Fault struct {
	Number int
	Name   string
	Proves string // the promises that must hold all the same
	// Chaos are the faults and crash points of 'make chaos' that make it happen.
	Chaos []string
	// Needs is what it takes to automate it, where nothing does yet.
	Needs string
}

// ByNumber finds a fault.
func ByNumber(n int) (Fault, bool) {
	all := Faults()
	if n < 1 || n > len(all) {
		return Fault{}, false
	}
	return all[n-1], true
}

// Faults are all of them, in the order of their numbers.
func Faults() []Fault {
	var out []Fault
	for _, group := range [][]Fault{processes(), brokers(), caches(), databases(), books(), grants(), sources(), surroundings(), trust()} {
		out = append(out, group...)
	}
	for i := range out {
		out[i].Number = i + 1
	}
	return out
}

const (
	needsLog     = "the tamper-evident log of audit"
	needsKeys    = "keys per subject and their destruction"
	needsApprove = "approval of mappings by a second person"
	needsNetwork = "network namespaces of its own"
)

func processes() []Fault {
	return []Fault{
		{Name: "ingest dies around its durable write, before it has answered", Proves: "I1 I2", Chaos: []string{"ingest/webhook-received", "ingest/hint-stored", "ingest/before-admit-commit", "ingest/after-admit"}},
		{Name: "transform dies between fetching, publishing and committing", Proves: "I2 I3 I7", Chaos: []string{"transform/batch-received", "transform/rendered", "transform/produced", "transform/before-commit", "transform/committed"}},
		{Name: "the writer dies before it has written down what it will do", Proves: "I1 I2", Chaos: []string{"writer/batch-received", "writer/stepped", "writer/applied"}},
		{Name: "the writer dies after writing it down, before sending", Proves: "I1 I2", Chaos: []string{"writer/turn-committed", "writer/before-send"}},
		{Name: "the writer dies while a request is on the wire", Proves: "I1"},
		{Name: "the writer dies after the answer, before settling it", Proves: "I1 I5", Chaos: []string{"writer/after-send", "writer/answered", "writer/before-settle"}},
		{Name: "the writer dies after settling, before the offset is committed", Proves: "I1 I7", Chaos: []string{"writer/settled"}},
		{Name: "a relay dies after publishing, before it has marked", Proves: "I4", Chaos: []string{"trail/produced", "ingest/before-mark"}},
		{Name: "audit dies between taking a fact and making it findable", Proves: "I4 I9", Chaos: []string{"audit/batch-received", "audit/entry-stored", "audit/indexed", "audit/published", "audit/before-commit"}},
		{Name: "the reconciler dies in the middle of a repair", Proves: "I1 I5", Chaos: []string{"reconciler/rechecked", "reconciler/repair-stored"}},
		{Name: "all five services die at once and start in any order", Proves: "I1 to I8", Chaos: []string{"kill-all"}},
		{Name: "a service dies every few seconds for minutes", Proves: "I1 I8"},
		{Name: "a process freezes, for seconds to hours, and thaws as a zombie", Proves: "I1 I3 I7", Chaos: []string{"freeze-writer", "freeze-ingest", "freeze-transform", "freeze-audit"}},
		{Name: "a process freezes between its last check and its call", Proves: "I1", Chaos: []string{"freeze-at-points"}},
		{Name: "the kernel kills a process for its memory", Proves: "I2 I12", Needs: "a memory limit by cgroup"},
		{Name: "file descriptors run out", Proves: "I8 I12", Needs: "a process with a low limit of open files under load"},
		{Name: "told to end with full queues, then killed", Proves: "I2 I7", Chaos: []string{"terminate-all", "writer/draining"}},
		{Name: "two versions run together", Proves: "I1 I3", Needs: "a released version to run beside this one"},
		{Name: "a build with a mistake is deployed, then repaired by replay", Proves: "I1 I6"},
	}
}

func brokers() []Fault {
	return []Fault{
		{Name: "the broker that leads a partition is killed", Proves: "I2 I3", Chaos: []string{"kill-leader"}},
		{Name: "the controller is killed; the quorum is lost and comes back", Proves: "I2 I8"},
		{Name: "the group's coordinator moves or is killed", Proves: "I7", Chaos: []string{"move-coordinator"}},
		{Name: "all brokers are restarted one after the other", Proves: "I2 I8", Chaos: []string{"roll-brokers"}},
		{Name: "two of three brokers are down: fewer in sync than a write needs", Proves: "I2"},
		{Name: "all brokers are killed together", Proves: "I2", Chaos: []string{"kill-all-brokers"}},
		{Name: "a broker loses what it had not flushed", Proves: "I2"},
		{Name: "publishing times out although it was appended", Proves: "I1 I3"},
		{Name: "publishing fails and the next batch succeeds: a hole", Proves: "I3 I4"},
		{Name: "partitions move to other members in mid-batch", Proves: "I1 I7"},
		{Name: "a member of an older generation commits an offset", Proves: "I7"},
		{Name: "the group's offsets are deleted, or set to the earliest", Proves: "I1"},
		{Name: "an operator sets the group's offsets to the latest", Proves: "I2"},
		{Name: "a topic is read again from its beginning", Proves: "I1 I3"},
		{Name: "retention deletes records that nobody has read", Proves: "I2"},
		{Name: "a topic gets more partitions: keys move", Proves: "I3"},
		{Name: "a topic is deleted and made again", Proves: "I1 I2"},
		{Name: "a record above the size limit", Proves: "I8 I12"},
		{Name: "a record that does not decode", Proves: "I8"},
		{Name: "a record without key or value", Proves: "I2 I8"},
		{Name: "one customer in a busy partition is slow", Proves: "I8"},
		{Name: "a consumer that lags further than memory reaches", Proves: "I7 I12"},
	}
}

func caches() []Fault {
	return []Fault{
		{Name: "Redis is flushed in mid-traffic", Proves: "I1", Chaos: []string{"flush-redis"}},
		{Name: "Redis is killed and comes back empty", Proves: "I1", Chaos: []string{"redis-away"}},
		{Name: "Redis is full and refuses or forgets", Proves: "I1 I8"},
		{Name: "Redis is slow or hangs", Proves: "I8", Chaos: []string{"redis-slow", "redis-hangs"}},
		{Name: "Redis cannot be reached by one replica only", Proves: "I1", Needs: needsNetwork},
		{Name: "Redis gives an answer that somebody put there", Proves: "I1"},
	}
}

func databases() []Fault {
	return []Fault{
		{Name: "PostgreSQL is killed and restarts", Proves: "I1 I2", Chaos: []string{"kill-postgres"}},
		{Name: "a commit was sent and its answer is lost", Proves: "I1", Chaos: []string{"cut-postgres", "postgres-reset"}},
		{Name: "a lock is not to be had, a transaction is refused", Proves: "I8", Needs: "a second session that holds the lock on PostgreSQL"},
		{Name: "no connection to the database is free", Proves: "I8 I12", Needs: "a PostgreSQL of few connections"},
		{Name: "fsync fails once", Proves: "I2", Chaos: []string{"fsync-fails"}},
		{Name: "the disk is full", Proves: "I2 I8", Chaos: []string{"disk-full"}},
		{Name: "failover to a replica that lacks the last commits", Proves: "I1", Needs: "a PostgreSQL replica"},
		{Name: "a database is set back to a backup older than the books", Proves: "I1", Chaos: []string{"database-set-back"}},
		{Name: "commits come in another order than their numbers", Proves: "I4", Needs: "a writer that commits late: the databases let one write at a time"},
		{Name: "migrations run twice, by two at once, or meet a newer schema", Proves: "I1 I2"},
		{Name: "SQLite: killed at any moment; a second process opens the file", Proves: "I2"},
		{Name: "the database's clock differs from the service's", Proves: "I1 I3"},
	}
}

func books() []Fault {
	return []Fault{
		{Name: "429 with, without and with a wrong Retry-After", Proves: "I8 I12"},
		{Name: "bursts of 500, 502, 503, with and without effect", Proves: "I1"},
		{Name: "the answer is lost after the vendor has committed", Proves: "I1"},
		{Name: "late commit: a look finds nothing, then the request lands", Proves: "I1"},
		{Name: "an answer that trickles", Proves: "I8 I12"},
		{Name: "the connection is reset within the body of an answer", Proves: "I1"},
		{Name: "status 200 with a fault in the body", Proves: "I2"},
		{Name: "a batch of which some items fail and some have no answer", Proves: "I1 I2"},
		{Name: "a batch that is answered in another order", Proves: "I5"},
		{Name: "the version that was sent is not the latest", Proves: "I3"},
		{Name: "a person edits, voids or deletes our document", Proves: "I5 I6"},
		{Name: "a person merges or renames customers in the books", Proves: "I3 I5"},
		{Name: "the period is closed", Proves: "I8"},
		{Name: "answers that are broken JSON, of a wrong type, or ambiguous", Proves: "I8 I12"},
		{Name: "an answer of 100 MB, without an end, or a bomb", Proves: "I12"},
		{Name: "the vendor's search lags its writes", Proves: "I1"},
		{Name: "the vendor forgets request keys early", Proves: "I1"},
		{Name: "the same key with another body", Proves: "I1 I2", Needs: "a vendor of class A that compares bodies"},
		{Name: "the vendor adds, renames or removes a field", Proves: "I8", Needs: "answers of a vendor that change shape"},
		{Name: "the vendor is down for days", Proves: "I1 I2 I8"},
	}
}

func grants() []Fault {
	return []Fault{
		{Name: "the access token ends within a batch", Proves: "I1"},
		{Name: "two processes refresh one rotating token at once", Proves: "I8"},
		{Name: "killed between the token's rotation and storing it", Proves: "I8"},
		{Name: "consent is taken back or reduced", Proves: "I8 I11"},
		{Name: "another app has used up the quota", Proves: "I12", Needs: "a second app beside ours at the sandbox"},
	}
}

func sources() []Fault {
	return []Fault{
		{Name: "a webhook comes many times", Proves: "I1"},
		{Name: "webhooks come out of order", Proves: "I3"},
		{Name: "webhooks are lost", Proves: "I2"},
		{Name: "a webhook is forged, replayed, or signed with another secret", Proves: "I11"},
		{Name: "a value changes and changes back", Proves: "I2"},
		{Name: "records are deleted, restored and merged in the CRM", Proves: "I3 I5"},
		{Name: "two records changed at the same moment, at the edge of a page", Proves: "I2"},
		{Name: "the cursor is refused or set back by the source", Proves: "I1 I2"},
		{Name: "an import changes very many records at once", Proves: "I8 I12"},
		{Name: "a field of the source changes its type", Proves: "I8"},
	}
}

func surroundings() []Fault {
	return []Fault{
		{Name: "clocks jump ahead and back", Proves: "I1 I3", Needs: "clocks of its own for each process"},
		{Name: "dates in the hour that a clock change skips or repeats; a customer's zone", Proves: "I6"},
		{Name: "rounding: thirds, currencies of no and of three decimals, tax included", Proves: "I6"},
		{Name: "an exchange rate is missing or moves", Proves: "I6", Needs: "exchange rates of Tieout's own: the books apply theirs"},
		{Name: "the writer is cut off from its database, from Kafka or from Redis, and not from the vendor", Proves: "I1 I8", Chaos: []string{"cut-kafka", "cut-postgres"}},
		{Name: "DNS fails, lies, or leads to a private address", Proves: "I8 I10", Needs: "a resolver of its own"},
		{Name: "a certificate ended, was replaced, or is of an unknown authority", Proves: "I8"},
		{Name: "a thin or slow line", Proves: "I8", Chaos: []string{"postgres-slow"}},
		{Name: "audit's disk is full or cannot be written", Proves: "I4", Needs: "a small disk for audit alone"},
	}
}

func trust() []Fault {
	return []Fault{
		{Name: "an entry of the audit log is changed, removed or moved", Proves: "I9", Needs: needsLog},
		{Name: "the witness is away or refuses", Proves: "I8 I9", Needs: needsLog},
		{Name: "keys are rotated in mid-traffic, retired, lost", Proves: "I8 I10"},
		{Name: "a subject's key is destroyed while its document is on the way", Proves: "I2", Needs: needsKeys},
		{Name: "a purge runs while a legal hold is being set", Proves: "the hold wins", Needs: needsKeys},
		{Name: "a mapping changes while documents are on the way", Proves: "I1 I11"},
		{Name: "an author approves their own mapping", Proves: "I11", Needs: needsApprove},
		{Name: "an operator retries thousands of exceptions at once", Proves: "I1 I12", Needs: "thousands of parked documents"},
		{Name: "the collector of traces is away or slow", Proves: "I8"},
	}
}
