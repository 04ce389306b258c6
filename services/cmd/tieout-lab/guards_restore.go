package main

// The files that guards of a restored database stand in.
const (
	recoveryFile = "writer/protocol/recovery.go"
	recallFile   = "writer/protocol/recall.go"
	dispatchFile = "writer/protocol/dispatch.go"
)

// restored are the guards that hold after a database was set back.
func restored() []mutant {
	return []mutant{
		{"suspect by subject", laneFile, "if t.recall(h) != partDone {", "if false {", "restore"},
		{"newest only", recoveryFile, "case p.Newer || h.NewerAny:", "case false:", "restore"},
		{"revision incarnation", admissionFile, "next := Object{Rev: max(o.Rev, r.Floor) + 1,", "next := Object{Rev: o.Rev + 1,", "restore"},
		{"collision readmits", leaseFile, "return Collision", "return Repeat", "restore"},
		{"restored calls are not resent", doubtFile, "if c.FirstSent == 0 { // of", "if false { // of", "restore"},
		{"ends are taken over", recoveryFile, "case p.Ended != \"\":", "case false:", "restore"},
		{"a search is believed after the quarantine", recoveryFile, "t.m.Trusted = t.v.Mono + t.v.Claims.Q()", "t.m.Trusted = t.v.Mono + 1", "restore"},
		{"two marks behind the last", recoveryFile, "const beyond = 2", "const beyond = 1", "restore"},
		{"a later document ends the one before", recoveryFile, "if l.N < n && l.Live() {", "if false {", "restore"},
		{"content is doubted after a restore", admissionFile, "o.Hash = \"\"\n", "", "restore"},
		{"all slots of a record first", recoveryFile, "if h.Past.Missing {", "if false {", "restore"},
		{"look before ending a slot", recoveryFile, "switch t.recall(h) {", "switch partDone {", "restore"},
		{"no two lives share a key", dispatchFile, "max(op.Gen, t.v.Gens-1) + 1", "op.Gen + 1", "restore"},
		{"a fact does not say what was agreed", recoveryFile, "if l.OtherRef != c.OtherRef || l.OtherVersion != c.Version {", "if false {", "restore"},
		{"a known document is read", recoveryFile, "l.Base, l.OtherVersion = nil, \"\" // ours", "_ = l // ours", "restore"},
		{"settling names its document", recallFile, "return t.v.Recovery != nil && (l.OtherRef", "return false && (l.OtherRef", "restore"},
		{"nothing of an ended slot is in doubt", recoveryFile, "\t\tt.closePast(h)\n", "", "restore"},
		{"a deletion is not missed", admissionFile, "r.Record.Deleted && r.Floor == 0:", "r.Record.Deleted:", "restore"},
		{"merges move links once more", recoveryFile, "case p.Ended != \"\":\n\t\tt.merge(h)", "case p.Ended != \"\":", "restore"},
		{"ours or a person's", recallFile, "&& !t.ours(h, p, l, cur) {\n\t\treturn t.askAs", "&& false {\n\t\treturn t.askAs", "restore"},
	}
}
