package main

// The files that guards of a restored database stand in.
const (
	recoveryFile = "writer/protocol/recovery.go"
)

// restored are the guards that hold after a database was set back. Others are
// too rare for a thousand schedules and are held by the tests of the core:
// restored calls are not resent, no two lives share a key, all slots of a
// record come first, an edit by hand is a person's, look before ending a slot,
// what a fact leaves unknown, a newer life is heard on what had ended. Streams
// have incarnations: the trail's tests.
func restored() []mutant {
	return []mutant{
		{"suspect by subject", laneFile, "if t.recall(h) != partDone {", "if false {", "restore"},
		{"newest only", recoveryFile, "case p.Newer || h.NewerAny:", "case false:", "strays"},
		{"revision incarnation", admissionFile, "next := Object{Rev: max(o.Rev, r.Floor) + 1,", "next := Object{Rev: o.Rev + 1,", "restore"},
		{"collision readmits", leaseFile, "return Collision", "return Repeat", "late-life"},
		{"ends are taken over", recoveryFile, "case p.Ended != \"\":", "case false:", "restore"},
		{"a search is believed after the quarantine", recoveryFile, "t.m.Trusted = t.v.Mono + t.v.Claims.Q()", "t.m.Trusted = t.v.Mono + 1", "restore"},
		{"nothing of an ended slot is in doubt", recoveryFile, "\t\tt.closePast(h)\n", "", "restore"},
		{"a deletion is not missed", admissionFile, "r.Record.Deleted && (r.Floor == 0 || r.Record.Absent) && !r.Merges:", "r.Record.Deleted && !r.Merges:", "restore"},
	}
}
